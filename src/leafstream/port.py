"""Where a server listens: the port it holds, and who could reach that."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from urllib.parse import urlsplit

from leafstream.errors import SetupError
from leafstream.settings import Settings

LISTEN_FD = "LEAFSTREAM_LISTEN_FD"
PARENT = "LEAFSTREAM_PARENT"
"""The process id that holds a worker's socket."""


def is_worker() -> bool:
    """Whether this process was started by another that holds the socket (workers.py)."""
    return LISTEN_FD in os.environ


def held_socket(settings: Settings) -> socket.socket:
    """The socket to serve: one's own, or that of the process whose worker this is."""
    shared = os.environ.get(LISTEN_FD)
    if shared is None:
        return bound_socket(settings.host, settings.port)
    return socket.socket(fileno=int(shared))


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that holds the port, not listening yet. Raises SetupError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio spares only what says to be TCP from Nagle's algorithm: 40 ms for each response.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        _check_free(listener)
    except OSError as error:
        listener.close()
        raise SetupError(_bind_message(host, port, error)) from None
    return listener


def _check_free(listener: socket.socket) -> None:
    # SO_REUSEADDR lets two sockets bind as long as neither listens: so look who listens.
    host, port = listener.getsockname()[:2]
    target = "127.0.0.1" if ipaddress.ip_address(host).is_unspecified else host
    with socket.socket(listener.family, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        if listener.family == socket.AF_INET and probe.connect_ex((target, port)) == 0:
            raise OSError(errno.EADDRINUSE, "in use")


def _bind_message(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use on {host}; stop what listens there or set LEAFSTREAM_PORT"
    if error.errno == errno.EACCES:
        return f"port {port} needs rights this user lacks; set LEAFSTREAM_PORT above 1023"
    return f"cannot listen on {host}:{port}: {error.strerror or error}; set LEAFSTREAM_HOST"


def url_of(listener: socket.socket) -> str:
    """Where a bound socket can be reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def check_exposure(settings: Settings) -> None:
    """Raises SetupError where everybody on a network could ask without a key."""
    if settings.keys_file is None and not settings.open and not is_loopback(settings.host):
        raise SetupError(
            f"listening on {settings.host} without keys would serve everybody who reaches it; make "
            "a key with 'leafstream keys add NAME' and set LEAFSTREAM_KEYS_FILE, or set "
            "LEAFSTREAM_OPEN=true if that is meant"
        )


def is_loopback(host: str) -> bool:
    """Whether an address, or a Host header, is of this machine itself."""
    name = host
    try:
        if host.count(":") <= 1 or host[0] == "[":
            name = urlsplit(f"//{host}").hostname or ""
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
