"""What may follow a half-written number."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer

from leafstream.engines.grammar import compile_grammar, compile_remainder
from leafstream.engines.numbers import PLACES, following
from leafstream.schema import Schema

Raw = dict[str, Any]

THOROUGH = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
BYTES = LLTokenizer("byte")
WHOLE = st.integers(-(10**6), 10**6) | st.integers(-30, 30)
DECIMAL = st.one_of(
    WHOLE,
    st.decimals(-1000, 1000, places=3).map(float),
    st.floats(-(10.0**12), 10.0**12, allow_nan=False),
)
LOW = st.sampled_from(["minimum", "exclusiveMinimum"])
HIGH = st.sampled_from(["maximum", "exclusiveMaximum"])


def bounds(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Raw]:
    low, high = st.dictionaries(LOW, values), st.dictionaries(HIGH, values)
    return st.builds(lambda low, high: {**low, **high}, low, high)


def texts(*, whole: bool) -> st.SearchStrategy[str]:
    digits = st.integers(0, 10**9).map(str) | st.integers(0, 300).map(str)
    fraction = (
        st.just("") if whole else st.just("") | st.from_regex(r"\.[0-9]{1,5}", fullmatch=True)
    )
    return st.builds("".join, st.tuples(st.sampled_from(["", "-"]), digits, fraction))


def is_valid(text: str, raw: Raw, *, whole: bool) -> bool:
    """What the answer's own validator says of the number."""
    schema = {"type": "integer" if whole else "number", **raw}
    return jsonschema_rs.is_valid(schema, json.loads(text))


def near(raw: Raw) -> st.SearchStrategy[str]:
    """Texts of numbers at the bounds and one unit of some place beside them."""
    edges = [Decimal(str(bound)) for bound in raw.values()] or [Decimal(0)]
    steps = [Decimal(sign).scaleb(-place) for sign in (-1, 0, 1) for place in (0, 1, 4, 9)]
    found = [f"{edge + step:f}" for edge in edges for step in steps]
    return st.sampled_from(found)


def is_plain(text: str, raw: Raw) -> bool:
    """Whether it is not only the rounding to a double that brings the number within its bounds."""
    low, high = (Decimal(str(raw.get(key, text))) for key in ("minimum", "maximum"))
    return low <= Decimal(text) <= high and len(text.partition(".")[2]) <= PLACES


def check_every_cut(text: str, raw: Raw, *, whole: bool) -> None:
    for at in range(1, len(text) + 1):
        rest = following(text[:at], raw, whole=whole)
        assert rest is not None
        assert re.fullmatch(rest, text[at:]), (text[:at], text[at:], rest)


@THOROUGH
@given(bounds(WHOLE), st.data())
@example({"minimum": 5, "maximum": 240}, None)
def test_an_integer_within_its_bounds_goes_on_after_every_cut(raw: Raw, data: Any) -> None:
    text = "10" if data is None else data.draw(texts(whole=True) | near(raw))
    assume("." not in text and is_valid(text, raw, whole=True))
    check_every_cut(text, raw, whole=True)


@THOROUGH
@given(bounds(DECIMAL), st.data())
def test_a_number_within_its_bounds_goes_on_after_every_cut(raw: Raw, data: Any) -> None:
    text = data.draw(texts(whole=False) | near(raw))
    assume(is_valid(text, raw, whole=False) and is_plain(text, raw))
    check_every_cut(text, raw, whole=False)


@pytest.mark.parametrize("whole", [True, False])
@THOROUGH
@given(st.data())
def test_whatever_follows_makes_a_number_within_the_bounds(whole: bool, data: Any) -> None:
    raw = data.draw(bounds(WHOLE if whole else DECIMAL))
    written = data.draw(texts(whole=whole) | near(raw) | st.just("-"))
    written = written[: data.draw(st.integers(1, len(written)))]
    rest = following(written, raw, whole=whole)
    if rest is None:
        return
    # Under bounds no exponent begins; without any, nothing needs to be checked but the form.
    tail = data.draw(st.from_regex(re.compile(rest, re.ASCII), fullmatch=True))
    assume(raw or "e" not in tail.lower())
    assert is_valid(written + tail, raw, whole=whole), (written, tail, rest)


