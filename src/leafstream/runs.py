"""Runs: answers being written, owned by the process and not by any connection.

Theory of operation. `start` refuses what can be refused, opens the answer in the log and makes a
task; from then on the answer ends exactly once, in the log, whatever happens. The task waits for
a slot, writes, and appends each step. Readers are counted: an answer that nobody has read for the
grace period is cancelled, and its slot is free when the engine has let go.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import aclosing, contextmanager

import msgspec

from leafstream.answer import prepare, started, write
from leafstream.ask import Ask
from leafstream.assistant import Assistant, find, inline
from leafstream.draft import Job, Prepared, failure
from leafstream.engines.base import Engine
from leafstream.errors import Conflict, LeafstreamError, NotFound
from leafstream.events import Cancelled, Event, Finished, Queued
from leafstream.log import Log, Opening, is_terminal
from leafstream.slots import Slots
from leafstream.store.conversations import Conversations, Exchange
from leafstream.turns import Turns

logger = logging.getLogger("leafstream.runs")


class Limits(msgspec.Struct, frozen=True):
    """`queue` answers may wait; one that nobody reads for `grace` seconds is cancelled."""

    queue: int = 64
    grace: float = 10.0


class _Run:
    """A running answer's task and who reads it."""

    def __init__(self, task: asyncio.Task[None], *, background: bool) -> None:
        self.task = task
        self.background = background
        self.readers = 0
        self.reason = "cancelled"
        self.leaving: asyncio.TimerHandle | None = None


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
        self._engine = engine
        self._log = log
        self._assistants = assistants
        self._conversations = conversations
        self._limits = limits or Limits()
        self._slots = Slots(engine.slots, self._limits.queue)
        self._turns = Turns()
        self._runs: dict[str, _Run] = {}
        self._starting = 0

    @property
    def num_running(self) -> int:
        return len(self._runs)

    @property
    def num_free_slots(self) -> int:
        return self._slots.num_free

    async def start(self, ask: Ask, key: str | None = None) -> str:
        """Begin an answer; its id. Raises InvalidRequest, Overloaded or EngineError.

        Without `ask.background` it lives only while it is read, and for the grace period. An
        answer to a conversation that is busy waits for its turn and is prepared then. The same
        ask under the same idempotency `key` is the answer that it was the first time.
        """
        job = self._job(new_id(), ask)
        opening = Opening(job.id, ask, time.time(), key)
        self._slots.check(self._starting)
        self._starting += 1
        ahead = self._turns.num_ahead(ask.conversation)
        if not ahead:
            await self._turns.take(ask.conversation)
        try:
            ready = None if ahead else await self._prepare(job)
            answer = await self._log.open(opening)
            if answer == job.id:
                first = [Queued(ahead)] if ready is None else started(*ready, self._engine)
                await self._log.append(answer, first)
        except BaseException:
            if not ahead:
                self._turns.release(job.ask.conversation)
            raise
        finally:
            self._starting -= 1
        if answer != job.id:
            if not ahead:
                self._turns.release(job.ask.conversation)
            return answer
        task = asyncio.create_task(self._run(job, ready), name=answer)
        run = self._runs[answer] = _Run(task, background=ask.background)
        self._watch(answer, run)
        return answer

    def _job(self, answer: str, ask: Ask) -> Job:
        assistant = Assistant() if ask.schema is None else inline(ask.schema)
        if ask.assistant is not None:
            assistant = find(self._assistants, ask.assistant)
        return Job(answer, ask, ask.messages, assistant.schema, assistant.errors)

    async def opening(self, answer: str, owner: str = "") -> Opening:
        """What was asked. Raises NotFound where there is no such answer of this owner."""
        opening = await self._log.opening(answer)
        if opening.ask.owner != owner:
            raise NotFound(f"there is no answer {answer!r}, or it is kept no longer", param="id")
        return opening

    async def _prepare(self, job: Job) -> tuple[Job, Prepared]:
        """The job with its conversation's turns before its own, and the plan of it."""
        conversation = job.ask.conversation
        if conversation is not None and self._conversations is not None:
            history = await self._conversations.messages(conversation)
            turns = (*job.messages[:-1], *history, job.messages[-1])
            job = msgspec.structs.replace(job, messages=turns)
        return job, await prepare(job, self._engine)

    async def _run(self, job: Job, ready: tuple[Job, Prepared] | None) -> None:
        has_turn = ready is not None
        try:
            if ready is None:
                await self._turns.take(job.ask.conversation)
                has_turn = True
                ready = await self._prepare(job)
                await self._append(job.id, started(*ready, self._engine))
            await self._write(*ready)
        except asyncio.CancelledError:
            await self._end(job.id, Cancelled(self._runs[job.id].reason))
        except LeafstreamError as error:
            await self._end(job.id, failure(error))
        except Exception as error:
            logger.exception("answer %s failed", job.id)
            await self._end(job.id, failure(LeafstreamError(f"internal error: {error!r}")))
        finally:
            if has_turn:
                self._turns.release(job.ask.conversation)
            self._unwatch(self._runs.pop(job.id))

    async def _end(self, answer: str, event: Event) -> None:
        if not is_terminal((await self._log.events(answer))[-1]):
            await self._append(answer, [event])

    async def _write(self, job: Job, prepared: Prepared) -> None:
        arrived = time.monotonic()
        async with aclosing(self._slots.acquire()) as positions:
            async for position in positions:
                await self._append(job.id, [Queued(position)])
        try:
            waited = time.monotonic() - arrived
            async with aclosing(write(job, prepared, self._engine, waited)) as steps:
                async for step in steps:
                    if step.events and isinstance(step.events[-1], Finished):
                        await self._keep(job, prepared, step.events[-1])
                    await self._log.append(job.id, step.events, step.text)
                    self._note_end(job.id, step.events)
        finally:
            self._slots.release()

    async def _keep(self, job: Job, prepared: Prepared, finished: Finished) -> None:
        """Make the exchange durable before anybody is told that it is finished."""
        conversation = job.ask.conversation
        if conversation is None or self._conversations is None:
            return
        asked = job.messages[-1].content
        exchange = Exchange(job.id, asked, finished.value, prepared.plan, finished.usage)
        try:
            await self._conversations.add(conversation, exchange)
        except NotFound:
            logger.info("answer %s: its conversation was deleted meanwhile", job.id)

    async def _append(self, answer: str, events: list[Event]) -> None:
        await self._log.append(answer, events)
        self._note_end(answer, events)

    def _note_end(self, answer: str, events: list[Event]) -> None:
        if events and is_terminal(events[-1]):
            logger.info("answer %s %s", answer, events[-1].kind)

    async def cancel(self, answer: str, reason: str = "cancelled by the client") -> None:
        """End a running answer; returns when its slot is free. Raises NotFound or Conflict."""
        await self._log.opening(answer)
        run = self._runs.get(answer)
        if run is None:
            raise Conflict(f"the answer {answer!r} is over", param="id")
        self._stop(run, reason)
        await asyncio.wait({run.task})

    @staticmethod
    def _stop(run: _Run, reason: str) -> None:
        run.reason = reason
        run.task.cancel()

    @contextmanager
    def reading(self, answer: str) -> Iterator[None]:
        """Counts the caller among the answer's readers while the context is open."""
        run = self._runs.get(answer)
        if run is None:
            yield
            return
        run.readers += 1
        self._unwatch(run)
        try:
            yield
        finally:
            run.readers -= 1
            self._watch(answer, run)

    def _watch(self, answer: str, run: _Run) -> None:
        if run.readers == 0 and not run.background and answer in self._runs:
            loop = asyncio.get_running_loop()
            reason = f"nobody read it for {self._limits.grace:g} seconds"
            run.leaving = loop.call_later(self._limits.grace, self._stop, run, reason)

    @staticmethod
    def _unwatch(run: _Run) -> None:
        if run.leaving is not None:
            run.leaving.cancel()
            run.leaving = None

    async def close(self, reason: str = "the server is stopping") -> None:
        """Cancel what is running and wait until every answer has its end in the log."""
        tasks = [run.task for run in self._runs.values()]
        for run in list(self._runs.values()):
            self._stop(run, reason)
        if tasks:
            await asyncio.wait(tasks)
