"""Escapes in JSON strings (RFC 8259, section 7), decoded one at a time."""

from __future__ import annotations

import re

SHORT = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
REPLACEMENT = "\ufffd"
HEX = re.compile(r"[0-9A-Fa-f]{4}")
LOW = re.compile(r"\\u([dD][c-fC-F][0-9A-Fa-f]{2})")
LOW_BEGUN = re.compile(r"(?:\\(?:u(?:[dD](?:[c-fC-F][0-9A-Fa-f]{0,2})?)?)?)?\Z")


def unescape(text: str, at: int) -> tuple[str, int] | None:
    r"""What the escape at `text[at]` (a backslash) means, and where it ends.

    None where its end has not come yet: at most 11 characters are held so. A surrogate without
    its other half becomes U+FFFD. Raises ValueError for what is no escape.
    """
    if at + 1 == len(text):
        return None
    short = SHORT.get(text[at + 1])
    if short is not None:
        return short, at + 2
    if text[at + 1] != "u":
        raise ValueError("unknown escape")
    if HEX.match(text, at + 2) is None:
        if at + 6 > len(text) and all(c in "0123456789abcdefABCDEF" for c in text[at + 2 :]):
            return None
        raise ValueError("four hexadecimal digits must follow \\u")
    code = int(text[at + 2 : at + 6], 16)
    if not 0xD800 <= code < 0xE000:
        return chr(code), at + 6
    return _surrogate(text, at + 6, code)


def _surrogate(text: str, at: int, code: int) -> tuple[str, int] | None:
    if code >= 0xDC00:
        return REPLACEMENT, at
    if LOW_BEGUN.match(text, at):
        return None
    low = LOW.match(text, at)
    if low is None:
        return REPLACEMENT, at
    return chr(0x10000 + ((code - 0xD800) << 10) + int(low[1], 16) - 0xDC00), at + 6


def forgive(text: str, at: int) -> tuple[str, int]:
    """What a backslash that begins no escape means: itself before a letter or digit."""
    char = text[at + 1]
    return (text[at : at + 2] if char.isalnum() else char), at + 2
