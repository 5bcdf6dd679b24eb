"""A strict JSON prefix (RFC 8259), read at once: what is finished, what is open, and where."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto
from json import JSONDecoder, loads
from typing import Any, Final, NoReturn

import msgspec

from leafstream.decoder.machine import NUMBER_TEXT, number
from leafstream.decoder.strings import REPLACEMENT, unescape
from leafstream.pointer import Json

# No group is possessive: before Python 3.11.5 one may stop within what does not match.
token = re.compile(
    r"""[ \t\n\r]*+(?:
      "([^"\\\x00-\x1f]*+)"
    | ("(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")
    | (-?(?:0|[1-9][0-9]*+)(\.[0-9]++)?([eE][-+]?[0-9]++)?)
    | ([\[\]{},:])
    | (true|false|null)
    )""",
    re.VERBOSE,
).match
spaces = re.compile(r"[ \t\n\r]*").match
stop = re.compile(r'["\\\x00-\x1f]').search
begun_number = re.compile(
    r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*|(?:\.[0-9]+)?[eE][-+]?[0-9]*)?)?"
).fullmatch
begun_surrogate = re.compile(r"\\u[dD][89a-fA-F]").search
surrogate = re.compile("[\ud800-\udfff]")

PLAIN, ESCAPED, MARK, LITERAL = 1, 2, 6, 7
"""Groups of `token`; a number is 3, with its fraction 4 and its exponent 5."""
LITERALS: dict[str, Json] = {"true": True, "false": False, "null": None}


MAX_MISSES: Final = 8
"""How many containers are tried as a whole and found open: each is then read again."""


def _first_of_each(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) < len(pairs):
        members.update(reversed(pairs))
    return members


def _not_json(constant: str) -> NoReturn:
    raise ValueError(constant)


_decoder: Any = JSONDecoder(
    object_pairs_hook=_first_of_each,
    parse_float=lambda text: number(text, whole=False),
    parse_constant=_not_json,
)
read_whole: Callable[[str, int], tuple[Json, int]] = _decoder.scan_once
"""The standard library's scanner in C, for finished containers; it knows no lone surrogates."""


class State(Enum):
    """What the grammar takes next."""

    VALUE = auto()
    FIRST_ITEM = auto()
    FIRST_KEY = auto()
    KEY = auto()
    COLON = auto()
    AFTER = auto()


class Kind(Enum):
    """What the prefix ends in."""

    NOTHING = auto()  # a place where the innermost container could end
    LOOSE = auto()  # a comma or the beginning of a key: of no use to the value
    VALUE = auto()  # a place where a value must follow; `text` is the colon where it is not there
    STRING = auto()
    NUMBER = auto()
    LITERAL = auto()


class Pending(msgspec.Struct, frozen=True):
    """The unfinished end: `start` of its value, `keep` the end of what is decided of it.

    `text` is a string decoded so far, a number or literal as written.
    """

    kind: Kind
    start: int
    keep: int
    text: str = ""


class Frame:
    """An open container: its finished members, and the key of the one that is being written.

    `start` is the offset of its bracket, `end` that after its last finished member.
    """

    __slots__ = ("end", "is_object", "key", "start", "value")

    def __init__(self, start: int, *, is_object: bool) -> None:
        self.is_object = is_object
        self.start = start
        self.end = start + 1
        self.key = ""
        self.value: Any = {} if is_object else []

    @property
    def token(self) -> str | int:
        """The last token of the pointer to the member that is being written."""
        return self.key if self.is_object else len(self.value)

    @property
    def is_muted(self) -> bool:
        """Whether the member being written repeats a key: the first one counts."""
        return self.is_object and self.key in self.value


