"""Strings as models write them: which quote ends one, and what is written in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, cast

from leafstream.decoder.judge import Judge
from leafstream.decoder.machine import DONE, NUMBER_TEXT, STRING, Always, Machine, number
from leafstream.decoder.strings import forgive, unescape
from leafstream.decoder.tree import Tree
from leafstream.events import Noticed

QUOTED: Final = 12

MAX_BLANK: Final = 256
"""After a quote and more white space than this (characters) the string is over."""
MAX_SCALAR: Final = 64
"""A longer string (characters) is no number and no literal."""

BLANK = " \t\n\r\ufeff\xa0\u3000\u202f\u205f" + "".join(map(chr, range(0x2000, 0x200C)))
blanks = cast("Always", re.compile(f"[{BLANK}]*").match)
Search = Callable[[str, int], "re.Match[str] | None"]
double = re.compile(r'["\\]').search
smart = re.compile(r'[“”"\\]').search
smart_single = re.compile(r"[‘’'\\]").search
QUOTES: dict[str, Search] = {
    '"': double,
    "'": re.compile(r"['\\]").search,
    "`": re.compile(r"[`\\]").search,
    "“": smart,
    "”": smart,
    "‘": smart_single,
    "’": smart_single,
}


# A comma behind a quote ends the member only before another member, or before what has no other
# sense than a repair. What is looked at is bounded, so what was held is read again only so often.
member_follows = re.compile(
    r""",(?:\s{256}|\s*(?:
        [\]}/#,{.…“‘`]
        | "(?:[^"\\]|\\.){0,256}" (?:\s{0,256}[:=]|\s{256})
        | '(?:[^'\\]|\\.){0,256}' (?:\s{0,256}[:=]|\s{256})
        | "(?:[^"\\]|\\.){256}
        | '(?:[^'\\]|\\.){256}
        | [\w$-]{1,256} (?:\s{0,256}[:=]|\s{256})
        | [\w$-]{256}
    ))""",
    re.VERBOSE | re.DOTALL,
).match
undecided = re.compile(
    r""",\s{0,255}(?:
        | "(?:[^"\\]|\\.){0,255}(?:\\|"\s{0,255})?
        | '(?:[^'\\]|\\.){0,255}(?:\\|'\s{0,255})?
        | [\w$-]{1,255}\s{0,255}
    )\Z""",
    re.VERBOSE | re.DOTALL,
).match


class Quoted(Machine):
    """The strings of `Tolerant`.

    A quote ends a string only where what follows says so, so it is held together with the white
    space behind it. A string in a place that wants a container, and that begins like one, is
    unescaped into the machine `inner`, which reads into the same place of the same tree.
    """

    __slots__ = ("_blank", "_escaped", "_into", "_quote", "_search", "_size", "inner", "judge")

    stop = staticmethod(re.compile(r"[\"\\'`“”‘’]").search)

    def __init__(self, tree: Tree, max_depth: int, judge: Judge | None = None) -> None:
        super().__init__(tree, max_depth)
        self.judge = judge
        self.inner: Quoted | None = None
        self._search: Search = double
        self._into: list[str] = tree.run
        self._quote = ""
        self._blank: list[str] = []
        self._size = 0
        self._escaped: bool | None = None

    def end(self) -> None:
        """The text ends here and everything in it with it."""
        raise NotImplementedError

    def notice(self, message: str) -> None:
        self.tree.out.append(Noticed("repaired", message, self.tree.path))

    def _begin_string(self) -> None:
        spot = self.tree.spot
        self.state = STRING
        if "string" not in spot.types and not self.tree.muted:
            self._into = self.parts
            self._escaped = None
        else:
            if self.judge is not None and not self.tree.top.is_object:
                self.judge.scalar(self.tree, known=True)
            self.tree.begin()
            self._into = self.tree.run

    def string(self, text: str, at: int) -> int:
        while True:
            found = self._search(text, at)
            here = found.start() if found else len(text)
            if here > at:
                self._into.append(text[at:here])
            if found is None:
                break
            if text[here] != "\\":
                at = self._meet_quote(text, here)
                if self.state != STRING:
                    return at
                continue
            meant = self._escape(text, here)
            if meant is None:
                self.carry = text[here:]
                break
            piece, at = meant
            self._into.append(piece)
            if self._into is self.parts and piece == '"' and self._escaped is None:
                self._escaped = True
        if self._into is self.parts:
            self._drain()
        return len(text)

    def _escape(self, text: str, at: int) -> tuple[str, int] | None:
        try:
            return unescape(text, at)
        except ValueError:
            return forgive(text, at)

    def _meet_quote(self, text: str, at: int) -> int:
        """A quote at text[at]: the end of the string, a part of it, or undecided."""
        if self._into is self.parts:
            self._drain()
            if self.inner is not None and self._quote_of_inner():
                self._end_string()
                return at + 1
            if self.inner is not None and self._escaped is False:
                self.parts.append(text[at])
                return at + 1
        follows = text[at + 1 : at + 2]
        if follows and follows in ",}]" and self._ends_before(text, at + 1, ""):
            self._end_string()
            return at + 1
        self._quote = text[at]
        self._size = 0
        self.state = QUOTED
        return at + 1

    def _quote_of_inner(self) -> bool:
        """Whether the outer string must end at a quote because the inner text escapes its own."""
        assert self.inner is not None
        return self.inner.state == DONE or self._escaped is True

    def quoted(self, text: str, at: int) -> int:
        """Behind a quote: hold it and the white space until the next character decides."""
        end = blanks(text, at).end()
        self._blank.append(text[at:end])
        self._size += end - at
        if self._size > MAX_BLANK:
            self._end_string()
            return end
        if end == len(text):
            return end
        blank = "".join(self._blank)
        ends = self._ends_before(text, end, blank)
        if ends is None:
            self.carry = text[end:]
            return len(text)
        if ends:
            self._end_string()
        else:
            self.state = STRING
            self._escaped = False if self._escaped is None else self._escaped
            self._into.append(self._quote + blank)
            self._blank.clear()
            self._size = 0
        return end

    def _ends_before(self, text: str, at: int, blank: str) -> bool | None:
        """Whether a quote, and `blank`, before text[at:] ends the string; None: not known yet."""
        char = text[at]
        frame = self.tree.top
        if char == "/":
            return text[at + 1] in "/*" if at + 1 < len(text) else None
        if frame is self.base:
            return "\n" in blank
        if char == "," and frame.is_object:
            return None if undecided(text, at) else member_follows(text, at) is not None
        if char == ",":
            return True
        if char in "}]":
            while frame is not self.base:
                if frame.is_object == (char == "}"):
                    return True
                assert frame.parent is not None
                frame = frame.parent
            return False
        return "\n" in blank and char in QUOTES

    def _end_string(self) -> None:
        self._blank.clear()
        self._size = 0
        if self._into is not self.parts:
            self.tree.end()
        else:
            self._drain()
            if self.inner is not None:
                self.inner.end()
                self.inner = None
            elif self._into is self.parts:
                self._end_wanted("".join(self.parts))
                self.parts.clear()
            else:
                self.tree.end()
        self._into = self.tree.run
        self._after_value()

    def _drain(self) -> None:
        """Hand text of a place that takes no string to where it belongs, if that is known."""
        if self.inner is None and not self._decide():
            return
        text = "".join(self.parts)
        self.parts.clear()
        if self.inner is not None:
            self.inner.feed(text)
        elif text:
            self._into.append(text)

    def _decide(self) -> bool:
        """Whether it is known by now what the string in this place means."""
        if not self.parts:
            return False
        text = "".join(self.parts)
        begun = text.lstrip(BLANK)[:1]
        spot = self.tree.spot
        short = len(text) - len(text.lstrip(BLANK)) <= MAX_BLANK
        if short and begun and begun in "{[" and spot.wants("object" if begun == "{" else "array"):
            self.notice(f"{'an object' if begun == '{' else 'an array'} was written as a string")
            self.inner = type(self)(self.tree, self.max_depth, self.judge)
            return True
        if spot.wants("number", "integer", "boolean") and len(text) <= MAX_SCALAR:
            self.parts[:] = [text]
            return False
        if not begun and len(text) <= MAX_BLANK:
            self.parts[:] = [text]
            return False
        if self.judge is not None:
            self.judge.refuse()
        self.tree.begin()
        self._into = self.tree.run
        return True

    def _end_wanted(self, text: str) -> None:
        """A short string where a number or a literal is wanted: that, if it writes one."""
        types = self.tree.spot.types
        found = NUMBER_TEXT.fullmatch(text)
        if self.judge is not None:
            self.judge.scalar(self.tree, known=found is not None)
        if found is not None and types & {"number", "integer"}:
            value = number(text, whole=found[1] is None and found[2] is None)
            if "number" in types or isinstance(value, int):
                self.tree.scalar(value)
                self.notice("a string became the number that was wanted")
                return
        if text in ("true", "false") and "boolean" in types:
            self.tree.scalar(text == "true")
            self.notice("a string became the literal that was wanted")
            return
        self._say(text)

    def _say(self, text: str) -> None:
        """A whole string at the current place."""
        self.tree.begin()
        self.tree.run.append(text)
        self.tree.end()

    def key_text(self, text: str, at: int) -> int:
        while True:
            found = self._search(text, at)
            here = found.start() if found else len(text)
            self.parts.append(text[at:here])
            if found is None:
                return here
            if text[here] != "\\":
                self._end_key()
                return here + 1
            meant = self._escape(text, here)
            if meant is None:
                self.carry = text[here:]
                return len(text)
            piece, at = meant
            self.parts.append(piece)
