"""What every face is built over, and how an app brings a face of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping

import msgspec
from fastapi import APIRouter, Request

from leafstream.assistant import Assistant
from leafstream.log import Entry, Log
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

    async def read(self, answer: str, after: int = 0) -> AsyncGenerator[list[Entry], None]:
        """Batches of an answer's events after a number; the caller counts among its readers."""
        with self.runs.reading(answer):
            async for batch in self.log.read(answer, after):
                yield batch


class Face(msgspec.Struct, frozen=True):
    """Routes that an app brings with its assistants: a module-level value of its file."""

    router: Callable[[Parts], APIRouter]


def owner(request: Request) -> str:
    """Whose request this is: the id of its key, "" where keys are off."""
    return str(request.scope.get("leafstream.owner", ""))
