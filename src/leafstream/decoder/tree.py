"""The document as it grows: what a decoder's lexer reads, as events and as the value they make."""

from __future__ import annotations

import sys
from typing import Any

from leafstream.decoder.spots import Spot, Words
from leafstream.events import Event, TextAppended, ValueSet
from leafstream.pointer import Json

ANNOUNCED_LEVELS = 16
"""Containers deeper than this are announced by their parents only: it bounds repeated bytes."""


class Frame:
    """An open container. It is `attached` once an event has told the client that it exists."""

    __slots__ = (
        "attached",
        "depth",
        "is_object",
        "items",
        "key",
        "muted",
        "parent",
        "path",
        "spot",
    )

    def __init__(
        self, parent: Frame | None, path: str, spot: Spot, *, is_object: bool, muted: bool
    ) -> None:
        self.parent = parent
        self.path = path
        self.spot = spot
        self.is_object = is_object
        self.muted = muted
        self.items: Any = {} if is_object else []
        self.key: Any = 0
        self.depth: int = parent.depth + 1 if parent else -1
        self.attached = parent is None

    def place(self, value: Json) -> None:
        """Set the current member or item."""
        if self.is_object or self.key < len(self.items):
            self.items[self.key] = value
        else:
            self.items.append(value)


class Tree:
    """Open containers, the current place in them (`path`, `spot`), and the events of one feed.

    The value is built only by what is also told in an event, so that it is what a client holds.
    A finished container never changes again: events share it.
    """

    __slots__ = (
        "_bound",
        "_held",
        "_parts",
        "_size",
        "_words",
        "base",
        "flowing",
        "in_text",
        "muted",
        "out",
        "path",
        "run",
        "spot",
        "top",
    )

    def __init__(self, spot: Spot) -> None:
        self.base = self.top = Frame(None, "", spot, is_object=False, muted=False)
        self.path = ""
        self.spot = spot
        self.muted = False
        self.out: list[Event] = []
        self.run: list[str] = []
        self.flowing = False
        self.in_text = False
        self._parts: list[str] = []
        self._held: list[str] = []
        self._size = 0
        self._bound = sys.maxsize
        self._words: Words | None = None

    @property
    def num_over(self) -> int:
        """How many characters the open string is longer than its place allows."""
        over = self._size - self._bound
        return over if over > 0 and self.in_text else 0

    @property
    def value(self) -> Json:
        """What a client holds by now."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        if self._parts:
            self.top.place(self._parts[0])
        return self.base.items[0] if self.base.items else None

    def key(self, name: str) -> None:
        """The next value is the member `name`; a second one of that name is not told."""
        top = self.top
        top.key = name
        token = name.replace("~", "~0").replace("/", "~1") if "~" in name or "/" in name else name
        self.path = f"{top.path}/{token}"
        self.spot = top.spot.member(name)
        self.muted = top.muted or name in top.items
        if not top.attached and name.isdigit() and name.isascii() and not self.muted:
            self._attach()
            self.out.append(ValueSet(top.path, {}))

    def item(self) -> None:
        """The next value is the next item of the array."""
        top = self.top
        if top is self.base:
            return
        top.key = len(top.items)
        self.path = f"{top.path}/{top.key}"
        self.spot = top.spot.item(top.key)
        self.muted = top.muted

    def open(self, *, is_object: bool) -> None:
        """A container begins at the current place."""
        self.top = Frame(self.top, self.path, self.spot, is_object=is_object, muted=self.muted)
        if self.top.depth == 0 and not self.muted:
            self._attach()
            self.out.append(ValueSet("", {} if is_object else []))

    def close(self) -> None:
        """The innermost container ends."""
        frame, parent = self.top, self.top.parent
        assert parent is not None
        if (
            not frame.muted
            and frame.depth
            and (frame.depth <= ANNOUNCED_LEVELS or not frame.attached)
        ):
            self._attach()
            self.out.append(ValueSet(frame.path, frame.items))
        self.top = parent

    def scalar(self, value: Json) -> None:
        """A whole number, literal or empty string stands at the current place."""
        if self.muted:
            return
        self._attach()
        self.top.place(value)
        self.out.append(ValueSet(self.path, value))

    @property
    def text(self) -> str:
        """The open string as far as it was read, told or not."""
        return "".join([*self._parts, *self._held, *self.run])

    def begin(self) -> None:
        """A string begins at the current place; its text comes in `run`."""
        self.in_text = True
        self._words = self.spot.words
        self._bound = self.spot.bound
        self._size = 0

    def grow(self, text: str) -> list[Event]:
        """What `flush` would tell of `text`, for a string that is `flowing`."""
        self._size += len(text)
        if self._size > self._bound:
            self.out = []
            self._tell_within(text)
            return self.out
        self._parts.append(text)
        return [TextAppended(self.path, text)]

    def flush(self) -> None:
        """Tell what has come of the string, unless it must wait for more."""
        text = "".join(self.run)
        self.run.clear()
        if self.muted:
            return
        if self._words is not None:
            text = self._decided(self._words, text)
        else:
            self._size += len(text)
        self._tell_within(text)

    def end(self) -> None:
        """The string is whole: now even that is told which no place takes."""
        self.flush()
        if self._held:
            self._tell("".join(self._held))
            self._held.clear()
        self.flowing = self.in_text = False
        if self.muted:
            return
        if self._parts:
            self.top.place("".join(self._parts))
            self._parts.clear()
        else:
            self.scalar("")

    def _tell_within(self, text: str) -> None:
        """Tell what of the newest `text` is within the bound; what is beyond may be cut off yet."""
        over = self._size - self._bound
        if over > 0:
            end = max(0, len(text) - over)
            self._held.append(text[end:])
            text = text[:end]
        self._tell(text)

    def _tell(self, text: str) -> None:
        if not text:
            return
        if not self._parts:
            self._attach()
        self._parts.append(text)
        self.flowing = True
        self.out.append(TextAppended(self.path, text))

    def _decided(self, words: Words, text: str) -> str:
        """The text so far once it can only become one of `words`; text that fits none waits."""
        size = self._size
        self._size += len(text)
        self._held.append(text)
        if size > self._bound:
            return ""
        whole = "".join(self._held)
        if not whole.startswith(words.decided):
            return ""
        self._words = None
        self._held.clear()
        return whole

    def _attach(self) -> None:
        """Put the open containers where the value holds them."""
        frame = self.top
        while not frame.attached:
            frame.attached = True
            assert frame.parent is not None
            frame.parent.place(frame.items)
            frame = frame.parent
