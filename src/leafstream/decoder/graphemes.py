"""Grapheme clusters (UAX #29, section 3.1): what a reader takes for one character."""

from __future__ import annotations

import re

import regex  # type: ignore[import-untyped]

MAX_CLUSTER = 200
"""Characters. A longer cluster is no script's (UAX #15 allows 30 marks) and may be split."""

EXTENDERS = r"\p{GCB=Extend}\p{GCB=SpacingMark}\p{GCB=ZWJ}\p{WB=Extend}\p{WB=Format}"
"""The characters that belong to the one before them, as members of a character class."""

SPACES = r" \t-\r\x85\u1680\u2000-\u2006\u2008-\u200A\u2028\u2029\u205F\u3000"
"""White space as such members, without the no-break spaces, which hold their neighbours."""

_clusters = regex.compile(r"\X").finditer
# Between any two of these there is a border.
_plain_pair = re.compile("[ -~가-힣一-鿿]{2}").match


def last_start(text: str) -> int:
    """Where the last cluster of `text` begins; it may still grow. 0 for an empty text."""
    if text.isascii():
        return max(0, len(text) - 2 if text.endswith("\r\n") else len(text) - 1)
    if _plain_pair(text, len(text) - 2):
        return len(text) - 1
    *_, last = _clusters(text)
    return int(last.start())


def settled(text: str) -> int:
    """Where the clusters of `text` end that no more text can make longer."""
    if text.endswith("\n"):
        return len(text)
    start = last_start(text)
    return start if len(text) - start <= MAX_CLUSTER else len(text)


def border_within(text: str, limit: int) -> int:
    """The last cluster border of `text` from 1 to `limit`; `limit` where there is none."""
    return last_start(text[: limit + 1]) or limit
