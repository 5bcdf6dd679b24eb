"""Several upstreams of one model: which of them is asked next, and which are out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b

from leafstream.engines.base import Standing
from leafstream.engines.openai.circuit import Circuit
from leafstream.engines.openai.connection import Client
from leafstream.engines.openai.failures import UpstreamUnavailable, status_error
from leafstream.errors import EngineError, EngineMisconfigured

logger = logging.getLogger("leafstream.engines.openai")

HEALTHY_SECONDS = 10.0
OUT_SECONDS = 1.0
HEALTH_SECONDS = 5.0


Failure = UpstreamUnavailable | EngineMisconfigured
"""What says that an upstream cannot be used, and nothing of the request."""
FAILURES = (UpstreamUnavailable, EngineMisconfigured)


class Upstream:
    """One server: its connections, how many requests it has from here, and its circuit."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.busy = 0
        self.circuit = Circuit()
        self.failure: Failure | None = None

    @property
    def url(self) -> str:
        return self.client.target.url

    def located(self, message: str) -> str:
        """What an error of its says, with its URL: for the operator."""
        return self.client.source.located(message)

    def standing(self) -> Standing:
        out = self.circuit.is_open
        return Standing(self.url, self.busy, out, self.circuit.reason if out else "")

    def succeeded(self) -> None:
        if self.circuit.succeeded():
            logger.warning("upstream %s is back", self.url)

    def failed(self, error: Failure, *, at_once: bool = False) -> None:
        """Count a failure; one that only says it is busy is none, a wrong setting is enough."""
        if isinstance(error, UpstreamUnavailable) and error.busy:
            self.circuit.gave_up()
            return
        self.failure = error
        wrong = isinstance(error, EngineMisconfigured)
        if self.circuit.failed(time.monotonic(), error.message, at_once=at_once or wrong):
            said = error.sentence if isinstance(error, EngineMisconfigured) else error.message
            logger.warning("upstream %s is out: %s", self.url, self.located(said))

    @property
    def is_misconfigured(self) -> bool:
        return self.circuit.is_open and isinstance(self.failure, EngineMisconfigured)


class Pool:
    """`health` is the path that tells whether a server is well.

    `trial` has an upstream write a token: health alone does not show that it can.
    """

    def __init__(
        self, upstreams: list[Upstream], health: str, trial: Callable[[Upstream], Awaitable[None]]
    ) -> None:
        self._upstreams = upstreams
        self._health = health
        self._trial = trial
        self._tasks: list[asyncio.Task[None]] = []
        self._mended = asyncio.Event()

    def standings(self) -> tuple[Standing, ...]:
        return tuple(upstream.standing() for upstream in self._upstreams)

    def watch(self) -> None:
        """Look after every upstream's health until `close`."""
        self._tasks = [asyncio.create_task(self._look_after(up)) for up in self._upstreams]

    async def choose(
        self, key: str | None, patience: float, tried: Collection[Upstream] = ()
    ) -> Upstream:
        """The least busy upstream that is in, waiting `patience` seconds for one to come back.

        One that was `tried` comes last. Of equally busy ones it is always the same for a key,
        whose prefix that one may hold in its cache. Raises UpstreamUnavailable with the reasons,
        or EngineMisconfigured at once where waiting cannot help.
        """
        deadline = time.monotonic() + patience
        while (found := self._least_busy(key, tried)) is None:
            left = deadline - time.monotonic()
            if left <= 0 or self._is_misconfigured():
                raise self._none_in()
            self._mended.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, OUT_SECONDS)):
                    await self._mended.wait()
        return found

    def _least_busy(self, key: str | None, tried: Collection[Upstream]) -> Upstream | None:
        now = time.monotonic()

        def rank(up: Upstream) -> tuple[bool, bool, int, bytes]:
            # Two checksums differ by the same bits for every key, so one upstream would win more.
            drawn = blake2b(f"{key} {up.url}".encode(), digest_size=8).digest()
            return up in tried, up.circuit.is_open, up.busy, drawn

        admitting = [up for up in self._upstreams if up.circuit.can_admit(now)]
        return min(admitting, key=rank, default=None)

    def has_other(self, tried: Collection[Upstream]) -> bool:
        """Whether one that is in has not been tried."""
        return any(not up.circuit.is_open and up not in tried for up in self._upstreams)

    def _is_misconfigured(self) -> bool:
        return all(upstream.is_misconfigured for upstream in self._upstreams)

    def _none_in(self) -> Failure:
        reasons = "; ".join(up.circuit.reason for up in self._upstreams)
        if self._is_misconfigured():
            return EngineMisconfigured(reasons, advice="the log says which setting to mend")
        return UpstreamUnavailable(f"no upstream is in: {reasons}")

    @contextmanager
    def asking(self, upstream: Upstream) -> Iterator[None]:
        """Counts a request; a Failure that leaves the context counts as one of the upstream's.

        That it succeeded is for the caller to say, as soon as it knows.
        """
        upstream.circuit.admit()
        upstream.busy += 1
        try:
            yield
        except FAILURES as error:
            upstream.failed(error)
            raise
        except BaseException:
            upstream.circuit.gave_up()
            raise
        finally:
            upstream.busy -= 1

    async def _look_after(self, upstream: Upstream) -> None:
        """Ask for its health now and then; while it is out every second, and let it try."""
        looked, was_well = time.monotonic(), True
        while True:
            await asyncio.sleep(OUT_SECONDS)
            circuit, now = upstream.circuit, time.monotonic()
            if not circuit.is_open and now - looked < HEALTHY_SECONDS:
                continue
            is_well = await self._is_well(upstream)
            if is_well and circuit.is_open and (not was_well or circuit.can_admit(now)):
                await self._let_try(upstream)
            looked, was_well = now, is_well

    async def _let_try(self, upstream: Upstream) -> None:
        try:
            with self.asking(upstream):
                await self._trial(upstream)
        except EngineError as error:
            said = upstream.located(error.message)
            logger.info("upstream %s is well but does not write: %s", upstream.url, said)
        else:
            upstream.succeeded()
            self._mended.set()

    async def _is_well(self, upstream: Upstream) -> bool:
        try:
            async with upstream.client.request(self._health, seconds=HEALTH_SECONDS) as reply:
                body = await reply.body(HEALTH_SECONDS)
                if reply.status >= 500:
                    raise status_error(upstream.client.source, reply.status, reply.headers, body)
        except EngineError as error:
            upstream.failed(UpstreamUnavailable(error.message), at_once=True)
            return False
        return True

    async def close(self) -> None:
        for upstream in self._upstreams:
            upstream.client.close()
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error
