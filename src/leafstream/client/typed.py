"""An answer as a growing Pydantic model, from its events."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Generic, TypeVar

from pydantic import BaseModel

from leafstream.client.partial import Partial
from leafstream.errors import Conflict, LeafstreamError
from leafstream.events import Cancelled, Event, Failed, Finished, Noticed, Started

M = TypeVar("M", bound=BaseModel)


class Typed(Generic[M]):
    """Iterate it once for snapshots of the answer; `result` is the validated whole after that.

    Iterating raises LeafstreamError where the answer fails or is cancelled.
    """

    def __init__(self, events: AsyncGenerator[Event, None], model: type[M]) -> None:
        self._events = events
        self._model = model
        self._partial = Partial(model)
        self.started: Started | None = None
        self.notices: list[Noticed] = []
        self.finished: Finished | None = None

    @property
    def result(self) -> M:
        """The finished answer, validated. Raises Conflict before the end of the iteration."""
        if self.finished is None:
            raise Conflict("the answer is not finished: iterate it to its end first")
        return self._model.model_validate(self.finished.value)

    async def __aiter__(self) -> AsyncGenerator[M, None]:
        async with aclosing(self._events) as events:
            async for event in events:
                self._note(event)
                if self._partial.apply(event):
                    yield self._partial.value

    def _note(self, event: Event) -> None:
        if isinstance(event, Started):
            self.started = event
        elif isinstance(event, Noticed):
            self.notices.append(event)
        elif isinstance(event, Finished):
            self.finished = event
        elif isinstance(event, Failed):
            raise LeafstreamError(
                event.message, details=event.details, retry_after=event.retry_after
            )
        elif isinstance(event, Cancelled):
            raise LeafstreamError(f"cancelled: {event.reason}")
