"""The log: appended to by one writer an answer, read by anybody, durable before it is seen.

Theory of operation. An answer's events are numbered from 1 without gaps. Whoever writes it holds a
claim: the answer's id and an epoch, which the storage compares at every write, so that a process
that lost its lease and wakes up late is fenced off. What is appended becomes visible when it is
durable (`commits.py`), and nobody reads from anywhere else: the client that started an answer
reads it as one that comes back does, here or in another process. A reader that is behind gets
adjacent texts of one path as one event, which bears the last number it holds, so a slow reader
costs fewer events and never holds anybody up.

A machine that loses its power may lose the newest text of answers that had not ended. Whoever goes
on with one may write something else then, under numbers that a reader has seen: a reader that is
ahead of the storage gets the value anew, once there is a number that it has not seen.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress

from leafstream.decoder.value import fold
from leafstream.errors import Conflict, LogUnavailable, NotFound
from leafstream.events import Event, Failed, ValueSet, is_terminal
from leafstream.log.commits import RETRY_SECONDS, Claim, Commits
from leafstream.log.records import Batch, Entry, Opening, Record, merged
from leafstream.log.storage import Head, Retention, Storage
from leafstream.log.tail import Tail, Tails
from leafstream.piece import Piece

logger = logging.getLogger("leafstream.log")

READ_AT_ONCE = 1024
"""Records that a reader who is far back gets in one batch."""


class Log:
    """A log over a storage. It works between `start` and `close`."""

    def __init__(self, storage: Storage, patience: float = 30.0) -> None:
        self._storage = storage
        self._patience = patience
        self._tails = Tails()
        self._commits = Commits(storage, self._tails, patience, self.gave_up)
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    @property
    def durable(self) -> bool:
        """Whether answers outlive this process."""
        return self._storage.durable

    @property
    def num_readers(self) -> int:
        return self._tails.num_readers

    def start(self) -> None:
        """Begin to flush and to follow. Call it on the loop that the log is used from."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._commits.run(), name="log flush"),
                asyncio.create_task(self._follow_always(), name="log follow"),
            ]

    def let_readers_go(self) -> None:
        """End every read that waits; who reads over a network comes back, here or elsewhere."""
        self._closing = True
        self._tails.wake_all()

    async def close(self) -> None:
        """Flush what is collected, let the lease go, and stop."""
        if self._tasks:
            await self._commits.drained()
            with suppress(LogUnavailable):  # then the lease runs out by itself
                await self._storage.release()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._storage.close()

    # Writing

    async def open(self, opening: Opening) -> Claim:
        """Begin an answer; the claim names another answer where one is kept under the same key.

        It may be written from now on; `sync` before anybody is told of it. Raises Conflict where
        the key was used for another request.
        """
        kept = await self._storage.create(opening)
        if kept.id == opening.id:
            self._tails[opening.id] = Tail(0, ended=False, mine=True)
        else:
            _check_same(kept, opening)
        return Claim(kept.id)

    async def sync(self) -> None:
        """Return when what was opened before outlives the machine. Raises LogUnavailable."""
        await self._storage.sync()

    async def earlier(self, opening: Opening) -> str | None:
        """The answer that is kept under the opening's key already. Raises Conflict as `open`."""
        kept = await self._storage.earlier(opening.ask.owner, opening.key or "")
        if kept is None:
            return None
        _check_same(kept, opening)
        return kept.id

    async def append(
        self, claim: Claim, events: Sequence[Event], piece: Piece | None = None
    ) -> None:
        """Add events and the raw text they came from; they are visible when they are durable.

        Waits while too much is collected. Raises Fenced where the claim is no longer good.
        """
        await self._commits.append(claim, events, piece)

    async def flush(self, claim: Claim) -> None:
        """Wait until all that was appended is durable. Raises Fenced."""
        await self._commits.flush(claim)

    def cancel_wanted(self, answer: str) -> bool:
        """Whether another process asked for this answer's end."""
        return self._tails[answer].cancel_wanted

    def admitted(self, claim: Claim, queued: float) -> None:
        """The writer has a slot, after `queued` seconds: no event, and of interest to a watch."""

    def gave_up(self, claim: Claim, failed: Failed) -> None:
        """The storage is away: readers were told this end, which no writer said."""

    def ended(self, claim: Claim) -> None:
        """The writer is done: forget what only it needed."""
        self._commits.forget(claim.answer)
        if claim.answer in self._tails:
            self._tails[claim.answer].mine = False
            self._tails.drop_idle(claim.answer)

    # Reading

    async def read(
        self, answer: str, after: int = 0, idle: float | None = None
    ) -> AsyncGenerator[Batch, None]:
        """Batches of what follows number `after`, to the terminal event. Raises NotFound.

        With `idle`, an empty batch after so many seconds without news.
        """
        tail = await self._tail(answer)
        try:
            await self._look_again(answer, tail)
            is_ahead = after > tail.last and after > (await self._head(answer)).last
            while True:
                if after < tail.last:
                    batch = await self._anew(answer) if is_ahead else tail.since(after)
                    is_ahead = False
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
            self._tails.drop_idle(answer)

    async def _tail(self, answer: str) -> Tail:
        """The tail of an answer, with one reader more. Raises NotFound."""
        tail = self._tails.get(answer)
        if tail is None:
            head = await self._head(answer)
            # Another reader may have come first while the storage was asked.
            tail = self._tails.setdefault(answer, Tail(head.last, ended=head.ended, mine=False))
        tail.readers += 1
        return tail

    async def _look_again(self, answer: str, tail: Tail) -> None:
        """What was written between the first look and the news would otherwise go unnoticed."""
        if tail.mine or tail.ended or tail.is_followed:
            return
        self._tails.have_foreign.set()
        await self._catch_up(answer, tail)
        tail.is_followed = True

    async def _stored(self, answer: str, after: int) -> Batch:
        """What the storage has after a number, a bounded part of it."""
        events: list[Event] = []
        for record in await self._storage.records(answer, after, READ_AT_ONCE):
            events.extend(record.events[max(0, after + 1 - record.first) :])
        if not events:
            raise NotFound(f"there is no answer {answer!r}, or it is kept no longer", param="id")
        return merged(after + 1, events)

    async def _anew(self, answer: str) -> Batch:
        """The whole value as one event, and the end where there is one."""
        events = await self.events(answer)
        entries = [Entry(len(events), events[-1])] if is_terminal(events[-1]) else []
        told = ValueSet("", fold(events))
        return Batch([Entry(len(events) - len(entries), told), *entries])

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
        records = await self._patiently(answer)
        events = [event for record in records for event in record.events]
        return events, [piece for record in records for piece in record.pieces]

    async def _patiently(self, answer: str) -> list[Record]:
        """All records, asked for again while the storage is away and patience lasts."""
        deadline = asyncio.get_running_loop().time() + self._patience
        while True:
            try:
                return await self._storage.records(answer)
            except LogUnavailable:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(RETRY_SECONDS)

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
        # This process may have written it before and have been fenced off.
        tail.mine, tail.fenced, tail.is_closed = True, None, False
        await self._catch_up(answer, tail)
        return Claim(answer, epoch)

    async def orphans(self) -> list[str]:
        """Unfinished answers whose writer is dead, but for those whose end was told here."""
        found = await self._storage.orphans()
        return [answer for answer in found if not self._commits.owes(answer)]

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

    def is_read(self, answer: str) -> bool:
        """Whether anybody in this process reads the answer now."""
        tail = self._tails.get(answer)
        return tail is not None and tail.readers > 0

    async def seen(self, answer: str, within: float) -> bool:
        """Whether another process told in the last `within` seconds that it is read there."""
        return await self._storage.seen(answer, within)

    async def see_readers(self) -> None:
        """Tell the processes that write what is read here that it is read."""
        foreign = [answer for answer, tail in self._tails.foreign().items() if tail.readers]
        if foreign:
            await self._storage.see(foreign)

    async def delete(self, answer: str) -> bool:
        """Delete an answer for good; False where there is none that has ended."""
        return await self._storage.delete(answer)

    async def forget(self, kept: Retention) -> int:
        return await self._storage.forget(kept)

    async def _follow_always(self) -> None:
        """Keep the tails of answers that other processes write up to date."""
        while True:
            await self._tails.have_foreign.wait()
            try:
                grown = await self._storage.grown()
                foreign = self._tails.foreign()
                if not foreign:
                    self._tails.have_foreign.clear()
                for answer, tail in foreign.items():
                    if grown is None or answer in grown or not tail.is_followed:
                        await self._catch_up(answer, tail)
                        tail.is_followed = True
            except LogUnavailable as error:
                logger.warning("the log waits for its storage: %s", error.message)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:  # no surprise may leave every reader of other processes waiting
                logger.exception("following other processes failed")
                await asyncio.sleep(1)

    async def _catch_up(self, answer: str, tail: Tail) -> None:
        for record in await self._storage.records(answer, tail.last):
            if is_terminal(record.events[-1]):
                await self._storage.sync()
            tail.take(record)


def _check_same(kept: Opening, opening: Opening) -> None:
    if kept.ask.fingerprint() != opening.ask.fingerprint():
        raise Conflict("this Idempotency-Key was used for another request", param="Idempotency-Key")
