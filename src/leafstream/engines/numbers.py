"""What may follow the beginning of a number, so that the whole number keeps its bounds.

Theory of operation: a number of `places` digits after its point is a count of units of 10**-places,
and so are its bounds. Digits are chosen one after another: below each lies a range of units, which
the bounds leave whole, cut or empty. A range that is whole is `[0-9]{n}`, and at most two at each
step are cut.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Final

import msgspec

from leafstream.canonical import RawSchema

PLACES: Final = 16
"""Digits that may still be written after the point: what a double holds."""
MORE_DIGITS: Final = 17
"""Digits that may still be written before the point, where no bound ends them sooner."""
EXPONENT: Final = r"([eE][\-+]?[0-9]{1,3})?"
_MIRRORED: Final = {
    "minimum": "maximum",
    "maximum": "minimum",
    "exclusiveMinimum": "exclusiveMaximum",
    "exclusiveMaximum": "exclusiveMinimum",
}


class _Span(msgspec.Struct, frozen=True):
    """The magnitudes within the bounds, in units of 10**-places."""

    low: int
    high: int
    places: int

    def less(self, start: int) -> _Span:
        return _Span(self.low - start, self.high - start, self.places)


def following(text: str, raw: RawSchema, *, whole: bool) -> str | None:
    """A regex of what may follow `text`, which begins a number that `raw` bounds.

    "" where only its end may; None where no number within the bounds begins so. An exponent that
    is there already is not bounded, and none is begun under bounds.
    """
    if "e" in text.lower():
        return _exponent(text.lower().partition("e")[2])
    bounds = {key: raw[key] for key in _MIRRORED if key in raw}
    if text.startswith("-"):
        rest = _magnitude(text[1:], _mirrored(bounds), whole=whole)
    else:
        rest = _magnitude(text, bounds, whole=whole)
    return rest if rest is None or whole or bounds else rest + EXPONENT


def is_within(value: float, raw: RawSchema) -> bool:
    """Whether a finished number is within the bounds of `raw`."""
    return (
        raw.get("minimum", -math.inf) <= value <= raw.get("maximum", math.inf)
        and ("exclusiveMinimum" not in raw or value > raw["exclusiveMinimum"])
        and ("exclusiveMaximum" not in raw or value < raw["exclusiveMaximum"])
    )


def _exponent(written: str) -> str:
    if written.lstrip("+-"):
        return "[0-9]{0,2}"
    return "[0-9]{1,3}" if written else r"[\-+]?[0-9]{1,3}"


def _mirrored(bounds: RawSchema) -> RawSchema:
    """The bounds of the negative of a number."""
    return {_MIRRORED[key]: -bound for key, bound in bounds.items()}


def _magnitude(text: str, bounds: RawSchema, *, whole: bool) -> str | None:
    integer, point, fraction = text.partition(".")
    places = 0 if whole else len(fraction) + PLACES
    span = _span(bounds, len(integer), places, whole=whole)
    if span.low > span.high:
        return None
    if not point:
        return _after_digits(integer, span)
    if whole:
        span = span.less(int(integer))
        is_within = span.low <= 0 <= span.high and not fraction.strip("0")
        return f"0{{{0 if fraction else 1},{PLACES}}}" if is_within else None
    span = span.less(int(integer + fraction) * 10**PLACES)
    decimals = _decimals if fraction else _some_decimals
    return decimals(span.low, span.high, PLACES)


def _span(bounds: RawSchema, num_written: int, places: int, *, whole: bool) -> _Span:
    unit = 10**places
    low = max(0, _least(bounds, unit, whole=whole) or 0)
    below = _least(_mirrored(bounds), unit, whole=whole)
    num_digits = max(num_written + MORE_DIGITS, len(str(low // unit)))
    most = 10**num_digits * unit - 1
    return _Span(low, most if below is None else min(most, -below), places)


def _least(bounds: RawSchema, unit: int, *, whole: bool) -> int | None:
    """The least number of units within the lower bounds; None where there are none."""
    found = []
    if "minimum" in bounds:
        found.append(math.ceil(Fraction(str(bounds["minimum"])) * unit))
    if "exclusiveMinimum" in bounds:
        bound = bounds["exclusiveMinimum"]
        edge = Fraction(str(bound)) if whole else _half_way_up(float(bound))
        found.append(math.floor(edge * unit) + 1)
    return max(found, default=None)


def _half_way_up(bound: float) -> Fraction:
    """What is up to here is read as the double `bound`, or as a lower one."""
    above = min(math.nextafter(bound, math.inf), sys.float_info.max)
    return (Fraction(bound) + Fraction(above)) / 2


def _after_digits(written: str, span: _Span) -> str | None:
    """What follows digits that have no point yet."""
    unit = 10**span.places
    first, last = span.low // unit, span.high // unit
    cut = [n for n in (first, last) if n * unit < span.low or (n + 1) * unit - 1 > span.high]
    free = _more_digits(written, first + (first in cut), last - (last in cut))
    ways = [] if free is None else [free + _point(span, None)]
    for edge in dict.fromkeys(cut):
        more = _more_digits(written, edge, edge)
        if more is not None:
            ways.append(more + _point(span, edge))
    return _either(ways)


def _point(span: _Span, integer: int | None) -> str:
    """A point and digits after it; beside an `integer` that the bounds cut, those within them."""
    if not span.places:
        return ""
    if integer is None:
        return rf"(\.[0-9]{{1,{span.places}}})?"
    rest = span.less(integer * 10**span.places)
    decimals = _some_decimals(rest.low, rest.high, span.places)
    return rf"(\.{decimals})?" if rest.low <= 0 else rf"\.{decimals}"


def _more_digits(written: str, low: int, high: int) -> str | None:
    """The digits after `written` that make integers from `low` to `high`."""
    if written == "0":
        return "" if low <= 0 <= high else None
    if not written:
        return _next_digit(lambda digit: _more_digits(str(digit), low, high))
    ways, free = [], []
    for count in range(len(str(max(high, 0))) - len(written) + 1):
        start = int(written) * 10**count
        if low <= start and start + 10**count - 1 <= high:
            free.append(count)
        elif (digits := _digits(low - start, high - start, count)) is not None:
            ways.append(digits)
    if free:
        ways.append(_any(free[0], free[-1]))
    return _either(ways)


def _digits(low: int, high: int, width: int) -> str | None:
    """Exactly `width` digits, from `low` to `high`."""
    most = 10**width - 1
    if high < max(low, 0) or low > most:
        return None
    if low <= 0 and high >= most:
        return _any(width, width)
    step = 10 ** (width - 1)
    return _next_digit(lambda digit: _digits(low - digit * step, high - digit * step, width - 1))


def _decimals(low: int, high: int, width: int) -> str | None:
    """At most `width` digits that are from `low` to `high` when zeros fill them up."""
    if low > 0 or high < 0:
        return _some_decimals(low, high, width)
    some = _some_decimals(low, high, width) if width else None
    return "" if some is None else f"({some})?"


def _some_decimals(low: int, high: int, width: int) -> str | None:
    """As `_decimals`, and at least one digit."""
    most = 10**width - 1
    if not width or high < max(low, 0) or low > most:
        return None
    if low <= 0 and high == 0:
        return f"0{{1,{width}}}"
    if low <= 0 and high >= most:
        return _any(1, width)
    step = 10 ** (width - 1)
    return _next_digit(lambda digit: _decimals(low - digit * step, high - digit * step, width - 1))


def _next_digit(rest: Callable[[int], str | None]) -> str | None:
    """A digit with what may follow it; digits that the same may follow stand together."""
    alike: dict[str, str] = {}
    for digit in range(10):
        after = rest(digit)
        if after is not None:
            alike[after] = alike.get(after, "") + str(digit)
    return _either([_class(digits) + after for after, digits in alike.items()])


def _class(digits: str) -> str:
    return f"[{digits}]" if len(digits) > 1 else digits


def _any(least: int, most: int) -> str:
    return f"[0-9]{{{least},{most}}}" if most else ""


def _either(ways: list[str]) -> str | None:
    if len(ways) <= 1:
        return ways[0] if ways else None
    return f"({'|'.join(ways)})"
