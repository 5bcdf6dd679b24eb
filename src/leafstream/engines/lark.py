"""How texts and choices are written in Lark, as llguidance reads it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from leafstream.pointer import Json

CHAR = r'([^"\\\x00-\x1F\x7F]|\\(["\\\/bfnrt]|u[0-9a-fA-F]{4}))'
"""One character of a JSON string, as a regular expression."""


def quoted(value: Json) -> str:
    """The compact JSON of a value; also how Lark writes a text."""
    return msgspec.json.encode(value).decode()


def literal(text: str) -> str:
    """A text that must be written; nothing where it is empty."""
    return quoted(text) if text else ""


def escape(broken: str) -> str | None:
    """A pattern that completes a half-written escape; None for half a surrogate pair."""
    if not broken:
        return ""
    if broken == "\\":
        return r'(["\\\/bfnrt]|u[0-9a-fA-F]{4})'
    digits = re.fullmatch(r"\\u([0-9a-fA-F]{0,3})", broken)
    return None if digits is None else f"[0-9a-fA-F]{{{4 - len(digits[1])}}}"


def either(ways: Sequence[str]) -> str | None:
    """One of these ways; None where there is none."""
    ways = [*dict.fromkeys(ways)]
    if not ways:
        return None
    return ways[0] if len(ways) == 1 else "(" + " | ".join(ways) + ")"
