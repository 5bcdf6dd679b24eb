"""The forgiving lexer: JSON as models write it when nothing constrains them.

Theory of operation: the strict machine with the same steps, and a repair in each place where the
strict one refuses. It never raises, and what it decides never depends on how the text was cut.
"""

from __future__ import annotations

import re
from typing import Final, cast

from leafstream.decoder.judge import Judge
from leafstream.decoder.machine import (
    AFTER,
    COLON,
    DONE,
    FIRST_KEY,
    KEY,
    KEY_TEXT,
    STRING,
    VALUE,
    WORD,
    Always,
    number,
)
from leafstream.decoder.quoted import BLANK, MAX_SCALAR, QUOTED, QUOTES, Quoted, blanks
from leafstream.decoder.tree import Frame, Tree
from leafstream.pointer import Json

BARE_KEY: Final = 11
COMMENT: Final = 13

bare = cast("Always", re.compile(r"[^,\]}\n\r\"/#]*").match)
bare_key = cast("Always", re.compile(rf"[^{BLANK}:=,{{}}\[\]\"]*").match)
LOOSE_NUMBER = re.compile(r"([-+]?(?:[0-9]+|(?=\.[0-9])))(\.[0-9]*)?([eE][-+]?[0-9]+)?")
LITERALS: dict[str, Json] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "None", "NULL", "undefined", "NaN", "Infinity", "-Infinity"), None),
}


