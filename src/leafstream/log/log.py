"""The log: appended to by one writer an answer, read by anybody, durable before it is seen.

Theory of operation. An answer's events are numbered from 1 without gaps. Whoever writes it holds a
claim: the answer's id and an epoch, which the storage compares at every write, so that a process
that lost its lease and wakes up late is fenced off. `append` only collects; one task flushes what
all answers have collected in one write (group commit: a busy server writes bigger batches, not
more), and wakes the readers after that. So the flush is also where texts are merged: a reader
cannot see more often than the storage commits. Nobody reads from anywhere else: the client that
started an answer reads it as one that comes back does, here or in another process.

A writer whose answer has collected too much waits for the flush (`append` returns late); readers
never hold anybody up. When the storage fails, the flush is tried again for `patience` seconds; then
the answers in it end with a Failed event that their readers get from memory, and that the storage
gets when it is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Sequence

import msgspec

from leafstream.errors import Conflict, Fenced, LogUnavailable, NotFound
from leafstream.events import Event, Failed, is_terminal
from leafstream.log.records import (
    Batch,
    Opening,
    Record,
    encode_record,
    joined,
    merged,
    whole,
)
from leafstream.log.storage import Head, Outcome, Retention, Storage, Write
from leafstream.log.tail import Tail
from leafstream.piece import Piece

logger = logging.getLogger("leafstream.log")

MAX_OF_ONE = 64
MAX_OF_ALL = 2048
"""Events that one answer, and all together, may collect before a writer waits for the flush."""
READ_AT_ONCE = 1024
"""Records that a reader who is far back gets in one batch."""
RETRY_SECONDS = 0.1
OWED_SECONDS = 1.0


class Claim(msgspec.Struct, frozen=True):
    """The right to write an answer."""

    answer: str
    epoch: int = 1


class _Collected:
    """What an answer has to say in the next flush."""

    __slots__ = ("claim", "events", "pieces")

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.events: list[Event] = []
        self.pieces: list[Piece] = []


class Log:
    """A log over a storage. `run` must be running while anything is written or followed."""

    def __init__(self, storage: Storage, patience: float = 30.0) -> None:
        self._storage = storage
        self._patience = patience
        self._tails: dict[str, Tail] = {}
        self._collected: dict[str, _Collected] = {}
        self._fenced: set[str] = set()
        self._cancels: set[str] = set()
        self._owed: list[Write] = []
        self._num_collected = 0
        self._writers: deque[asyncio.Future[None]] = deque()
        self._in_flight: set[str] = set()
        self._dirty = asyncio.Event()
        self._flushed = asyncio.Event()
        self._foreign = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    @property
    def durable(self) -> bool:
        """Whether answers outlive this process."""
        return self._storage.durable

    @property
    def num_readers(self) -> int:
        return sum(tail.readers for tail in self._tails.values())

    def start(self) -> None:
        """Begin to flush and to follow. Call it on the loop that the log is used from."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._flush_always(), name="log flush"),
                asyncio.create_task(self._follow_always(), name="log follow"),
            ]

    def let_readers_go(self) -> None:
        """End every read that waits; who reads over a network comes back, here or elsewhere."""
        self._closing = True
        for tail in self._tails.values():
            tail.wake()

    async def close(self) -> None:
        """Flush what is collected, let the lease go, and stop."""
        if self._tasks:
            while any(map(self._has_news, [*self._collected, *self._in_flight])):
                await self._next_flush()
            await self._storage.release()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._storage.close()

    # Writing

    async def open(self, opening: Opening) -> Claim:
        """Begin an answer; the claim names another answer where one is kept under the same key.

        Raises Conflict where the key was used for another request.
        """
        kept = await self._storage.create(opening)
        if kept.id == opening.id:
            self._tails[opening.id] = Tail(0, ended=False, mine=True)
        elif kept.ask.fingerprint() != opening.ask.fingerprint():
            raise Conflict(
                "this Idempotency-Key was used for another request", param="Idempotency-Key"
            )
        return Claim(kept.id)

    async def append(
        self, claim: Claim, events: Sequence[Event], piece: Piece | None = None
    ) -> None:
        """Add events and the raw text they came from to the next flush.

        Waits while too much is collected. Raises Fenced where the claim is no longer good.
        """
        answer = claim.answer
        if answer in self._fenced:
            raise Fenced(f"the answer {answer!r} is written by another process")
        collected = self._collected.get(answer)
        if collected is None:
            if self._num_collected >= MAX_OF_ALL:
                await self._turn()
            collected = self._collected.setdefault(answer, _Collected(claim))
        if piece is not None:
            collected.pieces.append(piece)
        if events:
            collected.events.extend(events)
            self._num_collected += len(events)
            self._dirty.set()
            if len(collected.events) >= MAX_OF_ONE:
                await self._next_flush()

    async def _turn(self) -> None:
        """Wait until the flush has room; first come, first served."""
        turn = asyncio.get_running_loop().create_future()
        self._writers.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._writers:
                self._writers.remove(turn)
            raise

    def _make_room(self) -> None:
        """The flush took everything: let as many writers on as may fill the next one."""
        self._num_collected = 0
        for _ in range(MAX_OF_ALL // MAX_OF_ONE):
            if not self._writers:
                return
            turn = self._writers.popleft()
            if not turn.done():
                turn.set_result(None)

    async def flush(self, claim: Claim) -> None:
        """Wait until all that was appended is durable. Raises Fenced."""
        while self._has_news(claim.answer):
            await self._next_flush()
        if claim.answer in self._fenced:
            raise Fenced(f"the answer {claim.answer!r} is written by another process")

    def cancel_wanted(self, answer: str) -> bool:
        """Whether another process asked for this answer's end."""
        return answer in self._cancels

    def _has_news(self, answer: str) -> bool:
        collected = self._collected.get(answer)
        return answer in self._in_flight or (collected is not None and bool(collected.events))

    async def _next_flush(self) -> None:
        await self._flushed.wait()

    async def _flush_always(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            # Let every task that is ready say what it has: it costs one turn of the loop.
            await asyncio.sleep(0)
            # Text that led to no event yet waits for the one that it leads to.
            full = {answer: item for answer, item in self._collected.items() if item.events}
            for answer in full:
                del self._collected[answer]
            self._in_flight = set(full)
            self._make_room()
            try:
                await self._commit(list(full.values()))
            finally:
                self._in_flight = set()
                self._flushed.set()
                self._flushed = asyncio.Event()

    async def _commit(self, collected: list[_Collected]) -> None:
        records = [self._record(item) for item in collected]
        writes = [_write(i.claim, record) for i, record in zip(collected, records, strict=True)]
        try:
            outcomes = await self._write([*writes, *self._owed])
        except LogUnavailable as error:
            self._give_up(collected, error)
            return
        self._owed.clear()
        for item, record, outcome in zip(collected, records, outcomes, strict=False):
            self._written(item.claim.answer, record, outcome)

    def _record(self, item: _Collected) -> Record:
        events = joined(item.events)
        tail = self._tails[item.claim.answer]
        return Record(tail.last + len(events), events, whole(item.pieces))

    async def _write(self, writes: list[Write]) -> list[Outcome]:
        """One write, tried again while the storage is away and patience lasts."""
        patience = self._patience if len(writes) > len(self._owed) else 0
        deadline = asyncio.get_running_loop().time() + patience
        while True:
            try:
                return await self._storage.write(writes)
            except LogUnavailable as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                logger.warning("the log waits for its storage: %s", error.message)
                await asyncio.sleep(RETRY_SECONDS)

    def _written(self, answer: str, record: Record, outcome: Outcome) -> None:
        tail = self._tails[answer]
        if outcome == "fenced":
            self._fenced.add(answer)
            tail.mine = False
            tail.wake()
            return
        if outcome == "cancel":
            self._cancels.add(answer)
        tail.grow(record.events)
        self._drop_idle(answer)

    def _give_up(self, collected: list[_Collected], error: LogUnavailable) -> None:
        """End these answers in memory; the storage is owed their ends until it is back."""
        if collected:
            logger.error("the log gives up on %d answers: %s", len(collected), error.message)
        failed = Failed(error.code, error.status, error.message, error.retryable)
        for item in collected:
            tail = self._tails[item.claim.answer]
            self._owed.append(_write(item.claim, Record(tail.last + 1, [failed], [])))
            tail.grow([failed])
            self._fenced.add(item.claim.answer)
        asyncio.get_running_loop().call_later(OWED_SECONDS, self._dirty.set)

    def ended(self, claim: Claim) -> None:
        """The writer is done: forget what only it needed."""
        self._fenced.discard(claim.answer)
        self._cancels.discard(claim.answer)
        if claim.answer in self._tails:
            self._tails[claim.answer].mine = False
            self._drop_idle(claim.answer)

    # Reading

    async def read(
        self, answer: str, after: int = 0, idle: float | None = None
    ) -> AsyncGenerator[Batch, None]:
        """Batches of what follows number `after`, to the terminal event. Raises NotFound.

        With `idle`, an empty batch after so many seconds without news.
        """
        tail = await self._tail(answer)
        tail.readers += 1
        try:
            while True:
                if after < tail.last:
                    batch = tail.since(after)
                    if batch is None:
                        batch = await self._stored(answer, after)
                    after = batch[-1].number
                    yield batch
                elif tail.ended or self._closing:
                    return
                elif not await tail.grown(idle):
                    yield Batch()
        finally:
            tail.readers -= 1
            self._drop_idle(answer)

    async def _tail(self, answer: str) -> Tail:
        if answer not in self._tails:
            head = await self._head(answer)
            # Another reader may have come first while the storage was asked.
            tail = self._tails.setdefault(answer, Tail(head.last, ended=head.ended, mine=False))
            if not tail.mine and not tail.ended:
                # What was written between the two looks would otherwise go unnoticed.
                await self._catch_up(answer, tail)
                self._foreign.set()
            return tail
        return self._tails[answer]

    def _drop_idle(self, answer: str) -> None:
        tail = self._tails.get(answer)
        if tail is not None and not tail.readers and not tail.mine:
            del self._tails[answer]

    async def _stored(self, answer: str, after: int) -> Batch:
        """What the storage has after a number, a bounded part of it."""
        events: list[Event] = []
        for record in await self._storage.records(answer, after, READ_AT_ONCE):
            events.extend(record.events[max(0, after + 1 - record.first) :])
        if not events:
            raise NotFound(f"there is no answer {answer!r}, or it is kept no longer", param="id")
        return merged(after + 1, events)

    async def opening(self, answer: str) -> Opening:
        """Raises NotFound."""
        return (await self._head(answer)).opening

    async def events(self, answer: str) -> list[Event]:
        """All events so far. Raises NotFound."""
        await self._head(answer)
        records = await self._storage.records(answer)
        return [event for record in records for event in record.events]

    async def history(self, answer: str) -> tuple[list[Event], list[Piece]]:
        """All events so far and the raw text they came from."""
        records = await self._storage.records(answer)
        events = [event for record in records for event in record.events]
        return events, [piece for record in records for piece in record.pieces]

    async def _head(self, answer: str) -> Head:
        head = await self._storage.head(answer)
        if head is None:
            raise NotFound(f"there is no answer {answer!r}, or it is kept no longer", param="id")
        return head

    # Other processes

    async def claim(self, answer: str) -> Claim | None:
        """Take over an unfinished answer whose writer is dead; None where it cannot be."""
        epoch = await self._storage.claim(answer)
        if epoch is None:
            return None
        head = await self._head(answer)
        tail = self._tails.setdefault(answer, Tail(head.last, ended=head.ended, mine=True))
        tail.mine = True
        await self._catch_up(answer, tail)
        return Claim(answer, epoch)

    async def orphans(self) -> list[str]:
        """Unfinished answers whose writer is dead."""
        return await self._storage.orphans()

    async def ahead(self, conversation: str | None, answer: str | None = None) -> int:
        """How many unfinished answers of a conversation come before `answer`, or at all."""
        if conversation is None:
            return 0
        waiting = await self._storage.unfinished(conversation)
        return waiting.index(answer) if answer in waiting else len(waiting)

    async def want_cancel(self, answer: str) -> None:
        """Ask the process that writes the answer to end it."""
        await self._storage.want_cancel(answer)

    async def wanted_cancels(self) -> list[str]:
        return await self._storage.wanted_cancels()

    async def seen(self, answer: str, within: float) -> bool:
        """Whether another process told in the last `within` seconds that it is read there."""
        return await self._storage.seen(answer, within)

    async def see_readers(self) -> None:
        """Tell the processes that write what is read here that it is read."""
        foreign = [a for a, t in self._tails.items() if t.readers and not t.mine and not t.ended]
        if foreign:
            await self._storage.see(foreign)

    async def forget(self, retention: Retention) -> int:
        return await self._storage.forget(retention)

    async def _follow_always(self) -> None:
        """Keep the tails of answers that other processes write up to date."""
        while True:
            await self._foreign.wait()
            try:
                grown = await self._storage.grown()
                foreign = {a: t for a, t in self._tails.items() if not t.mine and not t.ended}
                if not foreign:
                    self._foreign.clear()
                for answer in foreign if grown is None else foreign.keys() & set(grown):
                    await self._catch_up(answer, foreign[answer])
            except LogUnavailable as error:
                logger.warning("the log waits for its storage: %s", error.message)
                await asyncio.sleep(RETRY_SECONDS)

    async def _catch_up(self, answer: str, tail: Tail) -> None:
        for record in await self._storage.records(answer, tail.last):
            tail.grow(record.events[max(0, tail.last + 1 - record.first) :])


def _write(claim: Claim, record: Record) -> Write:
    ended = bool(record.events) and is_terminal(record.events[-1])
    return Write(claim.answer, claim.epoch, record.last, ended, encode_record(record))
