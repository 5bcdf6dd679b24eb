"""The writer: takes an answer from its question to its end in the log.

It waits for the conversation's turn and for a slot, writes, and appends each step; or it goes on
with what another process left. How the answer is stopped from outside is `runs.py`'s to say.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import TypeVar

import msgspec

from leafstream.answer import prepare, prepare_again, started, write
from leafstream.draft import Draft, Job, Prepared
from leafstream.engines.base import Engine
from leafstream.errors import DeadlineExceeded, NotFound, StoreUnavailable
from leafstream.events import Cancelled, Finished, Plan, Queued, Started, is_terminal
from leafstream.log import Claim, Log
from leafstream.slots import Slots
from leafstream.store.conversations import Conversations, Exchange

logger = logging.getLogger("leafstream.writer")

T = TypeVar("T")

TURN_SECONDS = 0.2
RETRY_SECONDS = 0.5


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
        conversations: Conversations | None,
        limits: Limits,
    ) -> None:
        self._engine = engine
        self._log = log
        self._slots = slots
        self._conversations = conversations
        self._limits = limits
        self._turn = asyncio.Event()

    async def prepare(self, job: Job) -> tuple[Job, Prepared]:
        """The job with its conversation's turns before its own, and the plan of it."""
        job = await self._with_history(job)
        return job, await prepare(job, self._engine)

    async def _is_stale(self, job: Job, ready: tuple[Job, Prepared]) -> bool:
        """Whether an earlier answer of the conversation was kept since the job was prepared."""
        return (await self._with_history(job)).messages != ready[0].messages

    async def _with_history(self, job: Job) -> Job:
        conversation = job.ask.conversation
        if conversation is None or self._conversations is None:
            return job
        history = await self._conversations.messages(conversation, owner=job.ask.owner)
        return msgspec.structs.replace(
            job, messages=(*job.messages[:-1], *history, job.messages[-1])
        )

    async def begin(self, claim: Claim, job: Job, ready: tuple[Job, Prepared] | None) -> None:
        """Write an answer that was just opened; `ready` was prepared before its turn came."""
        if ahead := await self._log.ahead(job.ask.conversation, job.id):
            await self._log.append(claim, [Queued(ahead)])
            await self._wait_for_turn(job)
            ready = None
        elif ready is not None and await self._patiently(partial(self._is_stale, job, ready)):
            ready = None
        if ready is None:
            ready = await self._patiently(partial(self.prepare, job))
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
        """Go on with an answer that another process began and told of in the log."""
        sent, pieces = await self._log.history(claim.answer)
        begun = next((event for event in sent if isinstance(event, Started)), None)
        if begun is None:
            await self.begin(claim, job, None)
            return
        job = await self._patiently(partial(self._with_history, job))
        prepared = await prepare_again(job, begun.plan, self._engine)
        await self._acquire(claim, job)
        try:
            draft = Draft(job, prepared, elapsed=max(0.0, time.time() - opened))
            resumed = draft.resume(pieces, sent)
            await self._log.append(claim, resumed.events)
            await self._write(claim, job, draft)
        finally:
            self._slots.release()

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
                    if draft.has_begun and late.when() is not None:
                        late.reschedule(None)
                    if step.events and isinstance(step.events[-1], Finished):
                        await self._keep(job, draft.plan, step.events[-1])
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

    async def _keep(self, job: Job, plan: Plan, finished: Finished) -> None:
        """Make the exchange durable before anybody is told that it is finished."""
        conversation = job.ask.conversation
        if conversation is None or self._conversations is None:
            return
        asked = job.messages[-1].content
        exchange = Exchange(job.id, asked, finished.value, plan, finished.usage)
        conversations = self._conversations
        try:
            await self._patiently(partial(conversations.add, conversation, exchange))
        except NotFound:
            logger.info("answer %s: its conversation was deleted meanwhile", job.id)

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What the database says, asked again while it is away and patience lasts."""
        deadline = time.monotonic() + self._limits.patience
        while True:
            try:
                return await ask()
            except StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(RETRY_SECONDS)
