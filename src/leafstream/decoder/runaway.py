"""The guard against output that is legal and endless (promise B1)."""

from __future__ import annotations

import re
from collections import deque
from typing import Literal

import msgspec

Reason = Literal["white_space", "cycle", "character", "past_bound"]

MAX_PERIOD = 64
"""Tokens: the longest cycle that is looked for."""
REPEATS = 6
"""How often a cycle must have come in full: refrains and rows of a table come less often."""
PLAIN_REPEATS = 24
"""The same for cycles without a letter: rulers, lists of zeros, indentation."""
MAX_BLANKS = 64
MAX_SAME = 64

_letter = re.compile(r"[^\W\d_]").search


class Runaway(msgspec.Struct, frozen=True):
    """What goes round and round; `tokens` is about how many were wasted on it."""

    reason: Reason
    message: str
    tokens: int


class Guard:
    """Watches the chunks of one answer, each about a token.

    White space or one character alone is told after 64 tokens of it, or 64 characters where chunks
    are coarse (a table's ruler and pretty-printed indentation are shorter); a string past its bound
    after 64 tokens. A cycle of up to 64 tokens is told when it has come six times in full (24 times
    where no letter is in it), at the latest 64 tokens after its start for short cycles and with the
    sixth round for long ones.
    """

    def __init__(self) -> None:
        self._recent: deque[str] = deque(maxlen=MAX_PERIOD)
        self._last_seen: dict[str, int] = {}
        self._count = 0
        self._period = 0
        self._run = 0
        self._letters = False
        self._character = ""
        self._same = 0
        self._same_tokens = 0
        self._over = 0

    def feed(
        self, chunk: str, path: str | None = None, *, over_bound: bool = False
    ) -> Runaway | None:
        """The verdict on one more chunk of model text, in the order in which they come."""
        self._over = self._over + 1 if over_bound else 0
        if self._over >= MAX_PERIOD:
            where = f" at {path}" if path else ""
            return Runaway("past_bound", f"a string{where} went past its bound", self._over)
        return self._monotone(chunk) or self._cycle(chunk)

    def _monotone(self, chunk: str) -> Runaway | None:
        kind = _monotony(chunk)
        if kind == self._character and kind:
            self._same += len(chunk)
            self._same_tokens += 1
        else:
            self._character, self._same, self._same_tokens = kind, len(chunk), 1
        if not kind or self._same < MAX_SAME:
            return None
        if kind == " ":
            return Runaway("white_space", "the model wrote only white space", self._same_tokens)
        return Runaway("character", f"the model repeated {kind!r} only", self._same_tokens)

    def _cycle(self, chunk: str) -> Runaway | None:
        """Follow one candidate period: how long each chunk has equalled the one a period before."""
        recent, period = self._recent, self._period
        if period and len(recent) >= period and recent[-period] == chunk:
            self._run += 1
            self._letters = self._letters or _letter(chunk) is not None
        else:
            seen = self._last_seen.get(chunk)
            distance = self._count - seen if seen is not None else 0
            self._period = distance if 0 < distance <= MAX_PERIOD else 0
            self._run = 1 if self._period else 0
            self._letters = _letter(chunk) is not None
        self._last_seen[chunk] = self._count
        self._count += 1
        recent.append(chunk)
        if len(self._last_seen) > 4 * MAX_PERIOD:
            oldest = self._count - MAX_PERIOD
            self._last_seen = {c: at for c, at in self._last_seen.items() if at >= oldest}
        return self._verdict()

    def _verdict(self) -> Runaway | None:
        period = self._period
        repeats = REPEATS if self._letters else PLAIN_REPEATS
        if not period or self._run < max(period * (repeats - 1), 2 * repeats):
            return None
        if self._same_tokens > period:
            return None  # one character over and over, which has a bound of its own
        cycle = "".join(list(self._recent)[-period:])
        shown = cycle if len(cycle) <= 40 else cycle[:39] + "…"
        return Runaway("cycle", f"the model repeated {shown!r} again and again", self._run)


def _monotony(chunk: str) -> str:
    """The one character that a chunk is made of, any white space as a blank; "" for more."""
    if not chunk:
        return ""
    if chunk.isspace():
        return " "
    return chunk[0] if chunk.count(chunk[0]) == len(chunk) else ""
