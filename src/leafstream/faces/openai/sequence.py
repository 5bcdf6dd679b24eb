"""The typed events of a response's stream, numbered so that any process numbers them alike.

A sequence number follows from the log alone. An event of the log that is a text counts as one
delta whether it is sent alone, merged with its neighbours for a reader that is behind (the delta
then bears the last number it holds, as in the log) or held back; so numbers rise always and have
gaps sometimes, and whoever goes on after a number gets what follows it, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from leafstream.decoder.transcript import Rewritten, Transcript
from leafstream.draft import failure
from leafstream.events import Cancelled, Event, Failed, Finished, Queued, TextAppended, ValueSet
from leafstream.faces import sse
from leafstream.faces.openai.items import output_message, output_text
from leafstream.faces.openai.snapshot import Snapshots, Status
from leafstream.log import Entry

TERMINAL = {"completed": "response.completed", "incomplete": "response.incomplete"}


class Sequence:
    """One response's events; `after` is the number up to which they are made but not told."""

    def __init__(self, snapshots: Snapshots, after: int = -1) -> None:
        self._snapshots = snapshots
        self._after = after
        self._transcript = Transcript(typed=snapshots.typed)
        self._at = {"item_id": snapshots.item, "output_index": 0}
        self._read = 0
        self._is_queued = False
        self._has_item = False
        self.number = -1
        """That of the last event made."""

    def is_behind(self) -> bool:
        """Whether the client knows more than was made here."""
        return self.number < self._after

    def frames(self, entry: Entry) -> list[bytes]:
        """What follows from the log's next entry."""
        made = list(self._made(entry))
        return [
            sse.typed_frame(kind, msgspec.json.encode({"type": kind, "sequence_number": n, **data}))
            for n, kind, data in made
            if n > self._after
        ]

    def _made(self, entry: Entry) -> Iterator[tuple[int, str, dict[str, Any]]]:
        for kind, data in self._told(entry.event, entry.number - self._read):
            yield self.number, kind, data
        self._read = entry.number

    def _told(self, event: Event, span: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Kind and data of each event; `number` is that of the event when it is yielded."""
        if self.number < 0:
            status: Status = "queued" if isinstance(event, Queued) else "in_progress"
            yield self._next("response.created", self._begun(status))
        if isinstance(event, Queued) and not (self._is_queued or self._has_item):
            self._is_queued = True
            yield self._next("response.queued", self._begun("queued"))
        elif isinstance(event, TextAppended | ValueSet):
            yield from self._item()
            self.number += span
            if added := self._transcript.feed(event):
                yield self._delta(added)
        elif isinstance(event, Finished):
            yield from self._end(event)
        elif isinstance(event, Failed | Cancelled):
            yield self._next("response.failed", self._ended(event))

    def _next(self, kind: str, data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        self.number += 1
        return kind, data

    def _item(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The events that come before the first text."""
        if self._has_item:
            return
        self._has_item = True
        yield self._next("response.in_progress", self._begun("in_progress"))
        item = output_message(self._snapshots.item, None, "in_progress")
        yield self._next("response.output_item.added", {"output_index": 0, "item": item})
        yield self._next("response.content_part.added", self._part(""))

    def _end(self, event: Finished) -> Iterator[tuple[str, dict[str, Any]]]:
        yield from self._item()
        try:
            rest = self._transcript.feed(event)
        except Rewritten as error:
            yield self._next("response.failed", self._ended(failure(error)))
            return
        if rest:
            self.number += 1
            yield self._delta(rest)
        text = self._transcript.text
        response = self._snapshots.finished(event)
        done = {**self._at, "content_index": 0, "text": text, "logprobs": []}
        yield self._next("response.output_text.done", done)
        yield self._next("response.content_part.done", self._part(text))
        item = {"output_index": 0, "item": response["output"][0]}
        yield self._next("response.output_item.done", item)
        yield self._next(TERMINAL[response["status"]], {"response": response})

    def _begun(self, status: Status) -> dict[str, Any]:
        return {"response": self._snapshots.begun(status)}

    def _ended(self, event: Failed | Cancelled) -> dict[str, Any]:
        return {"response": self._snapshots.ended(event, self._transcript.text)}

    def _part(self, text: str) -> dict[str, Any]:
        return {**self._at, "content_index": 0, "part": output_text(text)}

    def _delta(self, text: str) -> tuple[str, dict[str, Any]]:
        data = {**self._at, "content_index": 0, "delta": text, "logprobs": []}
        return "response.output_text.delta", data
