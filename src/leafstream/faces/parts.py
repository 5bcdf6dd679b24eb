"""What every face is built over, and how an app brings a face of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

import msgspec
from fastapi import APIRouter, Request

from leafstream.assistant import Assistant
from leafstream.faces import sse
from leafstream.log import Batch, Log
from leafstream.runs import Runs
from leafstream.settings import Settings
from leafstream.store.conversations import Conversations


class Parts(msgspec.Struct, frozen=True):
    """The parts of one running app; `assistants` may change while it runs."""

    settings: Settings
    assistants: Mapping[str, Assistant]
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

    def stream(self, answer: str, after: int = 0, write: sse.Write = sse.native) -> sse.EventStream:
        """The answer as a response; `write` makes frames of a batch."""
        settings = self.settings
        batches = self.read(answer, after, settings.heartbeat_seconds)
        return sse.EventStream(batches, write, settings.stall_seconds)


class Face(msgspec.Struct, frozen=True):
    """Routes that an app brings with its assistants: a module-level value of its file."""

    router: Callable[[Parts], APIRouter]


def owner(request: Request) -> str:
    """Whose request this is: the id of its key, "" where keys are off."""
    return str(request.scope.get("leafstream.owner", ""))
