"""The main path: prompt → plan → engine → decoder → events, with exactly one terminal event.

`prepare` decides everything that can be refused before a stream is open. `write` never raises for
what goes wrong afterwards: it ends in Finished or Failed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from leafstream.decoder.closing import least
from leafstream.draft import Draft, Job, Prepared, Step
from leafstream.engines.base import Chunk, Engine, Prompt
from leafstream.errors import EngineError, EngineUnavailable, LeafstreamError, UnsupportedSchema
from leafstream.events import Event, Noticed, Plan, Started
from leafstream.landing import Landing, Room, land
from leafstream.plan import Budget, droppable, without_oldest
from leafstream.sampling import refuse_unsupported
from leafstream.schema import Schema

MAX_IDLE_CONTINUATIONS = 5
BACKOFF_SECONDS = 0.2


async def prepare(job: Job, engine: Engine) -> Prepared:
    """The prompt that fits and its plan. Raises InvalidRequest or EngineError."""
    refuse_unsupported(job.ask.sampling, engine.settings, engine.model)
    # A caller's schema may take a while to look through: the others are served meanwhile.
    shortest = await asyncio.to_thread(least, job.schema) if job.schema else ""
    needed = await engine.count(shortest) if job.schema else 1
    budget = Budget(engine.context_window, job.ask.max_tokens, needed)
    budget.check_request()
    prompt, dropped = await _fitting(job, budget, engine)
    plan = budget.plan(prompt.num_tokens, dropped_turns=dropped, estimated=prompt.estimated)
    landing = await _landing(job.schema, plan, prompt) if job.ask.soft_landing else None
    if landing is not None and not await _is_bearable(landing.schema, engine):
        landing = None
    if landing is None:
        if job.schema is not None:
            await engine.constrains(job.schema)
        return Prepared(prompt, plan, job.schema)
    plan = msgspec.structs.replace(plan, tightened=landing.tightened)
    return Prepared(prompt, plan, landing.schema)


async def _is_bearable(schema: Schema, engine: Engine) -> bool:
    """Whether the schema of a landing, in which references are written out, has a grammar."""
    try:
        await engine.constrains(schema)
    except UnsupportedSchema:
        return False
    return True


async def _fitting(job: Job, budget: Budget, engine: Engine) -> tuple[Prompt, int]:
    """The prompt with the fewest turns dropped that leaves the room wanted, and how many."""
    messages, template = job.messages, job.chat_template
    steps = droppable(messages) if job.ask.trim else [0]
    prompt = await engine.prompt(messages, template)
    low, high = 0, 0 if budget.fits(prompt.num_tokens) else len(steps) - 1
    while low < high:  # a prompt shrinks with every turn that goes, so bisect
        middle = (low + high) // 2
        shorter = await engine.prompt(without_oldest(messages, steps[middle]), template)
        low, high = (low, middle) if budget.fits(shorter.num_tokens) else (middle + 1, high)
    if low:
        prompt = await engine.prompt(without_oldest(messages, steps[low]), template)
    return prompt, steps[low]


async def _landing(schema: Schema | None, plan: Plan, prompt: Prompt) -> Landing | None:
    if schema is None:
        return None
    shortest = (await asyncio.to_thread(least, schema), plan.min_tokens or 1)
    room = Room(plan.max_tokens, _chars_per_token(prompt), shortest)
    return await asyncio.to_thread(land, schema, room)


def _chars_per_token(prompt: Prompt) -> float:
    """A cautious guess for the answer from the prompt, which is in the same language."""
    chars = sum(len(message.content) for message in prompt.messages)
    return max(0.3, min(4.0, 0.8 * chars / max(prompt.num_tokens, 1)))


def started(job: Job, prepared: Prepared, engine: Engine) -> list[Event]:
    """The first events of an answer."""
    ask = job.ask
    sources = ask.grounds.sources if ask.grounds else []
    events: list[Event] = [
        Started(job.id, ask.assistant, engine.model, prepared.plan, sources or None)
    ]
    if dropped := prepared.plan.dropped_turns:
        message = f"the {dropped} oldest turns were left out: they no longer fit the context"
        events.append(Noticed("trimmed", message))
    return events


async def prepare_again(job: Job, plan: Plan, engine: Engine) -> Prepared:
    """What `prepare` gave when the answer was begun, of which its plan was told."""
    messages = without_oldest(job.messages, plan.dropped_turns)
    prompt = await engine.prompt(messages, job.chat_template)
    landing = await _landing(job.schema, plan, prompt) if plan.tightened is not None else None
    return Prepared(prompt, plan, landing.schema if landing is not None else job.schema)


async def write(draft: Draft, engine: Engine, patience: float = 30.0) -> AsyncGenerator[Step, None]:
    """Write the answer; the last event of the last step is Finished or Failed.

    An engine that went away is waited for, `patience` seconds from its last token, and not at all
    where it says that it is away for longer.
    """
    idle = 0
    deadline = time.monotonic() + patience
    try:
        if not draft.is_open():
            yield draft.end()
        while draft.is_open():
            before = draft.num_tokens
            try:
                async with aclosing(_paced(draft, engine)) as steps:
                    async for step in steps:
                        yield step
            except EngineUnavailable as error:
                wrote, away = draft.num_tokens > before, error.retry_after or 0.0
                if wrote:
                    deadline = time.monotonic() + patience
                if time.monotonic() + away >= deadline:
                    raise
                if wrote:
                    yield Step([Noticed("continued", "the engine was lost; the text goes on")])
                await asyncio.sleep(max(BACKOFF_SECONDS, away))
                continue
            idle = 0 if draft.num_tokens > before else idle + 1
            yield _continued(idle) if draft.is_open() else draft.end()
    except LeafstreamError as error:
        yield draft.failed(error)


def _continued(idle: int) -> Step:
    """The engine stopped before the plan did: say that the text goes on."""
    if idle >= MAX_IDLE_CONTINUATIONS:
        raise EngineError("the engine stops again and again without writing anything")
    return Step([Noticed("continued", "the engine stopped early; the text goes on from there")])


async def _paced(draft: Draft, engine: Engine) -> AsyncGenerator[Step, None]:
    """The steps of one generation, and what the pace lets go between two chunks."""
    async with aclosing(engine.generate(draft.generation())) as chunks:
        waiting: asyncio.Future[Chunk | None] | None = None
        try:
            while draft.is_open():
                if draft.deadline is None and waiting is None:
                    chunk = await anext(chunks, None)
                else:
                    waiting = waiting or asyncio.ensure_future(anext(chunks, None))
                    if not await _arrived(waiting, draft.deadline):
                        yield draft.due()
                        continue
                    chunk, waiting = waiting.result(), None
                if chunk is None:
                    return
                yield draft.take(chunk)
        finally:
            if waiting is not None:
                waiting.cancel()
                await asyncio.wait({waiting})


async def _arrived(waiting: asyncio.Future[Chunk | None], deadline: float | None) -> bool:
    """Whether a chunk came before the deadline (on the monotonic clock)."""
    timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
    done, _ = await asyncio.wait({waiting}, timeout=timeout)
    return bool(done)
