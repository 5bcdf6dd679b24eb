"""The newest events of an answer, for its readers in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from leafstream.events import Event, is_terminal
from leafstream.log.records import Batch, Record, merged

KEPT = 64
"""Events that stay in memory for readers a little behind; who is further back reads the storage."""


class Tail:
    """Events up to number `last`, growing. `readers` counts who waits for them here.

    `fenced` says why the writer here may not write any more; `cancel_wanted` that another process
    was asked for the answer's end; `is_closed` that its end was said, be it durable or not yet.
    Of an answer that another process writes, `is_followed` says that all was seen which came before
    its news are listened to.
    """

    def __init__(self, last: int, *, ended: bool, mine: bool) -> None:
        self.last = last
        self.ended = ended
        self.mine = mine
        self.readers = 0
        self.fenced: str | None = None
        self.cancel_wanted = False
        self.is_closed = False
        self.is_followed = False
        self._events: list[Event] = []
        self._shared: tuple[int, Batch] = (-1, Batch())
        self._waiting: set[asyncio.Future[bool]] = set()

    def take(self, record: Record) -> None:
        """Add what is new of a durable record."""
        self.grow(record.events[max(0, self.last + 1 - record.first) :])

    def grow(self, events: Sequence[Event]) -> None:
        """Add what is durable and wake the readers."""
        if not events:
            return
        self._events.extend(events)
        self.last += len(events)
        self.ended = is_terminal(events[-1])
        if len(self._events) > 2 * KEPT:
            del self._events[:-KEPT]
        self.wake()

    def wake(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for reader in waiting:
            if not reader.done():
                reader.set_result(True)

    def since(self, after: int) -> Batch | None:
        """The entries after a number; None where they are no longer in memory."""
        first = self.last - len(self._events) + 1
        if after + 1 < first:
            return None
        place, shared = self._shared
        if place != after or not shared or shared[-1].number != self.last:
            shared = merged(after + 1, self._events[after + 1 - first :])
            self._shared = (after, shared)
        return shared

    async def grown(self, idle: float | None = None) -> bool:
        """Wait until there is more; False after `idle` seconds without."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        self._waiting.add(turn)
        timer = None if idle is None else loop.call_later(idle, _give_up, turn)
        try:
            return await turn
        finally:
            if timer is not None:
                timer.cancel()
            self._waiting.discard(turn)


def _give_up(turn: asyncio.Future[bool]) -> None:
    if not turn.done():
        turn.set_result(False)


class Tails(dict[str, Tail]):
    """The answers that are written or read in this process.

    `have_foreign` is set while there may be some that another process writes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.have_foreign = asyncio.Event()

    @property
    def num_readers(self) -> int:
        return sum(tail.readers for tail in self.values())

    def foreign(self) -> dict[str, Tail]:
        """Those that another process writes."""
        return {answer: tail for answer, tail in self.items() if not tail.mine and not tail.ended}

    def drop_idle(self, answer: str) -> None:
        """Forget a tail that nobody here reads or writes."""
        tail = self.get(answer)
        if tail is not None and not tail.readers and not tail.mine:
            del self[answer]

    def wake_all(self) -> None:
        for tail in self.values():
            tail.wake()
