"""The composition root: everything is built here and passed down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse

from leafstream import __version__
from leafstream.engines.base import Engine
from leafstream.faces import conversations, failures, native
from leafstream.faces.callers import Callers, is_loopback
from leafstream.faces.openai import routes as openai
from leafstream.faces.parts import Parts
from leafstream.keys import Keys
from leafstream.log import Log
from leafstream.rounds import Rounds
from leafstream.runs import Runs
from leafstream.served import Served
from leafstream.settings import Settings
from leafstream.store.conversations import Conversations
from leafstream.writer import Limits


class LeafstreamApp(FastAPI):
    """The ASGI application; `runs` is what a server drains before it closes connections."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        served: Served,
        store: Conversations,
        log: Log,
    ) -> None:
        keys = Keys(settings.keys_file)
        callers = Callers(
            keys, settings.origins, local=is_loopback(settings.host) and not settings.open
        )
        super().__init__(
            title="leafstream",
            version=__version__,
            lifespan=_lifespan,
            dependencies=[Depends(callers.admit)],
        )
        self.engine = engine
        limits = Limits(
            queue=settings.queue,
            share=settings.share,
            shares=keys.share,
            grace=settings.grace_seconds,
            first_token=settings.first_token_seconds,
            total=settings.total_seconds,
            patience=settings.engine_patience_seconds,
            takeover=settings.takeover_seconds,
        )
        self.log = log
        self.settings = settings
        self.store = store
        self.runs = Runs(engine, log, served.assistants, store, limits)
        failures.install(self)
        if settings.origins:
            self.add_middleware(
                CORSMiddleware,
                allow_origins=settings.origins,
                allow_methods=["GET", "POST", "PATCH", "DELETE"],
                allow_headers=["Authorization", "Content-Type", "Last-Event-ID", "Idempotency-Key"],
                expose_headers=["Leafstream-Answer", "Retry-After"],
            )
        parts = Parts(settings, served.assistants, self.runs, log, store)
        for router in (native.router, conversations.router, openai.router, *served.routers):
            self.include_router(router(parts))
        self._health()

    def _health(self) -> None:
        @self.get("/healthz", tags=["health"])
        async def healthz() -> JSONResponse:
            """The process is alive."""
            return JSONResponse({"status": "ok"})

        @self.get("/readyz", tags=["health"])
        async def readyz() -> JSONResponse:
            """The engine is loaded and new answers are taken; what it is and how busy."""
            stopping = self.runs.draining
            return JSONResponse(
                status_code=503 if stopping else 200,
                content={
                    "status": "stopping" if stopping else "ready",
                    "model": self.engine.model,
                    "context_window": self.engine.context_window,
                    "slots": self.engine.slots,
                    "free_slots": self.runs.num_free_slots,
                },
            )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    assert isinstance(app, LeafstreamApp)
    app.log.start()
    rounds = asyncio.create_task(Rounds(app.settings, app.runs, app.log, app.store).make_always())
    try:
        yield
    finally:
        await app.runs.drain(0)
        rounds.cancel()
        await asyncio.wait({rounds})
        await app.engine.close()
        await app.log.close()
        await app.store.close()
