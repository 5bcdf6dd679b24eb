"""Several upstreams of one model: which of them is asked next, and which are out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from zlib import crc32

import msgspec

from leafstream.engines.openai.circuit import Circuit
from leafstream.engines.openai.connection import Client
from leafstream.engines.openai.failures import UpstreamUnavailable, status_error
from leafstream.errors import EngineError

logger = logging.getLogger("leafstream.engines.openai")

HEALTHY_SECONDS = 10.0
OUT_SECONDS = 1.0
HEALTH_SECONDS = 5.0


class Standing(msgspec.Struct, frozen=True):
    """How an upstream stands; `reason` is why it is out, or empty."""

    url: str
    busy: int
    out: bool
    reason: str = ""


class Upstream:
    """One server: its connections, how many requests it has from here, and its circuit."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.busy = 0
        self.circuit = Circuit()

    @property
    def url(self) -> str:
        return self.client.target.url

    def standing(self) -> Standing:
        out = self.circuit.is_open
        return Standing(self.url, self.busy, out, self.circuit.reason if out else "")

    def succeeded(self) -> None:
        if self.circuit.succeeded():
            logger.warning("upstream %s is back", self.url)

    def failed(self, error: UpstreamUnavailable, *, at_once: bool = False) -> None:
        """Count a failure; one that only says it is busy is none."""
        if error.busy:
            self.circuit.gave_up()
        elif self.circuit.failed(time.monotonic(), error.message, at_once=at_once):
            logger.warning("upstream %s is out: %s", self.url, error.message)


class Pool:
    """`health` is the path that tells whether a server is well."""

    def __init__(self, upstreams: list[Upstream], health: str) -> None:
        self._upstreams = upstreams
        self._health = health
        self._tasks: list[asyncio.Task[None]] = []
        self._mended = asyncio.Event()

    def standings(self) -> tuple[Standing, ...]:
        return tuple(upstream.standing() for upstream in self._upstreams)

    def watch(self) -> None:
        """Look after every upstream's health until `close`."""
        self._tasks = [asyncio.create_task(self._look_after(up)) for up in self._upstreams]

    async def choose(self, key: str | None, patience: float) -> Upstream:
        """The least busy upstream that is in, waiting `patience` seconds for one to come back.

        Of equally busy ones always the same for a key, which may hold its prefix in its cache.
        Raises UpstreamUnavailable with the reasons.
        """
        deadline = time.monotonic() + patience
        while (found := self._least_busy(key)) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise UpstreamUnavailable(self._reasons())
            self._mended.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, OUT_SECONDS)):
                    await self._mended.wait()
        return found

    def _least_busy(self, key: str | None) -> Upstream | None:
        now = time.monotonic()
        admitting = [up for up in self._upstreams if up.circuit.can_admit(now)]
        return min(
            admitting,
            key=lambda up: (up.circuit.is_open, up.busy, crc32(f"{key} {up.url}".encode())),
            default=None,
        )

    def _reasons(self) -> str:
        reasons = "; ".join(up.circuit.reason for up in self._upstreams)
        return f"no upstream is in: {reasons}"

    @contextmanager
    def asking(self, upstream: Upstream) -> Iterator[None]:
        """Counts a request; UpstreamUnavailable that leaves the context counts as a failure.

        That it succeeded is for the caller to say, as soon as it knows.
        """
        upstream.circuit.admit()
        upstream.busy += 1
        try:
            yield
        except UpstreamUnavailable as error:
            upstream.failed(error)
            raise
        except BaseException:
            upstream.circuit.gave_up()
            raise
        finally:
            upstream.busy -= 1

    async def _look_after(self, upstream: Upstream) -> None:
        """Ask for its health now and then, and every second while it is out."""
        looked, was_well = time.monotonic(), True
        while True:
            await asyncio.sleep(OUT_SECONDS)
            if not upstream.circuit.is_open and time.monotonic() - looked < HEALTHY_SECONDS:
                continue
            is_well = await self._is_well(upstream)
            # Where it was well all along, only an answer shows that it can write again.
            if is_well and not was_well:
                upstream.succeeded()
                self._mended.set()
            looked, was_well = time.monotonic(), is_well

    async def _is_well(self, upstream: Upstream) -> bool:
        try:
            async with upstream.client.request(self._health, seconds=HEALTH_SECONDS) as reply:
                body = await reply.body(HEALTH_SECONDS)
                if reply.status >= 500:
                    raise status_error(upstream.url, reply.status, reply.headers, body)
        except EngineError as error:
            upstream.failed(UpstreamUnavailable(error.message), at_once=True)
            return False
        return True

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for upstream in self._upstreams:
            upstream.client.close()
