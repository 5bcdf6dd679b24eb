"""Several processes that serve one port over one engine: `leafstream serve --workers N`.

The parent holds the listening socket and the engine's process, and starts a worker again that
ended without being told. The model is loaded once: by an upstream that the settings name, or by
llama.cpp in a process of its own that the workers reach over loopback with a key made for it. The
workers share the log, so a client may come back to any of them, and they go on with what a dead
one was writing. What is set is read once, by the parent, and handed to all of them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Coroutine, Mapping
from typing import Any

import httpx2
import msgspec
from pydantic import SecretStr

from leafstream.engine_choice import DEFAULT_SLOTS, check_engine, llamacpp_model, loads_model
from leafstream.engine_process import KEY
from leafstream.engines.checkpoint import PREFIX as TRANSFORMERS
from leafstream.errors import SetupError
from leafstream.models.fetch import Progress, cache_folder, resolve
from leafstream.notify import Notices, notify, notify_ready
from leafstream.port import LISTEN_FD, PARENT, bound_socket, check_exposure, url_of
from leafstream.settings import Settings, handed
from leafstream.stopping import ENGINE_SECONDS, KILL_SECONDS

logger = logging.getLogger("leafstream.workers")

FIRST_BACKOFF, LONGEST_BACKOFF = 0.2, 10.0
LOAD_SECONDS = 300.0
SETUP_FAILED = 2
# The engine's process has these; beside an upstream they would be refused.
_ENGINES_OWN = ("model", "chat_template", "threads", "repeatable")

Environment = Mapping[str, str]


class Crew(msgspec.Struct, frozen=True):
    """How many workers, and the arguments of `leafstream serve` for each."""

    count: int
    arguments: tuple[str, ...] = ()


def run(settings: Settings, crew: Crew, progress: Progress | None = None) -> None:
    """Serve until a signal. Raises SetupError before the port opens where it cannot."""
    check_exposure(settings)
    _check(settings)
    if loads_model(settings):
        # Before there is a loop or a child: a signal ends the fetching at once, as it ends any
        # program, and the next start continues it.
        cache = cache_folder(settings.cache_folder)
        resolve(settings.model, cache=cache, progress=progress, offline=settings.offline)
    asyncio.run(serve_workers(settings, crew))


async def serve_workers(settings: Settings, crew: Crew) -> None:
    """Serve until a signal, with a model that is here. Raises SetupError."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    keeping: list[_Child] = []
    with bound_socket(settings.host, settings.port) as listener:
        listener.listen(2048)
        try:
            await _unless(stopping, _start(settings, crew, listener, keeping, stopping))
            await stopping.wait()
        finally:
            notify("STOPPING=1")
            logger.info("stopping %d workers", crew.count)
            await _stop(keeping, settings.drain_seconds + KILL_SECONDS)
    refused = next((child for child in keeping if child.is_refused), None)
    if refused is not None:
        raise SetupError(f"the {refused.name} cannot start; what it said is above")


