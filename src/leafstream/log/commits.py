"""Group commit: what all answers have to say, in one write after another.

`append` only collects; one task takes what was collected, writes it to the storage and lets the
readers see it. The fuller the server, the more goes into a write. A flush is also where texts are
merged: a reader cannot see more often than the storage commits.

Text is told as soon as it outlives this process; the end of an answer when it outlives the machine,
which takes longer and holds up nobody else: an end waits for the disk in a task of its own.

A writer whose answer has collected too much waits for the flush, and so do writers that come when
all answers together have. When the storage fails, the write is tried again for `patience` seconds;
then its answers end with a Failed event that their readers get from memory, and that the storage
gets when it is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from leafstream.errors import Fenced, LeafstreamError, LogUnavailable
from leafstream.events import Event, Failed, is_terminal
from leafstream.log.records import Record, encode_record, joined, whole
from leafstream.log.storage import Outcome, Storage, Write
from leafstream.log.tail import Tail, Tails
from leafstream.piece import Piece

logger = logging.getLogger("leafstream.log")

T = TypeVar("T")

MAX_OF_ONE = 64
MAX_OF_ALL = 2048
"""Events that one answer, and all together, may collect before a writer waits for the flush."""
RETRY_SECONDS = 0.1
OWED_SECONDS = 1.0


class Claim(msgspec.Struct, frozen=True):
    """The right to write an answer."""

    answer: str
    epoch: int = 1


class _Collected:
    """What an answer has to say in the next flush."""

    __slots__ = ("claim", "events", "pieces", "tail")

    def __init__(self, claim: Claim, tail: Tail) -> None:
        self.claim = claim
        self.tail = tail
        self.events: list[Event] = []
        self.pieces: list[Piece] = []


class Commits:
    """Writes for all answers of a process; `run` must be running."""

    def __init__(
        self,
        storage: Storage,
        tails: Tails,
        patience: float,
        gave_up: Callable[[Claim, Failed], None],
    ) -> None:
        self._storage = storage
        self._tails = tails
        self._patience = patience
        self._gave_up = gave_up
        self._collected: dict[str, _Collected] = {}
        self._num_collected = 0
        self._writers: deque[asyncio.Future[None]] = deque()
        self._in_flight: set[str] = set()
        self._ending: set[str] = set()
        self._telling: set[asyncio.Task[None]] = set()
        self._owed: list[tuple[Claim, Failed]] = []
        self._dirty = asyncio.Event()
        self._flushed = asyncio.Event()

    async def append(
        self, claim: Claim, events: Sequence[Event], piece: Piece | None = None
    ) -> None:
        """Add events and the raw text they came from to the next flush.

        Waits while too much is collected. Raises Fenced where the claim is no longer good.
        """
        answer = claim.answer
        tail = self._tail(answer)
        if tail.is_closed:  # its end was said: whoever comes later has nothing to add
            return
        collected = self._collected.get(answer)
        if collected is None:
            if self._num_collected >= MAX_OF_ALL:
                await self._turn()
            collected = self._collected.setdefault(answer, _Collected(claim, tail))
        if piece is not None:
            collected.pieces.append(piece)
        if events:
            collected.events.extend(events)
            tail.is_closed = is_terminal(events[-1])
            self._num_collected += len(events)
            self._dirty.set()
            if len(collected.events) >= MAX_OF_ONE:
                await self._next_flush()

    def _tail(self, answer: str) -> Tail:
        tail = self._tails.get(answer)
        if tail is None or tail.fenced is not None:
            reason = None if tail is None else tail.fenced
            raise Fenced(reason or f"the answer {answer!r} is written by another process")
        return tail

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
        self._tail(claim.answer)

    async def drained(self) -> None:
        """Wait until everything that was said is durable."""
        while any(map(self._has_news, [*self._collected, *self._in_flight, *self._ending])):
            await self._next_flush()

    def owes(self, answer: str) -> bool:
        """Whether readers were told an end of it that the storage is still to get."""
        return any(claim.answer == answer for claim, _ in self._owed)

    def forget(self, answer: str) -> None:
        """Its writer is done."""
        self._collected.pop(answer, None)

    def _has_news(self, answer: str) -> bool:
        collected = self._collected.get(answer)
        if answer in self._in_flight or answer in self._ending:
            return True
        return collected is not None and bool(collected.events)

    async def _next_flush(self) -> None:
        await self._flushed.wait()

    async def run(self) -> None:
        """Flush for ever."""
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
            # What was collected behind a fence is nobody's any more.
            good = [item for item in full.values() if item.tail.fenced is None]
            try:
                await self._commit(good)
            except Exception:  # one answer's trouble must not end the flushing of all
                logger.exception("a flush failed")
                self._give_up(good, LogUnavailable("the log failed; see the server's log"))
            self._in_flight = set()
            self._tell_flushed()
            if self._writers:  # they must not depend on those before them having news
                self._dirty.set()

    def _tell_flushed(self) -> None:
        self._flushed.set()
        self._flushed = asyncio.Event()

    async def _commit(self, collected: list[_Collected]) -> None:
        await self._pay()
        sealed = [done for item in collected if (done := self._sealed(item)) is not None]
        if not sealed:
            return
        writes = [write for _, _, write in sealed]
        try:
            outcomes = await self._patiently(partial(self._storage.write, writes))
        except LogUnavailable as error:
            self._give_up([item for item, _, _ in sealed], error)
            return
        ends = []
        for (item, record, _), outcome in zip(sealed, outcomes, strict=True):
            if is_terminal(record.events[-1]) and outcome != "fenced":
                ends.append((item, record))
            else:
                self._written(item, record, outcome)
        if ends:
            self._ending.update(item.claim.answer for item, _ in ends)
            task = asyncio.create_task(self._tell_ends(ends), name="log ends")
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def _tell_ends(self, ends: list[tuple[_Collected, Record]]) -> None:
        """Let readers see these ends when they outlive the machine.

        Where the disk does not say so for as long as patience lasts they are told all the same: the
        storage has them, so that no other end would be true.
        """
        try:
            await self._on_disk()
            for item, record in ends:
                self._written(item, record, "kept")
        finally:
            self._ending.difference_update(item.claim.answer for item, _ in ends)
            self._tell_flushed()

    async def _on_disk(self) -> None:
        try:
            await self._patiently(self._storage.sync)
        except LogUnavailable as error:
            logger.error("the newest ends may not outlive the machine: %s", error.message)  # noqa: TRY400

    def _sealed(self, item: _Collected) -> tuple[_Collected, Record, Write] | None:
        """What an answer has to say, as it is kept; one that cannot be written down ends alone."""
        try:
            record = _record(item)
            return item, record, _write(item.claim, record)
        except Exception:
            logger.exception("what answer %s says cannot be written down", item.claim.answer)
            error = LeafstreamError("an event of this answer cannot be kept; see the server's log")
            self._give_up([item], error)
            return None

    async def _pay(self) -> None:
        """Write the ends that the storage is owed, where it is back."""
        try:
            while self._owed:
                claim, failed = self._owed[0]
                # What was given up may have arrived all the same: the end comes after it.
                head = await self._storage.head(claim.answer)
                if head is not None and not head.ended and head.epoch == claim.epoch:
                    await self._storage.write([_write(claim, Record(head.last + 1, [failed], []))])
                self._owed.pop(0)
        except LogUnavailable:
            asyncio.get_running_loop().call_later(OWED_SECONDS, self._dirty.set)

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What the storage says, asked again while it is away and patience lasts."""
        deadline = asyncio.get_running_loop().time() + self._patience
        is_told = False
        while True:
            try:
                return await ask()
            except LogUnavailable as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                if not is_told:
                    logger.warning("the log waits for its storage: %s", error.message)
                is_told = True
                await asyncio.sleep(RETRY_SECONDS)

    def _written(self, item: _Collected, record: Record, outcome: Outcome) -> None:
        tail = item.tail
        if outcome == "fenced":
            tail.fenced = f"the answer {item.claim.answer!r} is written by another process"
            tail.mine = False
            tail.wake()
            self._tails.have_foreign.set()
            return
        tail.cancel_wanted |= outcome == "cancel"
        tail.take(record)
        self._tails.drop_idle(item.claim.answer)

    def _give_up(self, collected: list[_Collected], error: LeafstreamError) -> None:
        """End these answers in memory; the storage is owed their ends until it is back."""
        logger.error("the log gives up on %d answers: %s", len(collected), error.message)
        failed = Failed(error.code, error.status, error.message, error.retryable)
        for item in collected:
            self._owed.append((item.claim, failed))
            item.tail.grow([failed])
            item.tail.fenced = error.message
            self._gave_up(item.claim, failed)
        asyncio.get_running_loop().call_later(OWED_SECONDS, self._dirty.set)


def _record(item: _Collected) -> Record:
    events = joined(item.events)
    return Record(item.tail.last + len(events), events, whole(item.pieces))


def _write(claim: Claim, record: Record) -> Write:
    ended = bool(record.events) and is_terminal(record.events[-1])
    return Write(claim.answer, claim.epoch, record.last, ended, encode_record(record))
