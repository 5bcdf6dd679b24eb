"""Sentences of text that is still growing, after UAX #29 (section 5), without abbreviations.

A sentence ends after its terminators, the closing marks behind them and the white space that must
follow (not so after 。！？), and at the end of a line. A full stop before a small letter ends none.
"""

from __future__ import annotations

import re

import regex  # type: ignore[import-untyped]

from leafstream.decoder.graphemes import EXTENDERS, SPACES
from leafstream.decoder.segments import Segments

MAX_SENTENCE = 2_000
"""Characters held at most: a longer sentence is cut at a cluster border."""

NEXT = rf"[^{SPACES}{EXTENDERS}]"
STRONG = "!?؟۔।॥"
WEAK = ".…"
FULL = "。！？｡"
LINE_ENDS = r"\n\r\x85\u2028\u2029"
CLOSING = r"[\p{Pe}\p{Pf}\"'*_`]*+"

_mark = re.compile(f"[{STRONG}{WEAK}{FULL}{LINE_ENDS}]").search
# What matches up to \Z is not decided yet.
_end = regex.compile(
    rf"(?V1)(?:[{WEAK}]*+[{STRONG}])++{CLOSING}[{SPACES}]++(?={NEXT}|\Z)"
    rf"|[{WEAK}]++{CLOSING}[[{SPACES}]--[{LINE_ENDS}]]++(?=[{NEXT}--\p{{Ll}}]|\Z)"
    rf"|[{WEAK}{STRONG}]++{CLOSING}\Z"
    rf"|[{FULL}]++{CLOSING}[{SPACES}]*+(?={NEXT}|\Z)"
    rf"|[{LINE_ENDS}][{SPACES}]*+(?={NEXT}|\Z)"
).search


def sentences() -> Segments:
    return Segments(_border, MAX_SENTENCE)


def _border(text: str, start: int, at: int, stop: int) -> tuple[int, int]:
    if not _mark(text, at, stop):
        return 0, stop
    while found := _end(text, at, stop):
        at = found.end()
        if at == stop:
            return 0, found.start()
        if not text[start:at].isspace():
            return at, at
    return 0, stop
