"""What every face is built over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

import msgspec
from fastapi import Request

from leafstream.assistant import Assistant
from leafstream.engines.base import Engine
from leafstream.errors import Interrupted
from leafstream.events import Terminal
from leafstream.faces import sse
from leafstream.log import Batch, Log
from leafstream.runs import Runs
from leafstream.settings import Settings
from leafstream.store.conversations import Conversations


class Parts(msgspec.Struct, frozen=True):
    """The parts of one running app; `assistants` may change while it runs."""

    settings: Settings
    assistants: Mapping[str, Assistant]
    engine: Engine
    runs: Runs
    log: Log
    store: Conversations

    async def read(
        self, answer: str, after: int = 0, idle: float | None = None
    ) -> AsyncGenerator[Batch, None]:
        """Batches of an answer's events after a number; the caller counts among its readers.

        With `idle`, an empty batch after so many seconds without news.
        """
        with self.runs.reading(answer):
            async with aclosing(self.log.read(answer, after, idle)) as batches:
                async for batch in batches:
                    yield batch

    async def last(self, answer: str, request: Request) -> Terminal | None:
        """How the answer ends; None where the client of `request` (read before) left first.

        Raises Interrupted where this process lets its readers go before that.
        """
        gone = asyncio.ensure_future(_gone(request))
        ending = asyncio.ensure_future(self._ending(answer))
        try:
            await asyncio.wait({gone, ending}, return_when=asyncio.FIRST_COMPLETED)
            return ending.result() if ending.done() else None
        finally:
            gone.cancel()
            ending.cancel()
            await asyncio.wait({gone, ending})

    async def _ending(self, answer: str) -> Terminal:
        async with aclosing(self.read(answer)) as batches:
            async for batch in batches:
                last = batch[-1].event
                if isinstance(last, Terminal):
                    return last
        raise Interrupted(
            f"this server is stopping; the answer {answer!r} goes on without it",
            details={"id": answer},
        )

    async def is_over(self, answer: str, after: int) -> bool:
        """Whether nothing follows a number any more: the answer ended there."""
        async with aclosing(self.log.read(answer, after, idle=0)) as batches:
            async for _ in batches:
                return False
        # A log that lets its readers go looks the same, though its answers go on.
        return not self.runs.draining

    def stream(
        self, answer: str, after: int = 0, write: sse.Write = sse.native
    ) -> sse.EventStream[Batch]:
        """The answer as a response; `write` makes frames of a batch."""
        settings = self.settings
        batches = self.read(answer, after, settings.heartbeat_seconds)
        return sse.EventStream(batches, write, settings.stall_seconds)

    def send(self, frames: AsyncGenerator[bytes, None]) -> sse.EventStream[bytes]:
        """Frames of another protocol as a response; empty ones are heartbeats."""
        return sse.EventStream(frames, bytes, self.settings.stall_seconds, sse.OPENING)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def owner(request: Request) -> str:
    """Whose request this is: the id of its key, "" where keys are off."""
    return str(request.scope.get("leafstream.owner", ""))
