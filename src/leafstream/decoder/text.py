"""Plain text from a model: reasoning blocks are dropped, the rest is the answer."""

from __future__ import annotations

import re
from io import StringIO
from typing import Annotated

import msgspec

from leafstream.events import Event, TextAppended
from leafstream.pointer import Json

Reasoning = tuple[tuple[str, Annotated[str, msgspec.Meta(min_length=1)]], ...]
"""What begins and what ends a block; with an empty opener the text begins inside one."""
THINK: Reasoning = (("<think>", "</think>"),)


class Blocks:
    """Where in a text the reasoning is."""

    def __init__(self, reasoning: Reasoning) -> None:
        self._closers = {opener: closer for opener, closer in reasoning if opener}
        self.openers = tuple(self._closers)
        self._closer = next((closer for opener, closer in reasoning if not opener), "")

    def is_inside(self) -> bool:
        return bool(self._closer)

    def enter(self, mark: str) -> bool:
        """Whether `mark` opens a block, which it does then."""
        self._closer = self._closers.get(mark, "")
        return self.is_inside()

    def leave(self, text: str, at: int) -> int:
        """Skip the block's text from `at`; the answer is where its end, or what may be, begins."""
        end = text.find(self._closer, at)
        if end < 0:
            return _partial(text, at, (self._closer,))
        end += len(self._closer)
        self._closer = ""
        return end

    def partial(self, text: str, at: int) -> int:
        """Where an opener that is not whole yet may begin, or the end of `text`."""
        return _partial(text, at, self.openers)


def _partial(text: str, at: int, marks: tuple[str, ...]) -> int:
    """Where, after `at`, the end of `text` begins one of `marks`; else the end."""
    size = len(text)
    found = size
    for mark in marks:
        # Only where its first character is can it begin: in most texts nowhere.
        start = text.find(mark[0], max(at, size - len(mark) + 1))
        while 0 <= start < found and not mark.startswith(text[start:]):
            start = text.find(mark[0], start + 1)
        if 0 <= start < found:
            found = start
    return found


class TextDecoder:
    """The interface of JsonDecoder for an answer that is plain text, at the path ""."""

    def __init__(self, *, reasoning: Reasoning = THINK) -> None:
        self._blocks = Blocks(reasoning)
        self._scan = re.compile("|".join(map(re.escape, self._blocks.openers)) or r"(?!)").search
        self._held = ""
        self._text = StringIO()
        self._trimming = self._blocks.is_inside()
        self._read = 0
        self._began: int | None = None
        self.started = False
        self.complete = False

    @property
    def value(self) -> Json:
        """What a client holds by now; None before any text."""
        return self._text.getvalue() if self.started else None

    @property
    def growing(self) -> str | None:
        return None if self.complete else ""

    @property
    def num_over(self) -> int:
        return 0

    def prefix(self) -> str:
        """The text told so far."""
        return self._text.getvalue()

    def feed(self, text: str) -> list[Event]:
        """The growth of the text, in one event at most."""
        text = self._held + text
        pieces: list[str] = []
        at = 0
        while at < len(text):
            if self._blocks.is_inside():
                at = self._blocks.leave(text, at)
                self._trimming = True
                if self._blocks.is_inside():
                    break
                continue
            found = self._scan(text, at)
            end = found.start() if found else self._blocks.partial(text, at)
            pieces.append(self._taken(text[at:end], end))
            at = end
            if found is None:
                break
            self._blocks.enter(found[0])
            at = found.end()
        self._held = text[at:]
        self._read += at
        return self._told("".join(pieces))

    def finish(self) -> list[Event]:
        """The model's text is over: what could have begun a block is text after all."""
        held, self._held = self._held, ""
        self.complete = True
        text = "" if self._blocks.is_inside() else self._taken(held, len(held))
        self._read += len(held)
        return self._told(text)

    @property
    def skipped(self) -> int:
        """How many characters stood before the text."""
        return self._read if self._began is None else self._began

    def _taken(self, text: str, end: int) -> str:
        """Text of the answer, without the white space between a block and it."""
        if self._trimming:
            text = text.lstrip()
            self._trimming = not text
        if text and self._began is None:
            self._began = self._read + end - len(text)
        return text

    def _told(self, text: str) -> list[Event]:
        if not text:
            return []
        self.started = True
        self._text.write(text)
        return [TextAppended("", text)]
