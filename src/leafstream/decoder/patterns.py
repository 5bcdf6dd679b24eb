"""Completions of a string for a regular expression.

Theory of operation: a pattern is made into a term of an algebra of languages (Brzozowski,
"Derivatives of Regular Expressions", 1964), which has intersection and complement and so holds
lookaheads and several patterns at once. The derivative of a term by a character is the language
of what may follow that character; a written text is walked through character by character, and a
breadth-first search over derivatives finds the shortest ends. What the algebra cannot say
(lookbehind, word boundaries, references to groups) is left out, so every result must be checked.
"""

from __future__ import annotations

import re._constants as op  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, Final

Ranges = tuple[tuple[int, int], ...]

LAST: Final = 0x10FFFF
ALL: Final[Ranges] = ((0, LAST),)
DIGITS: Final[Ranges] = ((48, 57),)
WORD: Final[Ranges] = ((48, 57), (65, 90), (95, 95), (97, 122))
SPACE: Final[Ranges] = (
    (9, 13), (32, 32), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029),
    (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF),
)  # fmt: skip
LINE: Final[Ranges] = ((10, 10),)
"""What a dot leaves out where answers are checked (Rust's regex); ECMA-262's leaves out more."""
FAVOURITES: Final = " a0A-.:/@_"
"""Tried first where any character of a class will do."""
MAX_WORK: Final = 20_000
"""Derivatives that one search may take; a text already written may take ten times as many."""
MAX_STEPS: Final = 100_000
"""Characters that a search of width 1 may try; most have been derived before."""
WIDTHS: Final = (1, 4, 64)
"""Characters of each class to try: more where fewer give too few strings."""
MAX_VISITS: Final = 3
"""How often at least a search may pass through one state, for other strings of the same length."""


class Term:
    """A language. Terms of one `Languages` are equal only where they are the same object."""

    __slots__ = ("kind", "nullable", "parts")

    def __init__(self, kind: str, parts: Any, *, nullable: bool) -> None:
        self.kind = kind
        self.parts = parts
        self.nullable = nullable


