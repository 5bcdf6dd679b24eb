"""Serving: settings → checks → engine → app → a server that drains before it closes."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext

import uvicorn

from leafstream.app import LeafstreamApp
from leafstream.engines.base import Engine
from leafstream.log.choice import open_storage
from leafstream.notify import notify, notify_ready
from leafstream.port import PARENT, bound_socket, is_worker, url_of
from leafstream.reload import Reload
from leafstream.served import Served
from leafstream.settings import Settings
from leafstream.stopping import END_SECONDS, end_process_after
from leafstream.store.conversations import Conversations

logger = logging.getLogger("leafstream.server")

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


async def serve(
    listener: socket.socket,
    settings: Settings,
    served: Served,
    loading: asyncio.Future[Engine],
    reload: Reload | None = None,
) -> None:
    """Serve until a signal. Raises SetupError before the port opens where it cannot."""
    app = await open_app(settings, served, loading)
    spare_collector()
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    server = Server(config, url_of(listener), ", ".join(served.assistants))
    async with reload or nullcontext(), _ending_with_parent(server):
        await server.serve([listener])


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
        self._ticking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> str:
        # Not serve(): its signal handlers belong to the process, which is not ours here, and its
        # loop looks only ten times a second whether the server is to end.
        config = self._server.config
        config.load()
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup([self._listener])
        self._ticking = asyncio.create_task(self._server.main_loop())
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        assert self._ticking is not None
        self._ticking.cancel()
        await asyncio.wait({self._ticking})
        await self._server.shutdown([self._listener])


async def open_app(
    settings: Settings, served: Served, loading: asyncio.Future[Engine]
) -> LeafstreamApp:
    """Everything an app needs, opened and checked, over an engine that is being opened.

    Raises SetupError.
    """
    async with AsyncExitStack() as undoing:
        # A model is loaded in a thread, and the databases are opened meanwhile.
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
