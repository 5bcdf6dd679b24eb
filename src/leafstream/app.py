"""The composition root: everything is built here and passed down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from leafstream import __version__
from leafstream.engines.base import Engine
from leafstream.faces import conversations, failures, native, page
from leafstream.faces.access import Access
from leafstream.faces.callers import Callers
from leafstream.faces.openai import routes as openai
from leafstream.faces.parts import Parts
from leafstream.keys import Keys
from leafstream.log import WatchedLog
from leafstream.log.storage import Storage
from leafstream.meter import AnswerRecords, Meters
from leafstream.metrics import CONTENT_TYPE, Load, Metrics
from leafstream.port import is_loopback
from leafstream.rounds import Rounds
from leafstream.runs import Runs
from leafstream.served import Served
from leafstream.settings import Settings
from leafstream.stopping import CLOSE_SECONDS
from leafstream.store.conversations import Conversations
from leafstream.tracing import Traces
from leafstream.writer import Limits

logger = logging.getLogger("leafstream.app")


class LeafstreamApp(FastAPI):
    """The ASGI application; `runs` is what a server drains before it closes connections."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        served: Served,
        store: Conversations,
        storage: Storage,
    ) -> None:
        keys = Keys(settings.keys_file)
        callers = _callers(settings, keys, served)
        super().__init__(
            title="leafstream",
            version=__version__,
            lifespan=_lifespan,
            dependencies=[Depends(callers.admit)],
        )
        self.engine = engine
        self.settings = settings
        self.store = store
        self.metrics = Metrics(__version__, engine.model, self._load)
        records = AnswerRecords(prompts=settings.log_prompts)
        self.traces = traces = _traces(settings, engine)
        meter = Meters(self.metrics, records, *([traces] if traces else []))
        self.log = log = WatchedLog(storage, meter, settings.log_patience_seconds)
        self.runs = Runs(engine, log, served.assistants, store, _limits(settings, keys))
        failures.install(self)
        if settings.origins:
            self._let_sites_in(settings.origins)
        self.add_middleware(Access, meter=meter)
        parts = Parts(settings, served.assistants, engine, self.runs, log, store)
        for router in (native.router, conversations.router, openai.router, *served.routers):
            self.include_router(router(parts))
        self.include_router(page.router())  # last: an app may bring a page of its own
        self._health()
        if settings.metrics:
            self._show_metrics()

    def _let_sites_in(self, origins: tuple[str, ...]) -> None:
        self.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            # Which site calls is what counts, and clients (OpenAI's) send headers of their own.
            allow_headers=["*"],
            expose_headers=["Leafstream-Answer", "Retry-After"],
        )

    def _load(self) -> Load:
        return Load(
            running=self.runs.num_running,
            queued=self.runs.num_waiting,
            readers=self.log.num_readers,
            slots=self.engine.slots,
            free_slots=self.runs.num_free_slots,
            standings=self.engine.standings,
        )

    def _show_metrics(self) -> None:
        @self.get("/metrics", tags=["health"], response_class=PlainTextResponse)
        async def metrics() -> Response:
            """What this process does, in Prometheus's text format."""
            return Response(self.metrics.text(), media_type=CONTENT_TYPE)

    def _health(self) -> None:
        @self.get("/healthz", tags=["health"])
        async def healthz() -> JSONResponse:
            """The process is alive."""
            return JSONResponse({"status": "ok"})

        @self.get("/readyz", tags=["health"])
        async def readyz() -> JSONResponse:
            """New answers are taken and the engine can write them; what it is and how busy."""
            status, reason = self._readiness()
            content = {
                "status": status,
                "reason": reason,
                "model": self.engine.model,
                "context_window": self.engine.context_window,
                "slots": self.engine.slots,
                "free_slots": self.runs.num_free_slots,
            }
            if standings := self.engine.standings:
                # Anybody may ask: where they are is in the log and the metrics.
                content["upstreams"] = [{"out": one.out, "busy": one.busy} for one in standings]
            return JSONResponse(content, 503 if reason else 200)

    def _readiness(self) -> tuple[str, str]:
        """The status, and why it is not ready, as a sentence."""
        if self.runs.draining:
            return "stopping", "this server is stopping"
        outage = self.engine.outage
        return ("engine_unavailable", outage) if outage else ("ready", "")


def _callers(settings: Settings, keys: Keys, served: Served) -> Callers:
    return Callers(
        keys,
        settings.origins,
        local=is_loopback(settings.host) and not settings.open,
        public=served.public,
    )


def _limits(settings: Settings, keys: Keys) -> Limits:
    return Limits(
        queue=settings.queue,
        share=settings.share,
        shares=keys.share,
        grace=settings.grace_seconds,
        first_token=settings.first_token_seconds,
        total=settings.total_seconds,
        patience=settings.engine_patience_seconds,
        takeover=settings.takeover_seconds,
    )


def _traces(settings: Settings, engine: Engine) -> Traces | None:
    if settings.otlp_endpoint is None:
        return None
    return Traces.open(settings.otlp_endpoint, __version__, engine.model)


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
        await _close(app.engine)
        await app.log.close()
        await app.store.close()
        if app.traces is not None:
            await asyncio.to_thread(app.traces.close)


async def _close(engine: Engine) -> None:
    """Close the engine, or leave it to the end of the process where that takes too long."""
    closing = asyncio.ensure_future(engine.close())
    await asyncio.wait({closing}, timeout=CLOSE_SECONDS)
    if closing.done():
        closing.result()
    else:
        closing.cancel()
        logger.error("the engine does not close in %g seconds and is left behind", CLOSE_SECONDS)