def passes(prefix: str, value: Raw, tail: str) -> bool:
    """Whether the engine may write `tail` after `prefix`."""
    schema = Schema.parse({"type": "object", "properties": {"a": value}, "required": ["a"]})
    grammar = compile_remainder('{"a":' + prefix, schema)
    if grammar is None:
        return False
    matcher = LLMatcher(BYTES, grammar)
    assert not matcher.is_error(), matcher.get_error()
    return bool(matcher.consume_tokens(BYTES.tokenize_str(tail))) and matcher.is_accepting()


MINUTES = {"type": "integer", "minimum": 5, "maximum": 240}
SHARE = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
EITHER = {"anyOf": [MINUTES, {"type": "number", "minimum": 1000, "maximum": 1000.5}]}


@pytest.mark.parametrize(
    ("prefix", "value", "right", "wrong"),
    [
        ("1", MINUTES, ["0}", "99}"], ["}", "000}", ".0}", "e1}"]),
        ("24", MINUTES, ["}", "0}"], ["1}"]),
        ("240", MINUTES, ["}"], ["0}"]),
        ("3", MINUTES, ["0}"], ["}", "00}"]),
        ("24", {**MINUTES, "type": ["integer", "null"]}, ["}", "0}"], ["1}"]),
        ("-", {"type": "integer", "minimum": -3}, ["3}", "0}"], ["4}", "}", "00}"]),
        ("-1", {"type": "integer", "maximum": -12}, ["2}", "00}"], ["}", "1}"]),
        ("0", SHARE, [".5}", ".000001}"], ["}", ".0}", "1}", "e-1}"]),
        ("1", SHARE, ["}", ".0}"], [".1}", "0}"]),
        ("0.", SHARE, ["5}", "01}"], ["}", "00}"]),
        ("1", EITHER, ["00}", "000}", "000.25}"], ["}", "000.6}", "00.5}"]),
        ("1", {"enum": [1, 12, 3]}, ["}", "2}"], ["3}", "1}"]),
        ("1", {"type": "number"}, ["}", "e5}", ".5}"], ["a}", "."]),
    ],
)
def test_a_half_written_number_goes_on_within_its_bounds(
    prefix: str, value: Raw, right: list[str], wrong: list[str]
) -> None:
    assert [tail for tail in right if not passes(prefix, value, tail)] == []
    assert [tail for tail in wrong if passes(prefix, value, tail)] == []


@pytest.mark.parametrize("prefix", ["241", "-", "2.5", "0"])
def test_a_number_that_can_no_longer_be_within_its_bounds_has_no_grammar(prefix: str) -> None:
    schema = Schema.parse({"type": "object", "properties": {"a": MINUTES}, "required": ["a"]})
    assert compile_remainder('{"a":' + prefix, schema) is None


@settings(THOROUGH, max_examples=30)
@given(bounds(DECIMAL), st.data())
def test_the_engine_may_go_on_after_every_cut_as_it_would_have_unbroken(
    raw: Raw, data: Any
) -> None:
    text = data.draw(near(raw))
    assume(is_valid(text, raw, whole=False) and is_plain(text, raw))
    value = {"type": "number", **raw}
    schema = Schema.parse({"type": "object", "properties": {"a": value}, "required": ["a"]})
    assume(passes_unbroken(text, schema))
    for at in range(1, len(text) + 1):
        assert passes(text[:at], value, text[at:] + "}"), (text[:at], text[at:])


def passes_unbroken(text: str, schema: Schema) -> bool:
    grammar = compile_grammar(schema)
    assert grammar.text is not None
    matcher = LLMatcher(BYTES, grammar.text)
    tokens = BYTES.tokenize_str('{"a":' + text + "}")
    return bool(matcher.validate_tokens(tokens) == len(tokens))


def test_of_alternatives_only_those_go_on_that_what_is_finished_keeps_to() -> None:
    ways = [
        {
            "type": "object",
            "properties": {"n": {"type": "integer", "minimum": low, "maximum": low + 9}, "k": kind},
            "required": ["n", "k"],
        }
        for low, kind in ((0, {"const": "small"}), (100, {"const": "large"}))
    ]
    assert passes('{"n":105,"k":"', {"anyOf": ways}, 'large"}}')
    assert not passes('{"n":105,"k":"', {"anyOf": ways}, 'small"}}')
