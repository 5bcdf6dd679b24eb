"""The writer: takes an answer from its question to its end in the log.

It waits for the conversation's turn and for a slot, writes, and appends each step; or it goes on
with what another process left. How the answer is stopped from outside is `runs.py`'s to say.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import partial

import msgspec

from leafstream.answer import prepare, prepare_again, started, write
from leafstream.draft import Draft, Job, Prepared, Step
from leafstream.engines.base import Engine, Prompt
from leafstream.errors import DeadlineExceeded, Interrupted
from leafstream.events import Cancelled, Event, Finished, Queued, Started, Usage, is_terminal
from leafstream.exchanges import Exchanges, Past, undisturbed
from leafstream.log import Claim, Log
from leafstream.piece import Piece
from leafstream.slots import Slots
from leafstream.store.conversations import Turn

TURN_SECONDS = 0.2


class Limits(msgspec.Struct, frozen=True):
    """Times are in seconds; None is no limit.

    `queue` answers may wait; one caller may have waiting and running what `shares` says of it, else
    `share`. An answer that nobody
    reads for `grace` is cancelled; one without a token after `first_token`, or without an end after
    `total`, fails. A lost engine is waited for as long as `patience`. An answer that was begun
    longer ago than `takeover` is not gone on with when its process died.
    """

    queue: int = 64
    share: int | None = None
    shares: Callable[[str], int | None] | None = None
    grace: float = 10.0
    first_token: float | None = None
    total: float | None = None
    patience: float = 30.0
    takeover: float = 600.0

    def share_of(self, owner: str) -> int | None:
        own = None if self.shares is None else self.shares(owner)
        return self.share if own is None else own


class Writer:
    """Writes answers with one engine into one log."""

    def __init__(
        self,
        engine: Engine,
        log: Log,
        slots: Slots,
        exchanges: Exchanges,
        limits: Limits,
    ) -> None:
        self._engine = engine
        self._log = log
        self._slots = slots
        self._exchanges = exchanges
        self._limits = limits
        self._turn = asyncio.Event()

    async def prepare(self, job: Job) -> tuple[Job, Prepared]:
        """The job with its conversation's turns before its own, and the plan of it."""
        job = _after(await self._exchanges.past(job), job)
        return job, await prepare(job, self._engine)

    async def _is_stale(self, job: Job, ready: tuple[Job, Prepared]) -> bool:
        """Whether an earlier answer of the conversation was kept since the job was prepared."""
        return _after(await self._exchanges.past(job), job).messages != ready[0].messages

    async def begin(self, claim: Claim, job: Job, ready: tuple[Job, Prepared] | None) -> None:
        """Write an answer that was just opened; `ready` was prepared before its turn came."""
        if ahead := await self._log.ahead(job.ask.conversation, job.id):
            await self._log.append(claim, [Queued(ahead)])
            await self._wait_for_turn(job)
            ready = None
        elif ready is not None and await self._exchanges.patiently(
            partial(self._is_stale, job, ready)
        ):
            ready = None
        if ready is None:
            ready = await self._exchanges.patiently(partial(self.prepare, job))
        job, prepared = ready
        await self._log.append(claim, started(job, prepared, self._engine))
        arrived = time.monotonic()
        await self._acquire(claim, job)
        try:
            queued = time.monotonic() - arrived
            self._log.admitted(claim, queued)
            draft = Draft(job, prepared, queued=queued)
            await self._write(claim, job, draft)
        finally:
            self._slots.release()

    async def go_on(self, claim: Claim, job: Job, opened: float) -> None:
        """Go on with an answer that another process began and told of in the log.

        Raises Interrupted where that was too long ago.
        """
        sent, pieces = await self._log.history(claim.answer)
        past = await self._exchanges.patiently(partial(self._exchanges.past, job))
        begun = next((event for event in sent if isinstance(event, Started)), None)
        if begun is not None and past.own is not None:
            prepared = Prepared(Prompt(job.messages, begun.plan.prompt_tokens), begun.plan, None)
            draft = Draft(job, prepared, elapsed=max(0.0, time.time() - opened))
            await self._end_as_kept(claim, draft, past.own, sent, pieces)
            return
        if time.time() - opened > self._limits.takeover:
            raise Interrupted("the server stopped while this was written; ask again")
        if begun is None:
            await self.begin(claim, job, None)
            return
        job = _after(past, job)
        prepared = await prepare_again(job, begun.plan, self._engine)
        await self._acquire(claim, job)
        try:
            draft = Draft(job, prepared, elapsed=max(0.0, time.time() - opened))
            resumed = draft.resume(pieces, sent)
            await self._log.append(claim, resumed.events)
            await self._write(claim, job, draft)
        finally:
            self._slots.release()

    async def _end_as_kept(
        self,
        claim: Claim,
        draft: Draft,
        own: Turn,
        sent: Sequence[Event],
        pieces: Sequence[Piece],
    ) -> None:
        """The exchange was kept, and only its end was not told."""
        resumed = draft.resume(pieces, sent)
        end = draft.end_as(own.value, _usage(own))
        await self._log.append(claim, [*resumed.events, *end.events])
        await self._log.flush(claim)

    async def _wait_for_turn(self, job: Job) -> None:
        """Until no earlier answer of the conversation is unfinished, in any process."""
        while await self._log.ahead(job.ask.conversation, job.id):
            turn = self._turn
            try:
                await asyncio.wait_for(turn.wait(), TURN_SECONDS)
            except TimeoutError:
                continue

    def turn_is_over(self) -> None:
        """An answer of this process ended: those that wait for their turn look again."""
        self._turn.set()
        self._turn = asyncio.Event()

    async def _acquire(self, claim: Claim, job: Job) -> None:
        async with aclosing(self._slots.acquire(job.ask.owner)) as positions:
            async for position in positions:
                await self._log.append(claim, [Queued(position)])

    async def _write(self, claim: Claim, job: Job, draft: Draft) -> None:
        late = asyncio.timeout(None if draft.has_begun else self._limits.first_token)
        try:
            async with late, aclosing(write(draft, self._engine, self._limits.patience)) as steps:
                async for step in steps:
                    if late.when() is not None and (draft.has_begun or not draft.is_open()):
                        late.reschedule(None)
                    if step.events and isinstance(step.events[-1], Finished):
                        await self._finish(claim, job, draft, step)
                    else:
                        await self._log.append(claim, step.events, step.piece)
                    over = bool(step.events) and is_terminal(step.events[-1])
                    if not over and self._log.cancel_wanted(claim.answer):
                        await self._log.append(claim, [Cancelled("cancelled by the client")])
                        break
        except TimeoutError:
            seconds = self._limits.first_token
            if not late.expired():
                raise
            raise DeadlineExceeded(f"no token came in {seconds:g} seconds") from None
        finally:
            del late  # it knows the task, which keeps the error that ended it, which knows it
        await self._log.flush(claim)
        self._exchanges.has_ended(claim.answer)

    async def _finish(self, claim: Claim, job: Job, draft: Draft, step: Step) -> None:
        """Keep the exchange, after the text it came from and before anybody is told of its end."""
        *told, finished = step.events
        assert isinstance(finished, Finished)
        if job.ask.conversation is None:
            await self._log.append(claim, step.events)
            return
        await self._log.append(claim, told)
        await self._log.flush(claim)
        own = await self._exchanges.keep(job, draft.plan, finished)
        if own is not None and own.value != finished.value:
            step = draft.told_anew(own.value, _usage(own))
        else:
            step = Step([finished])
        await undisturbed(self._log.append(claim, step.events))


def _after(past: Past, job: Job) -> Job:
    """The job with the turns before its question."""
    if not past.messages:
        return job
    messages = (*job.messages[:-1], *past.messages, job.messages[-1])
    return msgspec.structs.replace(job, messages=messages)


def _usage(turn: Turn) -> Usage:
    return msgspec.convert(turn.usage, Usage)