async def _unless(stopping: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do the work; give it up when a signal comes first."""
    doing, told = asyncio.ensure_future(work), asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({doing, told}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        doing.cancel()
        told.cancel()
        await asyncio.wait({doing, told})
    if not doing.cancelled():
        doing.result()


async def _start(
    settings: Settings,
    crew: Crew,
    listener: socket.socket,
    keeping: list[_Child],
    stopping: asyncio.Event,
) -> None:
    """Start the engine and then the workers; each is in `keeping` as soon as it is begun."""
    theirs = settings
    if loads_model(settings):
        order, url, theirs = await _engine(settings, crew)
        keeping.append(_Child(order, stopping))
        await _until_ready(keeping[0], f"{url}/health")
    workers = [_Child(order, stopping) for order in _workers(crew, theirs, listener)]
    keeping += workers
    ready = [asyncio.ensure_future(worker.ready.wait()) for worker in workers]
    try:
        await asyncio.wait(ready, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiting in ready:
            waiting.cancel()
    notify_ready(url_of(listener))


def _check(settings: Settings) -> None:
    if settings.answers.startswith("memory"):
        raise SetupError(
            "workers share the log of answers, which cannot be in memory; unset "
            "LEAFSTREAM_ANSWERS_URL or give it a sqlite: or redis: URL"
        )
    check_engine(settings)
    if settings.model.startswith(TRANSFORMERS):
        raise SetupError(
            "--workers needs an engine that processes can share: llama.cpp or LEAFSTREAM_UPSTREAM"
        )


class _Order(msgspec.Struct, frozen=True):
    """What a child is to run."""

    name: str
    command: tuple[str, ...]
    environment: Environment
    fds: tuple[int, ...] = ()


def _workers(crew: Crew, settings: Settings, listener: socket.socket) -> list[_Order]:
    command = (sys.executable, "-m", "leafstream", "serve", *crew.arguments)
    held = {LISTEN_FD: str(listener.fileno()), PARENT: str(os.getpid())}
    given = {**os.environ, **handed(settings), **held}
    return [
        _Order(f"worker {number + 1}", command, given, (listener.fileno(),))
        for number in range(crew.count)
    ]


async def _engine(settings: Settings, crew: Crew) -> tuple[_Order, str, Settings]:
    """The engine's process, its URL, and the settings with which a worker finds it."""
    await llamacpp_model(settings)  # it is here already; what else is wrong is told now
    with bound_socket("127.0.0.1", 0) as probe:
        url = url_of(probe)
        port = probe.getsockname()[1]
    key = secrets.token_urlsafe(24)
    each = max(1, (settings.slots or DEFAULT_SLOTS) // crew.count)
    engines = settings.model_copy(update={"slots": each * crew.count})
    own = {**os.environ, **handed(engines), KEY: key}
    command = (sys.executable, "-m", "leafstream.engine_process", str(port))
    left = settings.model_dump(exclude_unset=True, exclude=set(_ENGINES_OWN))
    theirs = Settings(**{**left, "upstream": url, "upstream_key": SecretStr(key), "slots": each})
    return _Order("engine", command, own), url, theirs


async def _until_ready(engine: _Child, url: str) -> None:
    """Raises SetupError where it ends, or takes too long."""
    try:
        async with asyncio.timeout(LOAD_SECONDS):
            await _until_healthy(engine, url)
    except TimeoutError:
        raise SetupError(
            f"the engine was not ready after {LOAD_SECONDS:g} seconds; take a smaller model, or "
            "look at what else this machine does"
        ) from None
    engine.ready.set()


async def _until_healthy(engine: _Child, url: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as http:
        while True:
            if engine.num_ends:
                raise SetupError("the engine cannot start; what it said is above")
            try:
                if (await http.get(url, timeout=2)).is_success:
                    return
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.1)


class _Child:
    """A process of ours that is started again when it ends by itself.

    One that refuses to start (exit code 2) is not: it sets `stopping`. But where it was `ready`
    before, what it needs is only away for a while.
    """

    def __init__(self, order: _Order, stopping: asyncio.Event) -> None:
        self.name = order.name
        self.num_ends = 0
        self.is_refused = False
        self.ready = asyncio.Event()
        self._order = order
        self._stopping = stopping
        self._process: asyncio.subprocess.Process | None = None
        self._keeping = asyncio.create_task(self._keep(), name=order.name)

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        with Notices() as notices:
            loop.add_reader(notices.fileno(), self._hear, notices)
            try:
                await self._run_always(notices)
            finally:
                loop.remove_reader(notices.fileno())

    def _hear(self, notices: Notices) -> None:
        if notices.take().get("READY") == "1":
            self.ready.set()

    async def _run_always(self, notices: Notices) -> None:
        """Run it, again and again; longer and longer waits where it ends at once."""
        clock = asyncio.get_running_loop().time
        backoff = FIRST_BACKOFF
        environment = {**self._order.environment, "NOTIFY_SOCKET": notices.address}
        while True:
            begun = clock()
            self._process = await asyncio.create_subprocess_exec(
                *self._order.command, env=environment, pass_fds=self._order.fds
            )
            code = await self._process.wait()
            self._hear(notices)  # what it said last may not have been heard yet
            self.num_ends += 1
            if code == SETUP_FAILED and not self.ready.is_set():
                self.is_refused = True
                self._stopping.set()
                return
            lived = clock() - begun
            backoff = (
                FIRST_BACKOFF if lived > LONGEST_BACKOFF else min(2 * backoff, LONGEST_BACKOFF)
            )
            logger.warning("%s ended with code %d; again in %.1f s", self.name, code, backoff)
            await asyncio.sleep(backoff)

    async def stop(self, seconds: float) -> None:
        """SIGTERM, and SIGKILL where it has not ended after so many seconds."""
        self._keeping.cancel()
        await asyncio.wait({self._keeping})
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), seconds)
        except TimeoutError:
            logger.warning("%s did not end in %g seconds and is killed", self.name, seconds)
            self._process.kill()
            await self._process.wait()


async def _stop(children: list[_Child], seconds: float) -> None:
    """The workers drain first; the engine goes when nobody asks it any more."""
    for engine, patience in ((False, seconds), (True, ENGINE_SECONDS)):
        those = [child for child in children if (child.name == "engine") is engine]
        await asyncio.gather(*(child.stop(patience) for child in those))
