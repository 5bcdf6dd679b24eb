"""Pieces of text that is still growing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from leafstream.decoder.graphemes import border_within, settled

Border = Callable[[str, int, int, int], tuple[int, int]]
"""(text, start, at, stop) -> (end, resume): where the segment that begins at `start` ends, 0 where
text[:stop] does not tell, and from where to look on. Borders before `at` were looked at.

Whether there is a border depends on the segment up to it and the one character after it."""


class Cutter(Protocol):
    """Takes the chunks of one string and gives the same text in other pieces."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is held."""

    def feed(self, text: str) -> list[str]:
        """The pieces that are whole by now."""

    def flush(self) -> str:
        """What is held, without regard to borders."""


class Segments:
    """Cuts at the borders, the same ones for any chunking; above `limit` characters it cuts too."""

    def __init__(self, border: Border, limit: int) -> None:
        self._border = border
        self._limit = limit
        self._held = ""
        self._at = 0

    @property
    def is_empty(self) -> bool:
        return not self._held

    def feed(self, text: str) -> list[str]:
        text = self._held + text
        start, at = 0, self._at
        whole = []
        while start < len(text):
            stop = min(len(text), start + self._limit + 1)
            end, at = self._border(text, start, at, stop)
            if not end and stop - start > self._limit:
                end = start + border_within(text[start:stop], self._limit)
                at = max(at, end)
            if not end:
                break
            whole.append(text[start:end])
            start = end
        self._held = text[start:]
        self._at = at - start
        return whole

    def flush(self) -> str:
        held = self._held
        self._held = ""
        self._at = 0
        return held


class Tokens:
    """Gives the chunks as they come, but for the last cluster, which may still grow."""

    def __init__(self) -> None:
        self._held = ""

    @property
    def is_empty(self) -> bool:
        return not self._held

    def feed(self, text: str) -> list[str]:
        text = self._held + text
        end = settled(text)
        self._held = text[end:]
        return [text[:end]] if end else []

    def flush(self) -> str:
        held = self._held
        self._held = ""
        return held


class Span:
    """Collects until it is told to release."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self.has_news = False
        """Whether text came since the last release."""

    @property
    def is_empty(self) -> bool:
        return not self._pieces

    def feed(self, text: str) -> list[str]:
        self._pieces.append(text)
        self.has_news = True
        return []

    def release(self) -> str:
        """What is held but for the last cluster, which may still grow."""
        text = self.flush()
        end = settled(text)
        self._pieces = [text[end:]] if end < len(text) else []
        return text[:end]

    def flush(self) -> str:
        text = "".join(self._pieces)
        self._pieces = []
        self.has_news = False
        return text
