"""Several processes that serve one port over one engine: `leafstream serve --workers N`.

The parent holds the listening socket and the engine's process, and starts a worker again that
ended without being told. The model is loaded once: by an upstream that the settings name, or by
llama.cpp in a process of its own that the workers reach over loopback with a key made for it. The
workers share the log, so a client may come back to any of them, and they go on with what a dead
one was writing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Mapping

import httpx2
import msgspec

from leafstream.engine_choice import DEFAULT_SLOTS, llamacpp_model
from leafstream.engine_process import KEY
from leafstream.errors import SetupError
from leafstream.models.fetch import Progress
from leafstream.server import LISTEN_FD, bound_socket, check_exposure
from leafstream.settings import Settings

logger = logging.getLogger("leafstream.workers")

FIRST_BACKOFF, LONGEST_BACKOFF = 0.2, 10.0
LOAD_SECONDS = 300.0
SETUP_FAILED = 2
# The engine's process has these; beside an upstream they would be refused.
_ENGINES_OWN = ("LEAFSTREAM_CHAT_TEMPLATE", "LEAFSTREAM_THREADS", "LEAFSTREAM_MODEL")

Environment = Mapping[str, str]


class Crew(msgspec.Struct, frozen=True):
    """How many workers, the arguments of `leafstream serve` for each, and settings by flags."""

    count: int
    arguments: tuple[str, ...] = ()
    flags: Environment = {}


async def serve_workers(settings: Settings, crew: Crew, progress: Progress | None = None) -> None:
    """Serve until a signal. Raises SetupError before the port opens where it cannot."""
    check_exposure(settings)
    _check(settings)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopping.set)
    environment = {**os.environ, **crew.flags}
    with bound_socket(settings.host, settings.port) as listener:
        listener.listen(2048)
        keeping: list[_Child] = []
        try:
            if settings.upstream is None and not settings.model.startswith("scripted:"):
                engine, environment = await _engine(settings, crew, stopping, progress)
                keeping.append(engine)
            keeping += _workers(crew, environment, listener, stopping)
            await stopping.wait()
        finally:
            await _stop(keeping)
        if any(child.is_refused for child in keeping):
            raise SetupError("a worker cannot start; what it said is above")


def _check(settings: Settings) -> None:
    if settings.answers.startswith("memory"):
        raise SetupError(
            "workers share the log of answers, which cannot be in memory; unset "
            "LEAFSTREAM_ANSWERS_URL or give it a sqlite: or redis: URL"
        )
    if settings.model.startswith("transformers:") and settings.upstream is None:
        raise SetupError(
            "--workers needs an engine that processes can share: llama.cpp or LEAFSTREAM_UPSTREAM"
        )


def _workers(
    crew: Crew, environment: Environment, listener: socket.socket, stopping: asyncio.Event
) -> list[_Child]:
    command = (sys.executable, "-m", "leafstream", "serve", *crew.arguments)
    given = {**environment, LISTEN_FD: str(listener.fileno())}
    return [
        _Child(f"worker {number + 1}", command, given, stopping, (listener.fileno(),))
        for number in range(crew.count)
    ]


async def _engine(
    settings: Settings, crew: Crew, stopping: asyncio.Event, progress: Progress | None
) -> tuple[_Child, dict[str, str]]:
    """The engine's process, ready, and the environment in which a worker finds it."""
    await llamacpp_model(settings, progress)
    environment = {**os.environ, **crew.flags}
    with bound_socket("127.0.0.1", 0) as probe:
        port = probe.getsockname()[1]
    key = secrets.token_urlsafe(24)
    each = max(1, (settings.slots or DEFAULT_SLOTS) // crew.count)
    own = {**environment, KEY: key, "LEAFSTREAM_SLOTS": str(each * crew.count)}
    command = (sys.executable, "-m", "leafstream.engine_process", str(port))
    child = _Child("engine", command, own, stopping)
    try:
        await _until_ready(child, f"http://127.0.0.1:{port}/health")
    except BaseException:
        await child.stop()
        raise
    told = {name: value for name, value in environment.items() if name not in _ENGINES_OWN}
    told |= {
        "LEAFSTREAM_UPSTREAM": f"http://127.0.0.1:{port}",
        "LEAFSTREAM_UPSTREAM_KEY": key,
        "LEAFSTREAM_SLOTS": str(each),
    }
    return child, told


async def _until_ready(child: _Child, url: str) -> None:
    async with asyncio.timeout(LOAD_SECONDS), httpx2.AsyncClient(trust_env=False) as http:
        while True:
            if child.num_ends:
                raise SetupError("the engine cannot start; what it said is above")
            try:
                if (await http.get(url, timeout=2)).is_success:
                    return
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.1)


class _Child:
    """A process of ours that is started again when it ends by itself.

    One that refuses to start (exit code 2) is not: it sets `stopping`.
    """

    def __init__(
        self,
        name: str,
        command: tuple[str, ...],
        environment: Environment,
        stopping: asyncio.Event,
        fds: tuple[int, ...] = (),
    ) -> None:
        self.name = name
        self.num_ends = 0
        self.is_refused = False
        self._stopping = stopping
        self._command = command
        self._environment = environment
        self._fds = fds
        self._process: asyncio.subprocess.Process | None = None
        self._keeping = asyncio.create_task(self._keep(), name=name)

    async def _keep(self) -> None:
        """Run it, again and again; longer and longer waits where it ends at once."""
        clock = asyncio.get_running_loop().time
        backoff = FIRST_BACKOFF
        while True:
            begun = clock()
            self._process = await asyncio.create_subprocess_exec(
                *self._command, env=self._environment, pass_fds=self._fds
            )
            code = await self._process.wait()
            self.num_ends += 1
            if code == SETUP_FAILED:
                self.is_refused = True
                self._stopping.set()
                return
            lived = clock() - begun
            backoff = (
                FIRST_BACKOFF if lived > LONGEST_BACKOFF else min(2 * backoff, LONGEST_BACKOFF)
            )
            logger.warning("%s ended with code %d; again in %.1f s", self.name, code, backoff)
            await asyncio.sleep(backoff)

    async def stop(self) -> None:
        """SIGTERM, and wait for as long as its draining takes."""
        self._keeping.cancel()
        await asyncio.wait({self._keeping})
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()


async def _stop(children: list[_Child]) -> None:
    """The workers drain first; the engine goes when nobody asks it any more."""
    await asyncio.gather(*(child.stop() for child in children if child.name != "engine"))
    await asyncio.gather(*(child.stop() for child in children if child.name == "engine"))
