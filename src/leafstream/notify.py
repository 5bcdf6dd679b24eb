"""Telling whoever started this process how it is: sd_notify(3), the protocol of systemd.

`leafstream up` speaks it too, so there is one way to say ready.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path


def notify(*assignments: str) -> None:
    """Send e.g. "READY=1" to $NOTIFY_SOCKET; nothing where there is none."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # the abstract namespace of Linux
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto("\n".join(assignments).encode(), address)
        except OSError:
            # Who started it is gone; that is no reason for a server to stop.
            return


def notify_ready(url: str) -> None:
    """Say that the server can be reached at `url`."""
    notify("READY=1", f"STATUS=serving at {url}", f"X_LEAFSTREAM_URL={url}")


class Notices:
    """The socket on which a process says that it is ready, as systemd's."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # In a folder of its own: an instance's may be too deep for a socket's 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="leafstream-"))
        self.address = str(self._folder / "notify")

    def __enter__(self) -> Notices:
        self._socket.bind(self.address)
        self._socket.setblocking(False)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def fileno(self) -> int:
        return self._socket.fileno()

    def take(self) -> dict[str, str]:
        """The assignments of the next notice; none where there is no notice."""
        try:
            lines = self._socket.recv(8192).decode(errors="replace").splitlines()
        except BlockingIOError:
            return {}
        return dict(line.split("=", 1) for line in lines if "=" in line)
