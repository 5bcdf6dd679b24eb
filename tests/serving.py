"""A whole `leafstream serve` in a process of its own, that can be killed and started again."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from leafstream.events import Event, decode
from tests.nursery import Child, nursery
from tests.redis import free_port, redis_server

START_SECONDS = 60
IS_TEST = "PYTEST_VERSION" in os.environ


def client(url: str = "", timeout: float = 30) -> httpx2.AsyncClient:
    """Of servers on loopback."""
    # Nobody looks at certificates here, and to load them costs more than an answer.
    return httpx2.AsyncClient(base_url=url, timeout=timeout, trust_env=False, verify=False)


async def is_ready(http: httpx2.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).is_success
    except httpx2.TransportError:
        return False


class Serving:
    """One server over the files in `folder`; `settings` are LEAFSTREAM_… without the prefix."""

    def __init__(
        self,
        folder: Path,
        port: int,
        settings: dict[str, Any],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.is_up = False
        self._folder = folder
        self._environment = {
            **{name: value for name, value in os.environ.items() if "LEAFSTREAM" not in name},
            "LEAFSTREAM_PORT": str(port),
            "LEAFSTREAM_DATABASE_URL": f"sqlite:///{folder / 'test.db'}",
            **{f"LEAFSTREAM_{name.upper()}": str(value) for name, value in settings.items()},
            **(environment or {}),
        }
        self._process: Child | asyncio.subprocess.Process | None = None

    @property
    def memory(self) -> int:
        """Resident bytes."""
        assert self._process is not None
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    async def start(self) -> None:
        """Start and wait until it is ready."""
        with (self._folder / f"server-{self.url[-5:]}.log").open("a") as log:
            self._process = await self._begun(log.fileno())
        async with asyncio.timeout(START_SECONDS), client(self.url, timeout=2) as http:
            while not await is_ready(http):
                assert self._process.returncode is None, "the server ended before it was ready"
                await asyncio.sleep(0.05)
        self.is_up = True

    async def _begun(self, log: int) -> Child | asyncio.subprocess.Process:
        environment, folder = self._environment, self._folder
        # What is measured starts as everywhere; and a preloaded library comes with a new program.
        if IS_TEST and "LD_PRELOAD" not in environment:
            begin = functools.partial(nursery().begin, "serve")
            return await asyncio.to_thread(begin, environment=environment, folder=folder, log=log)
        command = (sys.executable, "-m", "leafstream", "serve")
        return await asyncio.create_subprocess_exec(
            *command, cwd=folder, env=environment, stdout=log, stderr=log
        )

    async def kill(self) -> None:
        """As `kill -9` does: no goodbye of any kind."""
        await self.stop(signal.SIGKILL)

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        assert self._process is not None
        self.is_up = False
        if self._process.returncode is None:
            self._process.send_signal(how)
        async with asyncio.timeout(30):
            return await self._process.wait()

    def signal(self, which: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(which)

    async def close(self) -> None:
        if self._process is not None and self._process.returncode is None:
            await self.kill()


def played(
    folder: Path,
    script: str,
    delay: float = 0.02,
    environment: Mapping[str, str] | None = None,
    **settings: Any,
) -> Serving:
    """A server that is not started yet and plays `script`, a token every `delay` seconds."""
    (folder / "script.txt").write_text(script)
    model = f"scripted:{folder / 'script.txt'}?delay={delay}"
    return Serving(folder, free_port(), {"model": model, **settings}, environment)


@asynccontextmanager
async def serving(
    folder: Path,
    script: str,
    delay: float = 0.02,
    environment: Mapping[str, str] | None = None,
    **settings: Any,
) -> AsyncIterator[Serving]:
    """A started server that plays `script`, a token every `delay` seconds."""
    server = played(folder, script, delay, environment, **settings)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


class Reading:
    """What a client has of an answer: it goes on from there after every loss."""

    def __init__(self) -> None:
        self.answer = ""
        self.events: list[tuple[int, Event]] = []

    @property
    def last(self) -> int:
        return self.events[-1][0] if self.events else 0

    @property
    def is_over(self) -> bool:
        return bool(self.events) and self.events[-1][1].kind in ("finished", "failed", "cancelled")

    async def begin(self, url: str, body: dict[str, Any], upto: int = 0) -> None:
        """Ask, and read until `upto` events are there, or to the end."""
        request = ("POST", f"{url}/v1/answers")
        await self._read(request, {"Accept": "text/event-stream"}, body, upto)

    async def go_on(self, url: str, upto: int = 0) -> None:
        """Read on from the last event, from whichever server."""
        request = ("GET", f"{url}/v1/answers/{self.answer}/events")
        await self._read(request, {"Last-Event-ID": str(self.last)}, None, upto)

    async def _read(
        self,
        request: tuple[str, str],
        headers: dict[str, str],
        body: dict[str, Any] | None,
        upto: int,
    ) -> None:
        async with (
            client() as http,
            http.stream(*request, headers=headers, json=body) as response,
        ):
            assert response.status_code == 200, await response.aread()
            self.answer = response.headers["leafstream-answer"]
            async for sent in httpx2.EventSource(response):
                if sent.data:
                    self.events.append((int(sent.id), decode(sent.event, sent.data.encode())))
                if upto and self.last >= upto:
                    return


class Replicas:
    """Two servers over one storage, for all tests of a file, whichever of them is up before."""

    def __init__(self, first: Serving, second: Serving) -> None:
        self._first, self._second = first, second

    async def both(self) -> tuple[Serving, Serving]:
        servers = (self._first, self._second)
        await asyncio.gather(*(server.start() for server in servers if not server.is_up))
        return servers

    async def alone(self) -> Serving:
        """One that has no neighbour."""
        await self._first.close()
        if not self._second.is_up:
            await self._second.start()
        return self._second


@asynccontextmanager
async def replicas(
    folder: Path, script: str, storage: str, delay: float = 0.02, **settings: Any
) -> AsyncIterator[Replicas]:
    """Replicas over "sqlite" or "redis" that are started when they are needed."""
    async with AsyncExitStack() as stack:
        if storage == "redis":
            redis = await stack.enter_async_context(redis_server(folder))
            settings["answers_url"] = redis.url
        servers = [played(folder, script, delay, **settings) for _ in range(2)]
        for server in servers:
            stack.push_async_callback(server.close)
        yield Replicas(*servers)


async def until(happened: Callable[[], bool], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not happened():
            await asyncio.sleep(0.02)
