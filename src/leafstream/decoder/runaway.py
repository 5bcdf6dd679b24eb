"""Endless output, told while it is written: small models repeat themselves until the limit.

Tokens and characters both count, so that a model that writes one character in a chunk and one
that writes ten are stopped at about the same place of the text. What is told, for `window` = 64
tokens (a chunk is taken for a token), and from where the waste began:

- white space (also escaped, in a JSON string), one character, a string past its bound: after 64
  tokens, or 128 characters in 8 tokens or more. Indentation, rulers and laughter are shorter; only
  a model that writes single characters is stopped in a ruler of 80 dashes.
- a cycle of L tokens and P characters: 64 tokens after it was there three times, 3 L + 64 tokens,
  or after 3 P + 256 characters. Refrains and emphasis are shorter.
- a cycle without letters (0, |---|, true) or with the marks of JSON between its items, in which
  equal values may be meant: not before 96 times or 3 P + 1,024 characters. An array of 60 zeros,
  a table's ruler and a matrix are shorter.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from leafstream.decoder.cycles import Cycle, Cycles

CHARS_PER_TOKEN = 4
STRUCTURE_REPEATS = 96

_is_blank = re.compile(r"(?:\s|\\[nrt])+").fullmatch
_words = re.compile(r"[^\W\d_]+").findall
_item_border = re.compile(r'[{}\[\]]|(?<!\\)"\s*[,:]|[,:]\s*"').search
_LITERALS = frozenset({"true", "false", "null"})


class Runaway(msgspec.Struct, frozen=True):
    """Output that does not end; `tokens` is how many tokens of waste were seen."""

    reason: Literal["white_space", "cycle", "character", "past_bound"]
    message: str
    tokens: int


class Guard:
    """Reads an answer's raw text. `window` is in tokens; `repeats` times a cycle may be meant."""

    def __init__(self, *, window: int = 64, repeats: int = 3) -> None:
        self._window = window
        self._repeats = repeats
        self._blank = Run()
        self._past = Run()
        self._path: str | None = None
        self._cycles = Cycles()

    def feed(
        self, chunk: str, tokens: int = 1, path: str | None = None, num_over: int = 0
    ) -> Runaway | None:
        """The waste that `chunk` belongs to, once there is too much of it, and then every time.

        `tokens` is how many of them the chunk is, `path` the string that it goes to, `num_over`
        how many characters of that string are beyond its bound by now.
        """
        if not chunk:
            return None
        # A character of several tokens, an emoji, is no more waste for that.
        size, tokens = len(chunk), max(1, min(tokens, len(chunk)))
        self._path = path
        self._count_blank(chunk, size, tokens)
        if num_over:
            self._past.count(min(num_over, size), size, tokens)
        elif self._past.tokens:
            self._past = Run()
        cycles = self._cycles.feed(chunk, tokens)
        if self._blank.is_over(self._window):
            return Runaway("white_space", f"endless white space{self._where}", self._blank.tokens)
        if self._past.is_over(self._window):
            message = f"the string{self._where} goes on past its bound"
            return Runaway("past_bound", message, self._past.tokens)
        for cycle in cycles:
            if self._is_endless(cycle):
                return self._told_cycle(cycle)
        return None

    @property
    def _where(self) -> str:
        return f" at {self._path}" if self._path else ""

    def _count_blank(self, chunk: str, size: int, tokens: int) -> None:
        if chunk.isspace() or (chunk[0] == "\\" and _is_blank(chunk)):
            self._blank.count(size, size, tokens)
        elif chunk[-1].isspace():
            self._blank.count(size - len(chunk.rstrip()), size, tokens)
        elif self._blank.num_chars:
            self._blank = Run()

    def _is_endless(self, cycle: Cycle) -> bool:
        if cycle.period == 1:
            return Run(cycle.num_chars, self._cycles.tokens(cycle)).is_over(self._window)
        num_chars, meant = cycle.num_chars, self._repeats * cycle.period
        patience = CHARS_PER_TOKEN * self._window
        if num_chars < meant + patience:
            meant_tokens = self._repeats * self._cycles.tokens_per_period(cycle)
            if self._cycles.tokens(cycle) < meant_tokens + self._window:
                return False
        if num_chars >= min(STRUCTURE_REPEATS * cycle.period, meant + 4 * patience):
            return True
        return not _may_be_meant(self._cycles.block(cycle))

    def _told_cycle(self, cycle: Cycle) -> Runaway:
        block = self._cycles.block(cycle)
        if cycle.period == 1:
            message = f"the character {block!r} without end{self._where}"
            return Runaway("character", message, self._cycles.tokens(cycle))
        times = cycle.num_chars // cycle.period
        reason: Literal["white_space", "cycle"] = "white_space" if _is_blank(block) else "cycle"
        waste = self._cycles.tokens(cycle) - self._cycles.tokens_per_period(cycle)
        return Runaway(reason, f"{block[:40]!r} {times} times in a row{self._where}", waste)


class Run:
    """How long the same waste goes on without an interruption."""

    __slots__ = ("num_chars", "tokens")

    def __init__(self, num_chars: int = 0, tokens: int = 0) -> None:
        self.num_chars = num_chars
        self.tokens = tokens

    def is_over(self, window: int) -> bool:
        tokens = self.tokens
        return tokens >= window // 8 and (tokens >= window or self.num_chars >= 2 * window)

    def count(self, num_waste: int, num_chars: int, tokens: int) -> None:
        """Take a chunk of `num_chars` characters, the last `num_waste` of which are waste."""
        if num_waste == num_chars:
            self.tokens += tokens
            self.num_chars += num_waste
        else:
            self.tokens = tokens * num_waste // num_chars
            self.num_chars = num_waste


def _may_be_meant(block: str) -> bool:
    """Whether a cycle of `block` has no words, or has more than one item of JSON in it."""
    # More than once, without the words at both ends: a cycle may begin inside a word or a border.
    words = _words(block * 3)
    return _LITERALS.issuperset(words[1:-1] or words) or _item_border(block * 2) is not None
