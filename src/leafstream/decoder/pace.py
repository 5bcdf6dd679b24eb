"""The pace of an answer: how much text one text event holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Literal, cast

import msgspec

from leafstream.decoder.segments import Cutter, Span, Tokens
from leafstream.decoder.sentences import sentences
from leafstream.decoder.words import words
from leafstream.errors import InvalidRequest
from leafstream.events import Event, TextAppended
from leafstream.pointer import Json

Grain = Literal["token", "word", "sentence"]
MAX_MS = 10_000

_cutters: dict[str, Callable[[], Cutter]] = {
    "token": Tokens,
    "word": words,
    "sentence": sentences,
}
_pointer = re.compile(r"(?:/(?:[^/~]|~[01])*)*").fullmatch


class Window(msgspec.Struct, frozen=True):
    """Text is collected for `ms` milliseconds from its first character on."""

    ms: Annotated[int, msgspec.Meta(ge=1, le=MAX_MS)]


class Pace(msgspec.Struct, frozen=True):
    """The grain of text events; the first of `fields` that fits a path decides, else `default`.

    `fields` are JSON Pointers in which `*` stands for any one token: `/challenges/*/title`.
    """

    default: Grain | Window
    fields: tuple[tuple[str, Grain | Window], ...] = ()

    @classmethod
    def parse(cls, raw: Json) -> Pace:
        """`"word"`, `{"ms": 40}` or `{"default": …, "fields": {pointer: …}}`.

        Raises InvalidRequest for anything else.
        """
        if not isinstance(raw, dict) or "ms" in raw:
            return cls(_grain(raw))
        fields = raw.get("fields", {})
        if not raw or raw.keys() - {"default", "fields"} or not isinstance(fields, dict):
            raise _refused(raw)
        return cls(_grain(raw.get("default", "token")), tuple(map(_field, fields.items())))

    def grain(self, path: str) -> Grain | Window:
        """What holds for the string at `path`."""
        for pattern, grain in self.fields:
            if _fits(pattern.split("/"), path.split("/")):
                return grain
        return self.default


class Pacer:
    """Merges and cuts again the neighbouring text events of one path; all else stays as it is.

    Whatever ends a string, an event of another kind or of another path, lets out what is held of
    it first. No grapheme cluster is split, so the last one of a string that grows always waits.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._path: str | None = None
        self._cutter: Cutter = Tokens()
        self._seconds = 0.0
        self.deadline: float | None = None
        """On the clock of `feed`: when `due` is to be called; None where nothing waits for time."""

    def feed(self, events: list[Event], now: float) -> list[Event]:
        """The events to send now, in order. `now` is in seconds on a clock that never goes back."""
        out: list[Event] = []
        for event in events:
            if not isinstance(event, TextAppended):
                out += self.flush()
                out.append(event)
            elif event.path == self._path and event.text:
                self._cut(event, out)
            else:
                self._turn(event, out)
        if isinstance(self._cutter, Span):
            if self._cutter.has_news and self.deadline is None:
                self.deadline = now + self._seconds
            out += self.due(now)
        return out

    def flush(self) -> list[Event]:
        """Everything that is held: the end."""
        self.deadline = None
        return self._told(self._cutter.flush())

    def ended(self, growing: str | None) -> list[Event]:
        """What is held of a string that has ended: one at another path than the one `growing`."""
        return [] if self._path == growing else self.flush()

    def due(self, now: float) -> list[Event]:
        """What a window held until now, but for its last cluster."""
        if self.deadline is None or now < self.deadline:
            return []
        assert isinstance(self._cutter, Span)
        self.deadline = None
        return self._told(self._cutter.release())

    def _cut(self, event: TextAppended, out: list[Event]) -> None:
        if pieces := self._cutter.feed(event.text):
            out += [TextAppended(event.path, piece) for piece in pieces]

    def _turn(self, event: TextAppended, out: list[Event]) -> None:
        """Take the first text of a path, or an empty one, which only says: here is a string."""
        if event.path != self._path:
            out += self.flush()
            self._path = event.path
            self._choose(self._pace.grain(event.path))
        if event.text:
            self._cut(event, out)
        elif self._cutter.is_empty:
            out.append(event)

    def _choose(self, grain: Grain | Window) -> None:
        if isinstance(grain, Window):
            self._cutter = Span()
            self._seconds = grain.ms / 1000
        else:
            self._cutter = _cutters[grain]()

    def _told(self, text: str) -> list[Event]:
        if not text:
            return []
        assert self._path is not None
        return [TextAppended(self._path, text)]


def _fits(pattern: list[str], path: list[str]) -> bool:
    return len(pattern) == len(path) and all(
        wanted in ("*", token) for wanted, token in zip(pattern, path, strict=True)
    )


def _field(item: tuple[str, Json]) -> tuple[str, Grain | Window]:
    path, raw = item
    if not _pointer(path):
        raise InvalidRequest(
            f"a field of pace is a JSON Pointer such as /challenges/*/title, not {path!r}",
            param="pace",
        )
    return path, _grain(raw)


def _grain(raw: Json) -> Grain | Window:
    if isinstance(raw, dict) and raw.keys() == {"ms"}:
        ms = raw["ms"]
        if isinstance(ms, int) and not isinstance(ms, bool) and 1 <= ms <= MAX_MS:
            return Window(ms)
    elif isinstance(raw, str) and raw in _cutters:
        return cast("Grain", raw)
    raise _refused(raw)


def _refused(raw: Json) -> InvalidRequest:
    return InvalidRequest(
        'pace is "token", "word", "sentence", {"ms": 1 to 10000} or '
        '{"default": one of these, "fields": {JSON Pointer: one of these}}, '
        f"not {str(raw)[:100]!r}",
        param="pace",
    )