class Languages:
    """Makes terms, each only once, and their derivatives."""

    def __init__(self) -> None:
        self._made: dict[tuple[Any, ...], Term] = {}
        self._after: dict[tuple[Term, str], Term] = {}
        self._choices: dict[tuple[Term, int], list[str]] = {}
        self._work = 0
        self.never = self._make("chars", ())
        self.empty = self._make("empty", (), nullable=True)
        self.anything = self.repeat(self._make("chars", ALL), 0, None)

    def _make(self, kind: str, parts: Any, *, nullable: bool = False) -> Term:
        term = self._made.get((kind, parts))
        if term is None:
            term = self._made[kind, parts] = Term(kind, parts, nullable=nullable)
        return term

    def chars(self, ranges: Ranges) -> Term:
        return self._make("chars", ranges)

    def then(self, first: Term, second: Term) -> Term:
        if first is self.never or second is self.never:
            return self.never
        if first is self.empty:
            return second
        if second is self.empty:
            return first
        nullable = first.nullable and second.nullable
        return self._make("then", (first, second), nullable=nullable)

    def either(self, terms: Iterable[Term]) -> Term:
        parts: set[Term] = set()
        for term in terms:
            parts |= term.parts if term.kind == "either" else {term}
        parts.discard(self.never)
        if len(parts) <= 1:
            return parts.pop() if parts else self.never
        if self.anything in parts:
            return self.anything
        nullable = any(part.nullable for part in parts)
        return self._make("either", frozenset(parts), nullable=nullable)

    def both(self, terms: Iterable[Term]) -> Term:
        parts: set[Term] = set()
        for term in terms:
            parts |= term.parts if term.kind == "both" else {term}
        parts.discard(self.anything)
        if self.never in parts:
            return self.never
        if len(parts) <= 1:
            return parts.pop() if parts else self.anything
        nullable = all(part.nullable for part in parts)
        return self._make("both", frozenset(parts), nullable=nullable)

    def other(self, term: Term) -> Term:
        """Every string that is not in `term`."""
        if term is self.anything or term is self.never:
            return self.never if term is self.anything else self.anything
        return self._make("other", term, nullable=not term.nullable)

    def repeat(self, term: Term, least: int, most: int | None) -> Term:
        if most == 0 or term is self.empty:
            return self.empty
        if least == most == 1:
            return term
        if term is self.never:
            return self.never if least else self.empty
        least = 0 if term.nullable else least
        return self._make("repeat", (term, least, most), nullable=least == 0)

    def after(self, term: Term, char: str) -> Term:
        """The derivative: what may follow `char` in the strings of `term`."""
        known = self._after.get((term, char))
        if known is None:
            known = self._after[term, char] = self._derive(term, char)
        return known

    def _derive(self, term: Term, char: str) -> Term:
        self._work += 1
        parts: Any = term.parts
        if term.kind == "chars":
            code = ord(char)
            return self.empty if any(a <= code <= b for a, b in parts) else self.never
        if term.kind == "then":
            first = self.then(self.after(parts[0], char), parts[1])
            return self.either([first, self.after(parts[1], char)]) if parts[0].nullable else first
        if term.kind == "either":
            return self.either([self.after(part, char) for part in parts])
        if term.kind == "both":
            return self.both([self.after(part, char) for part in parts])
        if term.kind == "other":
            return self.other(self.after(parts, char))
        if term.kind == "repeat":
            inner, least, most = parts
            rest = self.repeat(inner, max(least - 1, 0), None if most is None else most - 1)
            return self.then(self.after(inner, char), rest)
        return self.never

    def choices(self, term: Term, width: int) -> list[str]:
        """At most `width` characters of each class that `term` tells apart at its beginning."""
        known = self._choices.get((term, width))
        if known is None:
            cuts = sorted({0, LAST + 1, *self._cuts(term)})
            chars = {char for a, b in pairwise(cuts) for char in _chars(a, b - 1, width)}
            known = self._choices[term, width] = sorted(chars, key=_rank)
        return known

    def _cuts(self, term: Term) -> set[int]:
        parts: Any = term.parts
        if term.kind == "chars":
            return {cut for a, b in parts for cut in (a, b + 1)}
        if term.kind == "then":
            return self._cuts(parts[0]) | (self._cuts(parts[1]) if parts[0].nullable else set())
        if term.kind in ("either", "both"):
            return set().union(*(self._cuts(part) for part in parts))
        if term.kind == "other":
            return self._cuts(parts)
        return self._cuts(parts[0]) if term.kind == "repeat" else set()

    def completions(self, term: Term, written: str, least: int, most: int | None) -> Iterator[str]:
        """Strings of `term` with `written` at their beginning, the shorter first.

        `least` and `most` bound their lengths.
        """
        begun = self._work
        for char in written:
            term = self.after(term, char)
            if self._work - begun > 10 * MAX_WORK:
                return
        most = None if most is None else most - len(written)
        # One character of each class finds the shortest soonest; more are for those who go on.
        seen: set[str] = set()
        for width in WIDTHS:
            for tail in self._tails(term, least - len(written), most, width):
                if tail not in seen:
                    yield written + tail
                seen.add(tail)

    def _tails(self, term: Term, least: int, most: int | None, width: int) -> Iterator[str]:
        queue = deque([(term, "")])
        visits: Counter[tuple[Term, int]] = Counter()
        limit, steps_left = self._work + MAX_WORK, MAX_STEPS // width
        # Up to here strings of other lengths are other strings; beyond, loops lead to nothing new.
        deep = max(least, 0) + min(width - 1, 4)
        while queue and self._work < limit and steps_left > 0:
            term, tail = queue.popleft()
            if term.nullable and len(tail) >= least:
                yield tail
            if most is not None and len(tail) >= most:
                continue
            choices = self.choices(term, width)
            steps_left -= len(choices)
            for char in choices:
                rest = self.after(term, char)
                place = (rest, min(len(tail), deep))
                visits[place] += 1
                if rest is not self.never and visits[place] <= max(width, MAX_VISITS):
                    queue.append((rest, tail + char))


def _chars(first: int, last: int, width: int) -> list[str]:
    """At most `width` characters between two code points, readable ones where there are any."""
    found = [char for char in FAVOURITES if first <= ord(char) <= last][:width]
    codes = (*range(first, min(last, first + width + 2) + 1), 0xE000)
    for char in map(chr, codes if len(found) < width else ()):
        # Surrogates are no characters, and what JSON must escape costs more.
        is_fine = char >= " " and char not in '"\\' and not "\ud800" <= char < "\ue000"
        if is_fine and char not in found and first <= ord(char) <= last:
            found.append(char)
    if not found and not 0xD800 <= first < 0xE000:
        return [chr(first)]
    return found[:width]


