"""The strict lexer of JSON (RFC 8259), fed in chunks.

Theory of operation: `feed` walks its text from step to step; a step is one row of `steps`, takes
the text and a position, and answers with the position of what it did not take. What a step
cannot decide before more has come is held by kind: an escape of at most 11 characters goes in
front of the next text (`carry`); a key, number or literal of any length is collected in `parts`,
so that nothing long is ever read twice. What was read goes to the `Tree`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar, Final, cast

from leafstream.decoder.strings import unescape
from leafstream.decoder.tree import Tree
from leafstream.errors import InvalidAnswer
from leafstream.pointer import Json

VALUE: Final = 0
FIRST_ITEM: Final = 1
FIRST_KEY: Final = 2
KEY: Final = 3
KEY_TEXT: Final = 4
COLON: Final = 5
STRING: Final = 6
NUMBER: Final = 7
WORD: Final = 8
AFTER: Final = 9
DONE: Final = 10

Step = Callable[[Any, str, int], int]
Always = Callable[[str, int], re.Match[str]]
"""Matches the empty text too, so always."""

SPACE = " \t\n\r"
spaces = cast("Always", re.compile(r"[ \t\n\r]*").match)
stop = re.compile(r'["\\\x00-\x1f]').search
digits = cast("Always", re.compile(r"[-+.0-9eE]*").match)
NUMBER_TEXT = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
MAX_DIGITS: Final = 4300
"""CPython reads no longer integer (sys.int_info.default_max_str_digits)."""
LITERALS: dict[str, tuple[str, Json]] = {
    "t": ("true", True),
    "f": ("false", False),
    "n": ("null", None),
}


class Machine:
    """Reads strict JSON into `tree`. `feed` raises InvalidAnswer for what is not."""

    __slots__ = ("base", "carry", "max_depth", "parts", "read", "state", "tree", "word")

    stop = staticmethod(stop)

    def __init__(self, tree: Tree, max_depth: int) -> None:
        self.tree = tree
        self.base = tree.top
        self.max_depth = max_depth
        self.state = VALUE
        self.carry = ""
        self.parts: list[str] = []
        self.word: tuple[str, Json] = ("", None)
        self.read = 0

    def feed(self, text: str) -> None:
        """Take the next `text`; what it decides is in `tree.out`."""
        if self.carry:
            text = self.carry + text
            self.read -= len(self.carry)
            self.carry = ""
        at, end, steps = 0, len(text), self.steps
        while at < end:
            at = steps[self.state](self, text, at)
        if self.tree.run:
            self.tree.flush()
        if self.state != STRING or self.carry:
            self.tree.flowing = False

    def finish(self) -> None:
        """The text ends here: a number needs no delimiter any more at the root."""
        if self.state == NUMBER and self.tree.top is self.base:
            self._end_number(0)

    def refuse(self, what: str, at: int) -> InvalidAnswer:
        """The error to raise for the character at `at` of the text being read."""
        position = self.read + at
        return InvalidAnswer(f"{what} at character {position}", details={"position": position})

    # Steps: each takes text[at:] as far as it understands it.

    def _value(self, text: str, at: int) -> int:
        char = text[at]
        if char in SPACE:
            at = spaces(text, at).end()
            if at == len(text):
                return at
            char = text[at]
        if not self.tree.top.is_object:
            self.tree.item()
        return self._begin(char, text, at)

    def _begin(self, char: str, text: str, at: int) -> int:  # noqa: ARG002
        """A value begins with `char`, which is text[at]."""
        if char == '"':
            self.tree.begin()
            self.state = STRING
            return at + 1
        if char in "{[":
            return self._open(at, is_object=char == "{")
        if char in "-0123456789":
            self.state = NUMBER
            return at
        if char in LITERALS:
            self.word = LITERALS[char]
            self.state = WORD
            return at
        raise self.refuse(f"a value cannot begin with {char!r}", at)

    def _open(self, at: int, *, is_object: bool) -> int:
        if self.tree.top.depth + 1 >= self.max_depth:
            raise self.refuse(f"nested deeper than {self.max_depth} levels", at)
        self.tree.open(is_object=is_object)
        self.state = FIRST_KEY if is_object else FIRST_ITEM
        return at + 1

    def _close(self, at: int) -> int:
        self.tree.close()
        self._after_value()
        return at + 1

    def _after_value(self) -> None:
        self.state = DONE if self.tree.top is self.base else AFTER

    def _first_item(self, text: str, at: int) -> int:
        at = spaces(text, at).end()
        if at == len(text):
            return at
        if text[at] == "]":
            return self._close(at)
        return self._value(text, at)

    def _first_key(self, text: str, at: int) -> int:
        at = spaces(text, at).end()
        if at == len(text):
            return at
        if text[at] == "}":
            return self._close(at)
        return self._key(text, at)

    def _key(self, text: str, at: int) -> int:
        if text[at] in SPACE:
            at = spaces(text, at).end()
            if at == len(text):
                return at
        if text[at] != '"':
            raise self.refuse(f"a member's name cannot begin with {text[at]!r}", at)
        self.state = KEY_TEXT
        return at + 1

    def key_text(self, text: str, at: int) -> int:
        at, ended = self._text(text, at, self.parts)
        if ended:
            self._end_key()
        return at

    def _end_key(self) -> None:
        self.tree.key("".join(self.parts))
        self.parts.clear()
        self.state = COLON

    def _colon(self, text: str, at: int) -> int:
        if text[at] in SPACE:
            at = spaces(text, at).end()
            if at == len(text):
                return at
        if text[at] != ":":
            raise self.refuse(f"a colon was expected, not {text[at]!r}", at)
        self.state = VALUE
        return at + 1

    def string(self, text: str, at: int) -> int:
        at, ended = self._text(text, at, self.tree.run)
        if ended:
            self.tree.end()
            self._after_value()
        return at

    def _text(self, text: str, at: int, into: list[str]) -> tuple[int, bool]:
        """Decode a string's text up to its end: (where it stopped, whether that was the quote)."""
        while True:
            found = stop(text, at)
            if found is None:
                into.append(text[at:])
                return len(text), False
            here = found.start()
            if here > at:
                into.append(text[at:here])
            char = text[here]
            if char == '"':
                return here + 1, True
            if char != "\\":
                raise self.refuse(f"a string cannot contain {char!r} unescaped", here)
            meant = self._escape(text, here)
            if meant is None:
                self.carry = text[here:]
                return len(text), False
            piece, at = meant
            into.append(piece)

    def _escape(self, text: str, at: int) -> tuple[str, int] | None:
        try:
            return unescape(text, at)
        except ValueError as error:
            raise self.refuse(str(error), at) from None

    def _number(self, text: str, at: int) -> int:
        end = digits(text, at).end()
        self.parts.append(text[at:end])
        if end < len(text):
            self._end_number(end)
        return end

    def _end_number(self, at: int) -> None:
        text = "".join(self.parts)
        self.parts.clear()
        found = NUMBER_TEXT.fullmatch(text)
        if found is None:
            raise self.refuse(f"{text[:40]!r} is not a number", at)
        self.tree.scalar(number(text, whole=found[1] is None and found[2] is None))
        self._after_value()

    def _word(self, text: str, at: int) -> int:
        word, value = self.word
        seen = len(self.parts)
        if not seen and text.startswith(word, at):
            self.tree.scalar(value)
            self._after_value()
            return at + len(word)
        for char in text[at : at + len(word) - seen]:
            if char != word[seen]:
                raise self.refuse(f"{word} was expected, not {char!r}", at)
            self.parts.append(char)
            seen += 1
            at += 1
        if seen == len(word):
            self.parts.clear()
            self.tree.scalar(value)
            self._after_value()
        return at

    def _after(self, text: str, at: int) -> int:
        char = text[at]
        if char in SPACE:
            at = spaces(text, at).end()
            if at == len(text):
                return at
            char = text[at]
        is_object = self.tree.top.is_object
        if char == ",":
            self.state = KEY if is_object else VALUE
            return at + 1
        if char == ("}" if is_object else "]"):
            return self._close(at)
        raise self.refuse(f"a comma or the end was expected, not {char!r}", at)

    def _done(self, text: str, at: int) -> int:
        at = spaces(text, at).end()
        if at < len(text):
            raise self.refuse(f"nothing may follow the document, not {text[at]!r}", at)
        return at

    steps: ClassVar[tuple[Step, ...]] = (
        _value,
        _first_item,
        _first_key,
        _key,
        key_text,
        _colon,
        string,
        _number,
        _word,
        _after,
        _done,
    )


def number(text: str, *, whole: bool) -> int | float | None:
    """The number that `text` writes; None where it is beyond the finite ones."""
    if whole and len(text) <= MAX_DIGITS:
        return int(text)
    value = float(text)
    return value if abs(value) != float("inf") else None
