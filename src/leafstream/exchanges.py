"""Exchanges: what an answer reads of its conversation, and what it keeps there.

Theory of operation. An exchange is kept before its answer's end is in the log, so that nobody is
told of an end that the conversation does not know. The answer's id names both, and what lies
between the two is mended from there: whoever goes on with the answer leaves its own exchange out of
what it reads and ends with the kept value, and an exchange whose answer ended in another way after
all, as the log went away just then, is taken back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import msgspec

from leafstream.draft import Job
from leafstream.errors import NotFound, StoreUnavailable
from leafstream.events import Finished, Plan, is_terminal
from leafstream.log import Log
from leafstream.messages import Message, Messages
from leafstream.store.conversations import Conversations, Exchange, Turn

logger = logging.getLogger("leafstream.exchanges")

T = TypeVar("T")

RETRY_SECONDS = 0.5


class Past(msgspec.Struct, frozen=True):
    """The turns before an answer's own exchange, and its own turn where that is kept already."""

    messages: Messages = ()
    own: Turn | None = None


class Exchanges:
    """The exchanges of this process's answers; a database that is away is waited for."""

    def __init__(self, conversations: Conversations | None, log: Log, patience: float) -> None:
        self._conversations = conversations
        self._log = log
        self._patience = patience
        self._unsure: dict[str, str] = {}
        """Of each answer that may be kept and has no end in the log yet, the conversation."""

    async def past(self, job: Job) -> Past:
        """Raises NotFound or StoreUnavailable."""
        conversation = job.ask.conversation
        if conversation is None or self._conversations is None:
            return Past()
        if conversation in self._unsure.values():
            await self.settle()
        turns = await self._conversations.turns(conversation, owner=job.ask.owner)
        place = next((n for n, turn in enumerate(turns) if turn.answer == job.id), None)
        before = turns if place is None else turns[: max(place - 1, 0)]
        messages = tuple(Message(turn.role, turn.content) for turn in before)
        return Past(messages, None if place is None else turns[place])

    async def keep(self, job: Job, plan: Plan, finished: Finished) -> Turn | None:
        """Make the exchange durable; the answer's turn where one was kept for it before.

        A cancel that comes while it is kept comes too late. Raises StoreUnavailable.
        """
        conversation = job.ask.conversation
        if conversation is None or self._conversations is None:
            return None
        exchange = Exchange(job.id, job.messages[-1].content, finished.value, plan, finished.usage)
        self._unsure[job.id] = conversation
        add = self._conversations.add
        try:
            return await self.patiently(lambda: undisturbed(add(conversation, exchange)))
        except NotFound:
            logger.info("answer %s: its conversation was deleted meanwhile", job.id)
            return None

    def has_ended(self, answer: str) -> None:
        """Its end is in the log."""
        self._unsure.pop(answer, None)

    async def settle(self) -> None:
        """Take back the exchanges whose answers ended in another way.

        Raises StoreUnavailable or LogUnavailable.
        """
        for answer, conversation in list(self._unsure.items()):
            if await self._is_settled(answer, conversation):
                self.has_ended(answer)

    async def _is_settled(self, answer: str, conversation: str) -> bool:
        try:
            events = await self._log.events(answer)
        except NotFound:
            return True
        if not events or not is_terminal(events[-1]):
            return False
        if not isinstance(events[-1], Finished) and self._conversations is not None:
            await self._conversations.take_back(conversation, answer)
        return True

    async def patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What the database says, asked again while it is away and patience lasts."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return await ask()
            except StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(RETRY_SECONDS)


async def undisturbed(work: Coroutine[Any, Any, T]) -> T:
    """Do `work` to its end, whatever comes meanwhile: a cancel is heeded only where it failed."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if task.cancelled() or task.exception() is not None:
            raise
        current = asyncio.current_task()
        assert current is not None
        current.uncancel()
    return task.result()