class Scan:
    """Reads `text`; raises ValueError where it is not a prefix of strict JSON.

    `frames` are the open containers from the outside in. Where the document is whole, `done` is
    true and `value` holds it. A repeated key in an open container ends the frames before it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.frames: list[Frame] = []
        self.value: Json = None
        self.done = False
        self._state = State.VALUE
        self._misses_left = 0 if begun_surrogate(text) else MAX_MISSES
        self.pending = self._pending(self._run())
        self._leave_muted()

    def _run(self) -> int:
        """Read all whole tokens; the offset of the rest."""
        text, at, size = self.text, 0, len(self.text)
        while (found := token(text, at)) is not None:
            kind, end = found.lastindex, found.end()
            assert kind is not None
            if kind == MARK:
                end = self._whole(end) or self._mark(text[end - 1], end)
            elif kind == PLAIN:
                self._string(found[1], end)
            elif kind == ESCAPED:
                self._string(surrogate.sub(REPLACEMENT, loads(found[2])), end)
            elif kind == LITERAL:
                self._place(LITERALS[found[7]], end)
            else:
                if end == size or text[end] in ".eE":
                    break
                self._place(number(found[3], whole=found[4] is None and found[5] is None), end)
            at = end
        return at

    def _refuse(self, what: str, at: int) -> ValueError:
        return ValueError(f"not strict JSON: {what} at character {at}")

    def _whole(self, begun: int) -> int:
        """Read the container that begins before `begun` at once: where it ends; 0 for none."""
        if self.text[begun - 1] not in "{[" or not self.frames or not self._misses_left:
            return 0
        try:
            value, end = read_whole(self.text, begun - 1)
        except (StopIteration, ValueError, RecursionError):
            self._misses_left -= 1
            return 0
        self._place(value, end)
        return end

    def _mark(self, mark: str, end: int) -> int:
        state = self._state
        if mark in "{[":
            self._expect(end, State.VALUE, State.FIRST_ITEM)
            self.frames.append(Frame(end - 1, is_object=mark == "{"))
            self._state = State.FIRST_KEY if mark == "{" else State.FIRST_ITEM
        elif mark == ":":
            self._expect(end, State.COLON)
            self._state = State.VALUE
        elif not self.frames:
            raise self._refuse(f"{mark!r}", end - 1)
        elif mark == ",":
            self._expect(end, State.AFTER)
            self._state = State.KEY if self.frames[-1].is_object else State.VALUE
        else:
            first = State.FIRST_KEY if mark == "}" else State.FIRST_ITEM
            if self.frames[-1].is_object != (mark == "}") or state not in (State.AFTER, first):
                raise self._refuse(f"{mark!r}", end - 1)
            self._state = State.VALUE
            self._place(self.frames.pop().value, end)
        return end

    def _expect(self, end: int, *states: State) -> None:
        if self._state not in states or self.done:
            raise self._refuse("something else was expected", end)

    def _string(self, text: str, end: int) -> None:
        if self._state is State.KEY or self._state is State.FIRST_KEY:
            self.frames[-1].key = text
            self._state = State.COLON
        else:
            self._place(text, end)

    def _place(self, value: Json, end: int) -> None:
        """A value ends at `end`."""
        self._expect(end, State.VALUE, State.FIRST_ITEM)
        self._state = State.AFTER
        if not self.frames:
            self.value = value
            self.done = True
            return
        frame = self.frames[-1]
        frame.end = end
        if frame.is_object:
            frame.value.setdefault(frame.key, value)
        else:
            frame.value.append(value)

    def _pending(self, at: int) -> Pending:
        """What the text from `at` on, which is no whole token, begins."""
        text = self.text
        at = found.end() if (found := spaces(text, at)) else at
        if at == len(text):
            return self._between(at)
        state = self._state
        if self.done or state in (State.COLON, State.AFTER):
            raise self._refuse(f"{text[at]!r}", at)
        if text[at] == '"':
            written, keep = self._written(at + 1)
            if state in (State.KEY, State.FIRST_KEY):
                return Pending(Kind.LOOSE, at, at)
            return Pending(Kind.STRING, at, keep, written)
        rest = text[at:]
        if state not in (State.KEY, State.FIRST_KEY):
            if begun_number(rest):
                return Pending(Kind.NUMBER, at, len(text), rest)
            if any(word.startswith(rest) for word in LITERALS):
                return Pending(Kind.LITERAL, at, len(text), rest)
        raise self._refuse(f"{rest[:20]!r}", at)

    def _between(self, at: int) -> Pending:
        """The text ends between two tokens."""
        state = self._state
        if state is State.COLON:
            return Pending(Kind.VALUE, at, at, ":")
        if state is State.KEY:
            return Pending(Kind.LOOSE, at, at)
        if state is State.VALUE:
            loose = self.frames and not self.frames[-1].is_object
            return Pending(Kind.LOOSE if loose else Kind.VALUE, at, at)
        return Pending(Kind.NOTHING, at, at)

    def _written(self, at: int) -> tuple[str, int]:
        """An unfinished string from `at`: what is decided of it, and where that ends."""
        text, pieces = self.text, []
        while (found := stop(text, at)) is not None:
            here = found.start()
            pieces.append(text[at:here])
            if text[here] != "\\":
                raise self._refuse(f"{text[here]!r} in a string", here)
            meant = unescape(text, here)
            if meant is None:
                return "".join(pieces), here
            piece, at = meant
            pieces.append(piece)
        pieces.append(text[at:])
        return "".join(pieces), len(text)

    def _leave_muted(self) -> None:
        for depth, frame in enumerate(self.frames):
            is_open = depth + 1 < len(self.frames) or self._state in (State.COLON, State.VALUE)
            if is_open and frame.is_muted:
                del self.frames[depth + 1 :]
                self.pending = Pending(Kind.LOOSE, frame.end, frame.end)
                return


def whole_number(text: str) -> tuple[str, Json] | None:
    """The longest number that `text` begins with, as text and value."""
    found = NUMBER_TEXT.match(text)
    if found is None:
        return None
    return found[0], number(found[0], whole=found[1] is None and found[2] is None)
