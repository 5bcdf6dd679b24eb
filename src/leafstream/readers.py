"""Readers: who still reads the answers that this process writes, and how long nobody may."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from leafstream.errors import LogUnavailable
from leafstream.log import Log

# Readers in another process tell of themselves once a second.
SEEN_SECONDS = 3.0
# Between an answer's id and the first read lies a look into the log, and the grace may be none.
FIRST_SECONDS = 1.0


class _Audience:
    """How many read one answer, and when somebody looks whether nobody does."""

    __slots__ = ("answer", "leaving", "num")

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.num = 0
        self.leaving: asyncio.TimerHandle | None = None


class Readers:
    """Says `left(answer)` of each answer that nobody read for `grace` seconds, in any process."""

    def __init__(self, log: Log, grace: float, left: Callable[[str], None]) -> None:
        self._log = log
        self._grace = grace
        self._left = left
        self._audiences: dict[str, _Audience] = {}
        self._looking: set[asyncio.Task[None]] = set()

    def expect(self, answer: str) -> None:
        """From now on somebody has to read the answer, until `forget`."""
        audience = self._audiences[answer] = _Audience(answer)
        self._watch(audience, max(self._grace, FIRST_SECONDS))

    def forget(self, answer: str) -> None:
        """It is written no more."""
        audience = self._audiences.pop(answer, None)
        if audience is not None:
            self._unwatch(audience)

    @contextmanager
    def reading(self, answer: str) -> Iterator[None]:
        """Counts the caller among the answer's readers while the context is open."""
        with self._counted(answer, self._grace):
            yield

    @contextmanager
    def starting(self, answer: str) -> Iterator[None]:
        """Counts who asked for the answer, while its id is not told yet."""
        with self._counted(answer, max(self._grace, FIRST_SECONDS)):
            yield

    @contextmanager
    def _counted(self, answer: str, grace: float) -> Iterator[None]:
        audience = self._audiences.get(answer)
        if audience is None:
            yield
            return
        audience.num += 1
        self._unwatch(audience)
        try:
            yield
        finally:
            audience.num -= 1
            self._watch(audience, grace)

    def _watch(self, audience: _Audience, seconds: float) -> None:
        if audience.num == 0 and self._audiences.get(audience.answer) is audience:
            loop = asyncio.get_running_loop()
            audience.leaving = loop.call_later(seconds, self._look_soon, audience)

    @staticmethod
    def _unwatch(audience: _Audience) -> None:
        if audience.leaving is not None:
            audience.leaving.cancel()
            audience.leaving = None

    def _look_soon(self, audience: _Audience) -> None:
        task = asyncio.create_task(self._look(audience))
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def _look(self, audience: _Audience) -> None:
        """Give an answer up that nobody reads, unless somebody does in another process.

        Or here, where he came before this process took the answer over.
        """
        answer = audience.answer
        within = max(self._grace, SEEN_SECONDS)
        try:
            elsewhere = self._log.is_read(answer) or await self._log.seen(answer, within)
        except LogUnavailable:
            elsewhere = True  # ask again when it is back
        if audience.num or self._audiences.get(answer) is not audience:
            return
        if elsewhere:
            self._watch(audience, self._grace)
        else:
            self._left(answer)
