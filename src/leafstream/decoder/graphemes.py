"""Grapheme clusters (UAX #29, section 3.1): what a reader takes for one character."""

from __future__ import annotations

import regex  # type: ignore[import-untyped]

MAX_CLUSTER = 200
"""Characters. A longer cluster is no script's (UAX #15 allows 30 marks) and may be split."""

EXTENDERS = r"\p{GCB=Extend}\p{GCB=SpacingMark}\p{GCB=ZWJ}\p{WB=Extend}\p{WB=Format}"
"""The characters that belong to the one before them, as members of a character class."""

SPACES = r" \t-\r\x85\u1680\u2000-\u2006\u2008-\u200A\u2028\u2029\u205F\u3000"
"""White space as such members, without the no-break spaces, which hold their neighbours."""

# Scripts whose vowels and stacked consonants are marks of their own, often a token of their own.
MARKED = "".join(
    rf"\p{{Script={name}}}"
    for name in "Deva Beng Guru Gujr Orya Taml Telu Knda Mlym Sinh Thai Laoo Tibt Mymr Khmr".split()
)

_clusters = regex.compile(r"\X").finditer
_unfinished = regex.compile(
    r"(?V1)(?s:.*[\r\p{GCB=ZWJ}\p{GCB=Prepend}\p{GCB=L}\p{GCB=V}\p{GCB=T}\p{InCB=Linker}])"
    r"|\p{GCB=RI}|\p{Extended_Pictographic}.*"
    rf"|(?s:.*)[[\p{{L}}\p{{M}}]&&[{MARKED}]]"
).fullmatch


def last_start(text: str) -> int:
    """Where the last cluster of `text` begins; it may still grow. 0 for an empty text."""
    if text.isascii():
        return max(0, len(text) - 2 if text.endswith("\r\n") else len(text) - 1)
    start = 0
    for cluster in _clusters(text):
        start = cluster.start()
    return start


def border_within(text: str, limit: int) -> int:
    """The last cluster border of `text` from 1 to `limit`; `limit` where there is none."""
    return last_start(text[: limit + 1]) or limit


def is_unfinished(cluster: str) -> bool:
    """Whether more of `cluster` is likely to come.

    That is: a joiner, half a flag, a prefix mark, conjoining jamo, a virama, a pictograph (a
    modifier or a joiner may follow), a carriage return, a letter of a script with vowel marks.
    """
    return _unfinished(cluster) is not None
