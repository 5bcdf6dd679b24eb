"""Runs: answers being written, owned by a process and not by any connection.

Theory of operation. `start` refuses what can be refused, opens the answer in the log and makes a
task; from then on the answer ends exactly once, in the log, whatever happens. An answer that nobody
reads for the grace period, here or in another process (`readers.py`), is cancelled, and its slot is
free when the engine has let go.

A process that dies leaves its answers unfinished, and one that drains leaves them so on purpose.
Any process that finds one claims it and goes on from the raw text in the log; the epoch of its
claim fences off the earlier writer, should it wake up again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Coroutine, Mapping
from contextlib import AbstractContextManager, aclosing, suppress

import msgspec

from leafstream.ask import Ask
from leafstream.assistant import Assistant, Inline, find
from leafstream.draft import Job, failure
from leafstream.engines.base import Engine
from leafstream.errors import (
    Conflict,
    DeadlineExceeded,
    Fenced,
    Interrupted,
    LeafstreamError,
    LogUnavailable,
    NotFound,
    Overloaded,
)
from leafstream.events import Cancelled, Event, is_terminal
from leafstream.exchanges import Exchanges
from leafstream.log import Claim, Log, Opening
from leafstream.readers import Readers
from leafstream.slots import Slots
from leafstream.stopping import LET_GO_SECONDS
from leafstream.store.conversations import Conversations
from leafstream.writer import Limits, Writer

logger = logging.getLogger("leafstream.runs")

CANCEL_SECONDS = 15.0
STOPPING = "the server is stopping, and keeps no answers; ask again"


class _Run:
    """A running answer: who writes it, and who sees to its end.

    `writing` is the task that may be stopped; `task` waits for it, says how the answer ended, and
    is never cancelled. `ending` None leaves it unfinished, for another process to go on with.
    """

    def __init__(self, claim: Claim, job: Job, work: Coroutine[None, None, None]) -> None:
        self.claim = claim
        self.job = job
        self.writing = asyncio.create_task(work, name=claim.answer)
        self.task: asyncio.Task[None] | None = None
        self.ending: Event | None = None
        self.is_stopped = False

    def stop(self, ending: Event | None) -> None:
        """End the writing; who comes first says how, and once is enough."""
        if not self.is_stopped:
            self.is_stopped = True
            self.ending = ending
            self.writing.cancel()


def new_id() -> str:
    """An answer's id: 128 random bits, so that it cannot be guessed."""
    return "ans_" + secrets.token_urlsafe(16)