def _rank(char: str) -> tuple[bool, int, int]:
    favourite = FAVOURITES.find(char)
    return char < " " or char in '"\\', favourite if favourite >= 0 else 99, ord(char)


class Pattern:
    """Builds the term of strings in which `pattern` is found (ECMA-262 as JSON Schema uses it).

    Built from the right: what follows an item is known when the item is built, so that a
    lookahead and an end anchor can be said of it.
    """

    def __init__(self, languages: Languages, pattern: str) -> None:
        self._of = languages
        parsed = parser.parse(pattern)
        self._folds = bool(parsed.state.flags & op.SRE_FLAG_IGNORECASE)
        self._at_start = True
        begun = self._sequence(list(parsed), languages.anything)
        self._at_start = False
        later = self._sequence(list(parsed), languages.anything)
        skipped = languages.then(languages.chars(ALL), languages.anything)
        self.term = languages.either([begun, languages.then(skipped, later)])

    def _sequence(self, items: list[Any], rest: Term) -> Term:
        for code, value in reversed(items):
            rest = self._item(code, value, rest)
        return rest

    def _item(self, code: Any, value: Any, rest: Term) -> Term:
        of = self._of
        if code in (op.LITERAL, op.NOT_LITERAL, op.IN, op.ANY, op.CATEGORY):
            return of.then(of.chars(self._ranges(code, value)), rest)
        if code is op.SUBPATTERN:
            return self._sequence(list(value[3]), rest)
        if code is op.ATOMIC_GROUP:
            return self._sequence(list(value), rest)
        if code is op.BRANCH:
            return of.either([self._sequence(list(branch), rest) for branch in value[1]])
        if code in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            return self._repeat(value, rest)
        if code is op.AT:
            return self._anchored(value, rest)
        if code in (op.ASSERT, op.ASSERT_NOT):
            direction, items = value
            if direction < 0:
                return rest
            ahead = self._sequence(list(items), of.anything)
            return of.both([ahead if code is op.ASSERT else of.other(ahead), rest])
        return of.then(of.anything, rest)

    def _repeat(self, repeat: tuple[int, int, Any], rest: Term) -> Term:
        least, most, items = repeat
        if (least, most) == (0, 1):
            return self._of.either([rest, self._sequence(list(items), rest)])
        inner = self._sequence(list(items), self._of.empty)
        bound = None if most is op.MAXREPEAT else most
        return self._of.then(self._of.repeat(inner, least, bound), rest)

    def _anchored(self, where: Any, rest: Term) -> Term:
        if where in (op.AT_END, op.AT_END_STRING):
            return self._of.empty if rest.nullable else self._of.never
        if where in (op.AT_BEGINNING, op.AT_BEGINNING_STRING):
            return rest if self._at_start else self._of.never
        return rest

    def _ranges(self, code: Any, value: Any) -> Ranges:
        if code is op.ANY:
            return _complement(LINE)
        if code is op.NOT_LITERAL:
            return _complement(self._folded([(value, value)]))
        if code is not op.IN:
            return self._folded(_class(code, value))
        negated = value[0][0] is op.NEGATE
        spans = [span for item in value if item[0] is not op.NEGATE for span in _class(*item)]
        return _complement(self._folded(spans)) if negated else self._folded(spans)

    def _folded(self, spans: Iterable[tuple[int, int]]) -> Ranges:
        found = list(spans)
        if self._folds:
            for first, last, shift in ((65, 90, 32), (97, 122, -32)):
                found += [
                    (max(a, first) + shift, min(b, last) + shift)
                    for a, b in tuple(found)
                    if a <= last and b >= first
                ]
        return tuple(sorted(set(found)))


def _class(code: Any, value: Any) -> Iterable[tuple[int, int]]:
    if code is op.LITERAL:
        return [(value, value)]
    if code is op.RANGE:
        return [value]
    name = str(value)
    ranges = DIGITS if name.endswith("DIGIT") else SPACE if name.endswith("SPACE") else WORD
    return _complement(ranges) if "NOT" in name else ranges


def _complement(ranges: Iterable[tuple[int, int]]) -> Ranges:
    found, at = [], 0
    for first, last in sorted(ranges):
        if at < first:
            found.append((at, first - 1))
        at = max(at, last + 1)
    return (*found, (at, LAST)) if at <= LAST else tuple(found)
