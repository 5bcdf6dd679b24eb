"""The log of answers: every event, numbered, in the order in which every reader gets them.

Theory of operation. An answer's events are numbered from 1 without gaps. A writer appends; a reader
asks for what comes after a number and waits for more until it has seen the terminal event. There is
no other way to an event: the client that started an answer reads it as one that comes back does.
A reader that is behind gets adjacent texts of one path as one event, which bears the last number it
holds; so a slow reader costs fewer events, and the writer never waits for it. The raw text of the
model is kept beside the events, so that a generation can be continued.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

import msgspec

from leafstream.ask import Ask
from leafstream.errors import Conflict, NotFound
from leafstream.events import Cancelled, Event, Failed, Finished, TextAppended


class Entry(msgspec.Struct, frozen=True, gc=False):
    number: int
    event: Event


class Opening(msgspec.Struct, frozen=True):
    """What is known of an answer before its first event.

    The same `ask` under the same `key` (its owner's idempotency key) is this answer again.
    """

    id: str
    ask: Ask
    created: float
    key: str | None = None


class Log(Protocol):
    async def open(self, opening: Opening) -> str:
        """Begin an answer and return its id: an earlier one's under the same idempotency key.

        Raises Conflict where the key was used for another request.
        """
        ...

    async def append(self, answer: str, events: Sequence[Event], text: str = "") -> None:
        """Add events and the raw model text they came from; readers wake after it is kept."""
        ...

    def read(self, answer: str, after: int = 0) -> AsyncGenerator[list[Entry], None]:
        """Batches of what follows number `after`, to the terminal event. Raises NotFound."""
        ...

    async def opening(self, answer: str) -> Opening:
        """Raises NotFound."""
        ...

    async def events(self, answer: str) -> list[Event]:
        """All events so far. Raises NotFound."""
        ...


class _Kept:
    __slots__ = ("ended", "events", "grown", "opening", "text")

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self.events: list[Event] = []
        self.text: list[str] = []
        self.grown = asyncio.Event()
        self.ended: float | None = None


class MemoryLog:
    """A log that lives as long as its process; ended answers are kept for `keep` seconds."""

    def __init__(self, keep: float = 3600) -> None:
        self._keep = keep
        self._answers: dict[str, _Kept] = {}
        self._keys: dict[tuple[str, str], str] = {}

    async def open(self, opening: Opening) -> str:
        self._forget_old()
        key = (opening.ask.owner, opening.key) if opening.key is not None else None
        if key is not None and key in self._keys:
            earlier = self._answers[self._keys[key]].opening
            if earlier.ask.fingerprint() != opening.ask.fingerprint():
                raise Conflict(
                    "this Idempotency-Key was used for another request", param="Idempotency-Key"
                )
            return earlier.id
        self._answers[opening.id] = _Kept(opening)
        if key is not None:
            self._keys[key] = opening.id
        return opening.id

    async def append(self, answer: str, events: Sequence[Event], text: str = "") -> None:
        kept = self._kept(answer)
        kept.text.append(text)
        if not events:
            return
        kept.events.extend(events)
        if is_terminal(events[-1]):
            kept.ended = time.monotonic()
        kept.grown.set()
        kept.grown = asyncio.Event()

    async def read(self, answer: str, after: int = 0) -> AsyncGenerator[list[Entry], None]:
        kept = self._kept(answer)
        while True:
            if after < len(kept.events):
                batch = merged(after + 1, kept.events[after:])
                after = batch[-1].number
                yield batch
            elif kept.ended is not None:
                return
            else:
                await kept.grown.wait()

    async def opening(self, answer: str) -> Opening:
        return self._kept(answer).opening

    async def events(self, answer: str) -> list[Event]:
        return list(self._kept(answer).events)

    def _kept(self, answer: str) -> _Kept:
        if answer not in self._answers:
            raise NotFound(f"there is no answer {answer!r}, or it is kept no longer", param="id")
        return self._answers[answer]

    def _forget_old(self) -> None:
        # Answers end roughly in the order they began, so the old ones are at the front.
        oldest = time.monotonic() - self._keep
        for answer, kept in list(self._answers.items()):
            if kept.ended is None or kept.ended > oldest:
                break
            del self._answers[answer]
            self._keys.pop((kept.opening.ask.owner, kept.opening.key or ""), None)


def is_terminal(event: Event) -> bool:
    return isinstance(event, Finished | Failed | Cancelled)


def merged(first: int, events: Sequence[Event]) -> list[Entry]:
    """The events, numbered from `first`, adjacent texts of one path made one."""
    entries: list[Entry] = []
    texts: list[str] = []
    for number, event in enumerate(events, first):
        last = entries[-1].event if entries else None
        if (
            isinstance(event, TextAppended)
            and isinstance(last, TextAppended)
            and last.path == event.path
        ):
            texts.append(event.text)
            entries[-1] = Entry(number, last)
            continue
        _join(entries, texts)
        entries.append(Entry(number, event))
    _join(entries, texts)
    return entries


def _join(entries: list[Entry], texts: list[str]) -> None:
    """Give the last entry the texts that were merged into it."""
    if texts:
        number, event = entries[-1].number, entries[-1].event
        assert isinstance(event, TextAppended)
        entries[-1] = Entry(number, TextAppended(event.path, event.text + "".join(texts)))
        texts.clear()
