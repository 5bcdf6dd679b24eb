"""What a schema may ask for: no more than an answer can hold and a process can bear."""

from __future__ import annotations

import math
import re._constants as op  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from typing import Any

from leafstream.errors import UnsupportedSchema

MAX_ANSWER_CHARS = 100_000
"""Characters that an answer may be made to have: more than the models served write at once."""
MAX_PARTS = 10_000
MAX_PATTERN = 4_000
MAX_KEY_PATTERNS = 100
MAX_WEIGHT = 500_000
"""States of all patterns together, about: what compiles in a few tenths of a second."""
PATTERN_WEIGHT = 250
WIDE_CLASS = 10
"""States of a class of nearly all characters, each of which is up to four bytes long."""

_MOST = {
    "minLength": MAX_ANSWER_CHARS,
    "minItems": MAX_PARTS,
    "minProperties": MAX_PARTS,
}
_VALUES = frozenset({"enum", "const"})


def refuse_keyword(key: str, value: Any, path: str) -> None:
    """Raises UnsupportedSchema where a keyword asks for more than is served."""
    if key in _MOST and value > _MOST[key]:
        raise UnsupportedSchema(f"{key!r} may be at most {_MOST[key]}", param=path)
    if key in ("required", "enum") and len(value) > MAX_PARTS:
        raise UnsupportedSchema(f"{key!r} may have at most {MAX_PARTS} entries", param=path)
    if key == "pattern" and isinstance(value, str) and len(value) > MAX_PATTERN:
        raise UnsupportedSchema(
            f"a pattern may be at most {MAX_PATTERN} characters long", param=path
        )
    if key == "patternProperties" and len(value) > MAX_KEY_PATTERNS:
        raise UnsupportedSchema(f"{key!r} may be at most {MAX_KEY_PATTERNS}", param=path)
    if key in _VALUES or isinstance(value, int | float):
        _refuse_endless_numbers(value, path)


def _refuse_endless_numbers(value: Any, path: str) -> None:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, int | float) and not _is_finite(item):
            raise UnsupportedSchema("a number is larger than a double can hold", param=path)


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:
        return False


def refuse_long(source: Any, most: int) -> None:
    """Raises UnsupportedSchema where `source` would be more than `most` characters of JSON.

    A part that stands in several places is walked only once, and counted in each.
    """
    if _size(source, {}) > most:
        raise UnsupportedSchema(
            f"the schema is longer than {most} characters when its parts are merged", param=""
        )


def _size(value: Any, known: dict[int, int]) -> int:
    if isinstance(value, str):
        return len(value) + 3
    if not isinstance(value, dict | list):
        return 6
    size = known.get(id(value))
    if size is None:
        inner = value.values() if isinstance(value, dict) else value
        names = sum(map(len, value)) + 4 * len(value) if isinstance(value, dict) else len(value)
        size = known[id(value)] = 2 + names + sum(_size(item, known) for item in inner)
    return size


def pattern_weight(pattern: str) -> int:
    """About how many states a pattern is compiled to. Raises re.error where it is none."""
    return PATTERN_WEIGHT + sum(map(_weight, parser.parse(pattern)))


def _weight(part: Any) -> int:
    code, value = part
    if code is op.IN:
        is_negated = value[0][0] is op.NEGATE
        return len(value) * (WIDE_CLASS if is_negated else 1)
    if code in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        least, most, inner = value
        times = least + 1 if most is op.MAXREPEAT else most
        return int(times) * sum(map(_weight, inner))
    if code is op.BRANCH:
        return sum(_weight(inner) for branch in value[1] for inner in branch)
    if code is op.SUBPATTERN:
        return sum(map(_weight, value[3]))
    if code in (op.ASSERT, op.ASSERT_NOT):
        return sum(map(_weight, value[1]))
    if code is op.ATOMIC_GROUP:
        return sum(map(_weight, value))
    return WIDE_CLASS if code in (op.ANY, op.NOT_LITERAL) else 1