class Runs:
    """The running answers of a process; `conversations` is where their turns come from and go."""

    def __init__(
        self,
        engine: Engine,
        log: Log,
        assistants: Mapping[str, Assistant],
        conversations: Conversations | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.model = engine.model
        self._log = log
        self._assistants = assistants
        self._conversations = conversations
        self.inline = Inline()
        self._limits = limits or Limits()
        self._slots = Slots(engine.slots, self._limits.queue)
        self._exchanges = Exchanges(conversations, log, self._limits.patience)
        self._writer = Writer(engine, log, self._slots, self._exchanges, self._limits)
        self._runs: dict[str, _Run] = {}
        self._readers = Readers(log, self._limits.grace, self._left)
        self._opening: set[str] = set()
        self.draining = False

    @property
    def num_running(self) -> int:
        return len(self._runs)

    @property
    def num_free_slots(self) -> int:
        return self._slots.num_free

    @property
    def num_waiting(self) -> int:
        return self._slots.num_waiting

    # Starting

    async def start(self, ask: Ask, key: str | None = None) -> str:
        """Begin an answer; its id. Raises InvalidRequest, Overloaded, RateLimited or EngineError.

        Without `ask.background` it lives only while it is read, and for the grace period. An
        answer to a conversation that is busy waits for its turn and is prepared then. The same
        ask under the same idempotency `key` is the answer that it was the first time.
        """
        if self.draining:
            raise Overloaded("this server is stopping; try again", retry_after=1)
        job = await self._job(new_id(), ask)
        opening = Opening(job.id, ask, time.time(), key)
        if key is not None and (earlier := await self._log.earlier(opening)) is not None:
            with self._readers.starting(earlier):
                await self._log.sync()  # whoever opened it may still wait for that
            return earlier
        await self._check_conversation(ask)
        self._slots.admit(ask.owner, self._limits.share_of(ask.owner))
        self._opening.add(job.id)
        try:
            job = await self._grounded(job)
            opening = msgspec.structs.replace(opening, ask=job.ask)
            busy = await self._log.ahead(ask.conversation)
            ready = None if busy else await self._writer.prepare(job)
            claim = await self._log.open(opening)
            if claim.answer == job.id:
                self._begin(claim, job, self._writer.begin(claim, job, ready))
        finally:
            self._opening.discard(job.id)
            if job.id not in self._runs:
                self._slots.leave(ask.owner)
        with self._readers.starting(claim.answer):
            await self._kept(job.id)
        return claim.answer

    async def _kept(self, answer: str) -> None:
        """Wait for the disk to have what was opened; the model reads the prompt meanwhile."""
        try:
            await self._log.sync()
        except LogUnavailable as error:
            if answer in self._runs:
                self._runs[answer].stop(failure(error))
            raise

    def _begin(self, claim: Claim, job: Job, work: Coroutine[None, None, None]) -> None:
        run = self._runs[claim.answer] = _Run(claim, job, work)
        run.task = asyncio.create_task(self._see_to(run), name=f"end of {claim.answer}")
        if not job.ask.background:
            self._readers.expect(claim.answer)

    async def _job(self, answer: str, ask: Ask) -> Job:
        """What to write for an ask. Raises NotFound or UnsupportedSchema."""
        assistant = self._assistant(ask)
        typed = assistant if ask.schema is None else await self.inline.find(ask.schema)
        return Job(
            answer,
            ask,
            ask.grounds.before(ask.messages) if ask.grounds else ask.messages,
            typed.schema,
            typed.errors,
            assistant.chat_template,
            reasoning=assistant.reasoning,
            guard=assistant.guard,
        )

    def _assistant(self, ask: Ask) -> Assistant:
        return Assistant() if ask.assistant is None else find(self._assistants, ask.assistant)

    async def _grounded(self, job: Job) -> Job:
        """The job with what is found for its question, kept with it for whoever goes on."""
        if job.ask.grounds is not None:
            return job
        grounds = await self._assistant(job.ask).grounds(job.messages[-1].content)
        if grounds is None:
            return job
        ask = msgspec.structs.replace(job.ask, grounds=grounds)
        return msgspec.structs.replace(job, ask=ask, messages=grounds.before(ask.messages))

    async def _check_conversation(self, ask: Ask) -> None:
        """A conversation goes on with the assistant that it is held with, or with none that has a
        name: the caller's own type, or the model itself. Raises NotFound or Conflict.
        """
        if ask.conversation is None or self._conversations is None:
            return
        held = await self._conversations.read(ask.conversation, owner=ask.owner)
        if ask.assistant not in (None, held.assistant):
            raise Conflict(
                f"the conversation {held.id!r} is held with {held.assistant!r}, "
                f"not with {ask.assistant!r}: begin another one",
                param="conversation",
            )

    async def opening(self, answer: str, owner: str = "") -> Opening:
        """What was asked. Raises NotFound where there is no such answer of this owner."""
        opening = await self._log.opening(answer)
        if opening.ask.owner != owner:
            raise NotFound(f"there is no answer {answer!r}, or it is kept no longer", param="id")
        return opening

    # Writing

    async def _see_to(self, run: _Run) -> None:
        """Whatever ends the work, the log has exactly one end of the answer, or another writer."""
        try:
            done, _ = await asyncio.wait({run.writing}, timeout=self._limits.total)
            if not done:
                seconds = self._limits.total
                late = DeadlineExceeded(f"the answer took longer than {seconds:g} seconds")
                run.stop(failure(late))
                await asyncio.wait({run.writing})
            event = self._ending(run)
            with suppress(Fenced):
                if event is not None:
                    await self._log.append(run.claim, [event])
                await self._log.flush(run.claim)
        except Exception:
            logger.exception("the end of answer %s could not be told", run.claim.answer)
        finally:
            self._over(run)

    @staticmethod
    def _ending(run: _Run) -> Event | None:
        """How the answer ends where its writer did not say so itself."""
        answer = run.claim.answer
        if run.writing.cancelled():
            return run.ending
        error = run.writing.exception()
        if error is None or isinstance(error, Fenced):
            if error is not None:
                logger.info("answer %s was let go: %s", answer, error.message)
            return None
        if isinstance(error, LeafstreamError):
            return failure(error)
        logger.error("answer %s failed", answer, exc_info=error)
        return failure(LeafstreamError("internal error"))  # what it was is the log's to know

    def _over(self, run: _Run) -> None:
        self._readers.forget(run.claim.answer)
        del self._runs[run.claim.answer]
        self._slots.leave(run.job.ask.owner)
        self._log.ended(run.claim)
        self._writer.turn_is_over()

    # Taking over

    async def take_over(self) -> int:
        """Go on with answers that nobody writes any more; how many there were."""
        count = 0
        for answer in await self._log.orphans():
            if answer in self._runs or answer in self._opening:
                continue
            try:
                count += await self._resume(answer)
            except Exception:  # the others must not wait for this one
                logger.exception("answer %s could not be taken over", answer)
        return count

    async def _resume(self, answer: str) -> bool:
        claim = await self._log.claim(answer)
        if claim is None:
            return False
        opening = await self._log.opening(answer)
        logger.info("answer %s is taken over", answer)
        self._slots.count(opening.ask.owner)
        try:
            job = await self._job(answer, opening.ask)
            work = self._writer.go_on(claim, job, opening.created)
        except LeafstreamError as error:
            job = Job(answer, opening.ask, (), None, lambda _: [])
            work = _raise(error)
        self._begin(claim, job, work)
        return True

    # Ending

    async def settle(self) -> None:
        """See that conversations hold the exchanges of finished answers, and of no others.

        Raises LogUnavailable or StoreUnavailable.
        """
        await self._exchanges.settle()

    async def cancel(self, answer: str, reason: str = "cancelled by the client") -> None:
        """End a running answer, wherever it runs; returns when its slot is free.

        Raises NotFound or Conflict.
        """
        run = self._runs.get(answer)
        if run is not None and run.task is not None:
            run.stop(Cancelled(reason))
            await asyncio.wait({run.task})
            return
        events = await self._log.events(answer)
        if events and is_terminal(events[-1]):
            raise Conflict(f"the answer {answer!r} is over", param="id")
        await self._log.want_cancel(answer)
        try:
            async with asyncio.timeout(CANCEL_SECONDS), aclosing(self._log.read(answer)) as batches:
                async for _ in batches:
                    pass
        except TimeoutError:
            raise LogUnavailable(
                "the process that writes this answer does not heed; try again"
            ) from None

    async def heed_cancels(self) -> None:
        """End the answers here whose end another process was asked for."""
        for answer in await self._log.wanted_cancels():
            if answer in self._runs:
                self._runs[answer].stop(Cancelled("cancelled by the client"))

    def reading(self, answer: str) -> AbstractContextManager[None]:
        """Counts the caller among the answer's readers while the context is open."""
        return self._readers.reading(answer)

    def _left(self, answer: str) -> None:
        seconds = self._limits.grace
        self._runs[answer].stop(Cancelled(f"nobody read it for {seconds:g} seconds"))

    async def drain(self, seconds: float) -> None:
        """Refuse new answers, give the running ones `seconds` to end, and leave the rest.

        What is left is another process's to go on with; where the log is not durable, it fails.
        What an engine does not let go of goes with the process.
        """
        self.draining = True
        tasks = [run.task for run in self._runs.values() if run.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        left = list(self._runs.values())
        for run in left:
            run.stop(None if self._log.durable else failure(Interrupted(STOPPING)))
        ends = [run.task for run in left if run.task is not None]
        _, stuck = await asyncio.wait(ends, timeout=LET_GO_SECONDS) if ends else ((), ())
        if stuck:
            logger.error("%d answers could not be let go; they go with the process", len(stuck))


async def _raise(error: LeafstreamError) -> None:
    raise error
