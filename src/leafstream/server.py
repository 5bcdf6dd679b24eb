"""Serving: settings → checks → engine → app → a server that drains before it closes."""

from __future__ import annotations

import asyncio
import errno
import gc
import ipaddress
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext

import uvicorn

from leafstream.app import LeafstreamApp
from leafstream.engine_choice import open_engine
from leafstream.engines.base import Engine
from leafstream.errors import SetupError
from leafstream.faces.callers import is_loopback
from leafstream.log.choice import open_storage
from leafstream.models.fetch import Progress
from leafstream.notify import notify, notify_ready
from leafstream.reload import Reload
from leafstream.served import Served
from leafstream.settings import Settings
from leafstream.stopping import END_SECONDS, end_process_after
from leafstream.store.conversations import Conversations

logger = logging.getLogger("leafstream.server")

LISTEN_FD = "LEAFSTREAM_LISTEN_FD"
PARENT = "LEAFSTREAM_PARENT"
"""The process id that holds a worker's socket."""

LOOK_SECONDS = 1.0


class Server(uvicorn.Server):
    """Drains the runs first on SIGTERM; streams of what is left close, and their readers resume.

    With a `url` it is the whole of its process: it tells who started that when the URL can be
    reached, `names` what is served there, and ends even where something cannot be closed.
    """

    def __init__(self, config: uvicorn.Config, url: str | None = None, names: str = "") -> None:
        super().__init__(config)
        self._url = url
        self._names = names

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._url is not None and not self.should_exit:
            app = self.config.app
            assert isinstance(app, LeafstreamApp)
            logger.info("serving %s with %s at %s", self._names, app.engine.model, self._url)
            notify_ready(self._url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        app = self.config.app
        assert isinstance(app, LeafstreamApp)
        if self._url is not None:
            notify("STOPPING=1")
            logger.info("stopping; %s", _what_runs(app))
            end_process_after(app.settings.drain_seconds + END_SECONDS)
        await app.runs.drain(app.settings.drain_seconds)
        app.log.let_readers_go()
        await super().shutdown(sockets)


def _what_runs(app: LeafstreamApp) -> str:
    count, seconds = app.runs.num_running, app.settings.drain_seconds
    if not count:
        return "no answer is running"
    answers = "1 answer has" if count == 1 else f"{count} answers have"
    return f"{answers} {seconds:g} s to end"


def run(
    settings: Settings,
    served: Served,
    progress: Progress | None = None,
    reload: Reload | None = None,
) -> None:
    """Serve until a signal, on the fastest loop there is. Raises SetupError."""
    with asyncio.Runner(loop_factory=_new_loop()) as runner:
        runner.run(serve(settings, served, progress, reload))


def _new_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415
    except ImportError:  # Windows has none
        return None
    return uvloop.new_event_loop


async def serve(
    settings: Settings,
    served: Served,
    progress: Progress | None = None,
    reload: Reload | None = None,
) -> None:
    """Serve until a signal. Raises SetupError before the port opens where it cannot."""
    check_exposure(settings)
    with _listener(settings) as listener:
        app = await open_app(settings, served, progress)
        spare_collector()
        url = url_of(listener)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        server = Server(config, url, ", ".join(served.assistants))
        async with reload or nullcontext(), _ending_with_parent(server):
            await server.serve([listener])


def is_worker() -> bool:
    """Whether this process was started by another that holds the socket (workers.py)."""
    return LISTEN_FD in os.environ


@asynccontextmanager
async def _ending_with_parent(server: Server) -> AsyncIterator[None]:
    """While the context is open a worker looks for its parent, and drains when that is gone."""
    if not is_worker():
        yield
        return
    looking = asyncio.create_task(_end_without(int(os.environ[PARENT]), server))
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait({looking})


async def _end_without(parent: int, server: Server) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if os.getppid() != parent and server.started:
            break
    logger.warning("the process that started this worker is gone; it drains and ends")
    server.should_exit = True


def _listener(settings: Settings) -> socket.socket:
    """The socket to serve: one's own, or that of the process whose worker this is."""
    shared = os.environ.get(LISTEN_FD)
    if shared is None:
        return bound_socket(settings.host, settings.port)
    return socket.socket(fileno=int(shared))


def url_of(listener: socket.socket) -> str:
    """Where a bound socket can be reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def spare_collector() -> None:
    """Keep Python's garbage collector off what lives as long as the process.

    Going through all objects of a thousand streams stops them for half a second; nearly everything
    here is freed by its last reference.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


class Listening:
    """An app served on a free loopback port while the context is open; its value is the URL."""

    def __init__(self, app: LeafstreamApp) -> None:
        self._listener = bound_socket("127.0.0.1", 0)
        self._server = Server(
            uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5)
        )
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> str:
        # Not serve(): its signal handlers belong to the process, which is not ours here.
        self._task = asyncio.create_task(self._server._serve([self._listener]))  # noqa: SLF001
        while not self._server.started:
            if self._task.done():
                await self._task
                raise SetupError("the server ended before it had started")
            await asyncio.sleep(0.01)
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._server.should_exit = True
        await self._task
        self._listener.close()


async def open_app(
    settings: Settings, served: Served, progress: Progress | None = None
) -> LeafstreamApp:
    """Everything an app needs, opened and checked. Raises SetupError."""
    async with AsyncExitStack() as undoing:
        # A model is loaded in a thread, and the databases are opened meanwhile.
        loading = asyncio.ensure_future(open_engine(settings, progress))
        undoing.push_async_callback(_give_up, loading)
        store = await Conversations.open(settings.database)
        undoing.push_async_callback(store.close)
        if settings.retention_days is not None:
            await store.forget(settings.retention_days)
        storage = await open_storage(settings.answers)
        undoing.push_async_callback(storage.close)
        engine = await loading
        undoing.pop_all()
    return LeafstreamApp(settings, engine, served, store, storage)


async def _give_up(loading: asyncio.Future[Engine]) -> None:
    """Close an engine that is not needed; what it failed with is told by who awaited it."""
    loading.cancel()
    await asyncio.wait({loading})
    if not loading.cancelled() and loading.exception() is None:
        await loading.result().close()


def check_exposure(settings: Settings) -> None:
    """Raises SetupError where everybody on a network could ask without a key."""
    if settings.keys_file is None and not settings.open and not is_loopback(settings.host):
        raise SetupError(
            f"listening on {settings.host} without keys would serve everybody who reaches it; make "
            "a key with 'leafstream keys add NAME' and set LEAFSTREAM_KEYS_FILE, or set "
            "LEAFSTREAM_OPEN=true if that is meant"
        )


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that holds the port, not listening yet. Raises SetupError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
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
