"""Words of text that is still growing: a choice of the word borders of UAX #29 (section 4).

Taken are the borders after white space, and those around the characters of scripts without
spaces: Han, Hiragana and Thai by cluster and Katakana by run, since no dictionary is bundled.
Punctuation and white space stay with the word before them, opening marks with the word after.
An eojeol, what is between two spaces, is never cut behind its first Hangul: 大|韓|民|國은.
"""

from __future__ import annotations

import re
from functools import lru_cache

import regex  # type: ignore[import-untyped]

from leafstream.decoder.graphemes import EXTENDERS, SPACES
from leafstream.decoder.segments import Segments

MAX_WORD = 200
"""Characters held at most: a longer word (a URL, base64) is cut at a cluster border."""

_KINDS = {
    "space": rf"[{SPACES}]",
    "binding": r"[\p{GCB=Prepend}\p{InCB=Linker}]",
    "extender": rf"[{EXTENDERS}]",
    "hangul": r"\p{Script=Hangul}",
    "opening": r"[\p{Ps}\p{Pi}]",
    "unspaced": r"[[\p{Ideographic}\p{Script=Hiragana}\p{LB=SA}]&&[\p{Lo}\p{Nl}]]",
    "katakana": r"[\p{WB=Katakana}&&\p{Lo}]",
    "joining": r"[\p{WB=Katakana}\p{Pc}]",
    "stop": "[、。｡〉》」』】〕！？）］｝]",
    "comma": "[，；]",  # between two digits it belongs to the number
    "number": r"\p{N}",
    "letter": r"[\p{L}--\p{Lm}]",
    "other": r"(?s:.)",
}
_BORDERS = frozenset(
    {("space", right) for right in _KINDS if right not in ("space", "binding", "extender")}
    | {(left, "unspaced") for left in _KINDS if left not in ("space", "binding", "opening")}
    | {(left, "katakana") for left in ("hangul", "unspaced", "stop", "comma")}
    | {(left, "katakana") for left in ("number", "letter", "other")}
    | {(left, "number") for left in ("unspaced", "katakana", "stop")}
    | {(left, "letter") for left in ("unspaced", "katakana", "stop", "comma")}
    | {(left, "opening") for left in ("unspaced", "katakana", "stop", "comma")}
)

_kind = regex.compile("(?V1)" + "|".join(f"(?<{name}>{of})" for name, of in _KINDS.items())).match
_gap = re.compile(r"[ \t-\r](?=[^ \t-\r])").search
_hangul = re.compile("[\u1100-\u11ff\u302e\u302f\u3131-\u318e\ua960-\ua97c\uac00-\ud7fb]").search


def words() -> Segments:
    return Segments(_border, MAX_WORD)


# A pure function; a text uses few of the characters there are.
@lru_cache(maxsize=4096)
def _kind_of(char: str) -> str:
    return str(_kind(char).lastgroup)


def _border(text: str, start: int, at: int, stop: int) -> tuple[int, int]:
    if text.isascii():
        return _spaced_border(text, start, at, stop)
    left = _kind_of(text[at])
    for here in range(at + 1, stop):
        right = _kind_of(text[here])
        if (left, right) in _BORDERS and _is_whole(text[start:here], left):
            return here, here
        left = right
    return 0, stop - 1


def _spaced_border(text: str, start: int, at: int, stop: int) -> tuple[int, int]:
    while found := _gap(text, at, stop):
        at = found.end()
        if _is_whole(text[start:at], "space"):
            return at, at
    return 0, stop - 1


def _is_whole(segment: str, last: str) -> bool:
    """Whether `segment`, which a border follows, is more than blanks and no part of an eojeol."""
    return not (segment.isspace() if last == "space" else _hangul(segment))