class Tolerant(Quoted):
    """Reads what was meant as JSON into `tree`. Nothing raises but Refused, of a `judge`."""

    __slots__ = ("_resume", "_until")

    def __init__(self, tree: Tree, max_depth: int, judge: Judge | None = None) -> None:
        super().__init__(tree, max_depth, judge)
        self._resume = VALUE
        self._until = ""

    def finish(self) -> None:
        """The text ends here: a held quote ends its string, a root number its value."""
        if self.inner is not None:
            self.inner.finish()
        if self.state == QUOTED:
            held, self.carry = self.carry, ""
            self._end_string()
            self.feed(held)
        if self.state == WORD and self.tree.top is self.base:
            self._end_bare()

    def end(self) -> None:
        """The text ends here and everything in it with it."""
        self.finish()
        if self.state in (STRING, QUOTED):
            self._end_string()
        elif self.state == WORD:
            self._end_bare()
        self._unwind(self.base)
        self.state = DONE

    # Values

    def _value(self, text: str, at: int) -> int:
        char = text[at]
        if char in BLANK:
            at = blanks(text, at).end()
            if at == len(text):
                return at
            char = text[at]
        if not self.tree.top.is_object:
            self.tree.item()
        return self._begin(char, text, at)

    def _begin(self, char: str, text: str, at: int) -> int:
        if char in QUOTES:
            self._search = QUOTES[char]
            self._begin_string()
            return at + 1
        if char in "{[":
            return self._open(at, is_object=char == "{")
        if char in ",]}:":
            return self._missing(char, at)
        if char in "/#":
            return self._comment(text, at, WORD)
        self.state = WORD
        return at

    def _open(self, at: int, *, is_object: bool) -> int:
        if self.judge is not None:
            self.judge.nested(self.tree, "object" if is_object else "array")
        if self.tree.top.depth + 1 < self.max_depth:
            return super()._open(at, is_object=is_object)
        self.notice(f"nested deeper than {self.max_depth} levels: closed there")
        self._unwind(self.base)
        self.state = DONE
        return at

    def _missing(self, char: str, at: int) -> int:
        """No value stands where one should: null for a member, nothing for an item."""
        if self.tree.top is self.base or char == ":":
            return at + 1
        if self.tree.top.is_object:
            self._doubt()
            self.tree.scalar(None)
            self.notice("a member without a value became null")
        elif char == ",":
            return at + 1
        self.state = AFTER
        return at

    def _bare(self, text: str, at: int) -> int:
        """A number, a literal, or words without quotes: up to what cannot be in either."""
        while True:
            end = bare(text, at).end()
            self.parts.append(text[at:end])
            self._size += end - at
            if end == len(text):
                return end
            if text[end:] == "/":
                self.carry = "/"
                return len(text)
            comment = text[end] == "#" or text[end : end + 2] in ("//", "/*")
            if text[end] not in "/#" or (comment and self._size < MAX_SCALAR and self._is_scalar()):
                self._end_bare()
                return end
            self.parts.append(text[end])
            self._size += 1
            at = end + 1

    def _is_scalar(self) -> bool:
        text = "".join(self.parts).strip()
        return text in LITERALS or LOOSE_NUMBER.fullmatch(text) is not None

    def _end_bare(self) -> None:
        text = "".join(self.parts).strip(BLANK)
        self.parts.clear()
        self._size = 0
        types = self.tree.spot.types
        found = LOOSE_NUMBER.fullmatch(text)
        if self.judge is not None and not self.tree.top.is_object:
            self.judge.scalar(self.tree, known=found is not None or text in LITERALS)
        if found is not None and types != {"string"}:
            self.tree.scalar(number(text, whole=found[2] is None and found[3] is None))
        elif text in LITERALS:
            self.tree.scalar(LITERALS[text])
        elif text.strip(".…"):
            self._say(text)
            if found is not None:
                self.notice("a number became the string that was wanted")
        elif self.tree.top.is_object:
            self.tree.scalar(None)
        self._after_value()

    # Structure

    def _key(self, text: str, at: int) -> int:
        char = text[at]
        if char in BLANK:
            at = blanks(text, at).end()
            if at == len(text):
                return at
            char = text[at]
        if char in QUOTES:
            self._search = QUOTES[char]
            self.state = KEY_TEXT
            return at + 1
        if char in "}]":
            self.state = AFTER
            return at
        if char in ",:={[":
            return self._odd_key(char, at)
        if char in "/#":
            return self._comment(text, at, BARE_KEY)
        self.state = BARE_KEY
        return at

    def _odd_key(self, char: str, at: int) -> int:
        """An item that the model forgot to close before the next one; or nothing of meaning."""
        self._doubt()
        parent = self.tree.top.parent
        if char == "{" and self.state == KEY and parent is not self.base:
            assert parent is not None
            if not parent.is_object:
                self.notice("an object was closed before the next one")
                self.tree.close()
                self.state = VALUE
                return at
        return at + 1

    def _first(self, text: str, at: int) -> int:
        at = blanks(text, at).end()
        if at == len(text):
            return at
        if text[at] in "]}":
            self.state = AFTER
            return at
        return (self._key if self.state == FIRST_KEY else self._value)(text, at)

    def _bare_key(self, text: str, at: int) -> int:
        end = bare_key(text, at).end()
        self.parts.append(text[at:end])
        if end < len(text):
            if "".join(self.parts).strip(".…"):
                self._end_key()
            else:
                self.parts.clear()
                self.state = AFTER
        return end

    def _end_key(self) -> None:
        self.tree.key("".join(self.parts))
        self.parts.clear()
        self.state = COLON

    def _colon(self, text: str, at: int) -> int:
        char = text[at]
        if char in BLANK:
            at = blanks(text, at).end()
            if at == len(text):
                return at
            char = text[at]
        if char in "/#":
            return self._comment(text, at, VALUE)
        self.state = VALUE
        if char == ":":
            if self.judge is not None:
                self.judge.member(self.tree)
            return at + 1
        self._doubt()
        if self.judge is not None:
            if char in ",}]":
                self.judge.refuse()
            self.judge.member(self.tree)
        return at + 1 if char == "=" else at

    def _after(self, text: str, at: int) -> int:
        char = text[at]
        if char in BLANK:
            at = blanks(text, at).end()
            if at == len(text):
                return at
            char = text[at]
        is_object = self.tree.top.is_object
        if char == ",":
            self.state = KEY if is_object else VALUE
            return at + 1
        if char in "}]":
            return self._close_with(char, at)
        if char in "/#":
            return self._comment(text, at, KEY if is_object else VALUE)
        self.state = KEY if is_object else VALUE
        return at

    def _close_with(self, char: str, at: int) -> int:
        """Close up to the nearest container that `char` can close; ignore it without one."""
        frame: Frame | None = self.tree.top
        while frame is not None and frame is not self.base:
            if frame.is_object == (char == "}"):
                if self.judge is not None:
                    self.judge.empty(self.tree)
                if frame is not self.tree.top:
                    self.notice(f"{char!r} closed more than its own container")
                self._unwind(frame)
                return self._close(at)
            frame = frame.parent
        return at + 1

    def _unwind(self, frame: Frame) -> None:
        while self.tree.top is not frame:
            self.tree.close()

    def _comment(self, text: str, at: int, otherwise: int) -> int:
        """A comment begins at text[at], or what is no comment goes to the step `otherwise`."""
        opener = text[at : at + 2]
        if opener == "/":
            self.carry = opener
            return len(text)
        if opener[0] == "#" or opener in ("//", "/*"):
            self._until = "*/" if opener == "/*" else "\n"
            self._resume = self.state
            self.state = COMMENT
            return at + (1 if opener[0] == "#" else 2)
        self.state = otherwise
        return at

    def _in_comment(self, text: str, at: int) -> int:
        end = text.find(self._until, at)
        if end >= 0:
            self.state = self._resume
            return end + len(self._until)
        if self._until == "*/" and text.endswith("*"):
            self.carry = "*"
        return len(text)

    def _done(self, text: str, at: int) -> int:  # noqa: ARG002
        return len(text)

    def _doubt(self) -> None:
        if self.judge is not None and not self.judge.clean:
            self.judge.refuse()

    steps = (
        _value,
        _first,
        _first,
        _key,
        Quoted.key_text,
        _colon,
        Quoted.string,
        _bare,
        _bare,
        _after,
        _done,
        _bare_key,
        Quoted.quoted,
        _in_comment,
    )
