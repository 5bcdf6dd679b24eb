from __future__ import annotations

from typing import Any

import pytest
from llguidance import LLMatcher, LLTokenizer

from leafstream.engines.grammar import compile_grammar, compile_remainder
from leafstream.schema import Schema

BYTES = LLTokenizer("byte")


def schema_of(value: dict[str, Any]) -> Schema:
    return Schema.parse({"type": "object", "properties": {"a": value}, "required": ["a"]})


def reads(grammar: str | None, text: str) -> int:
    """How many bytes of `text` the grammar lets pass."""
    assert grammar is not None
    tokens = BYTES.tokenize_str(text)
    return LLMatcher(BYTES, grammar).validate_tokens(tokens)


@pytest.mark.parametrize("value", [{"type": "integer"}, {"type": "integer", "minimum": 5}])
def test_an_integer_without_bounds_ends(value: dict[str, Any]) -> None:
    text = '{"a":' + "7" * 60
    assert reads(compile_grammar(schema_of(value)).text, text) <= len('{"a":') + 16


def test_b11_no_character_is_written_as_an_escape_that_need_not_be() -> None:
    grammar = compile_grammar(schema_of({"type": "string"})).text
    for escaped in ("\\ud55c", "\\u0041", "\\/"):
        assert reads(grammar, '{"a":"' + escaped) < len('{"a":"' + escaped)
    whole = '{"a":"한 \\"x\\" \\n"}'
    assert reads(grammar, whole) == len(whole.encode())


@pytest.mark.parametrize(
    "value",
    [
        {"type": "integer", "minimum": 2**60},
        {"type": "string", "pattern": "^(?!a)"},
        {"type": "string", "format": "idn-email"},
        {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        {"type": "object", "propertyNames": {"pattern": "^a"}},
    ],
)
def test_b3_a_keyword_that_cannot_be_expressed_leaves_the_rest_of_the_schema_in_force(
    value: dict[str, Any],
) -> None:
    schema = schema_of({"type": "object", "properties": {"b": value}, "required": ["b"]})
    grammar = compile_grammar(schema)
    assert not grammar.exact
    assert reads(grammar.text, '{"a":{"b":') == len('{"a":{"b":')
    for wrong in ('{"c"', '{"a":{"c"', '{"a":{"b":true'):
        assert reads(grammar.text, wrong) < len(wrong)


NUMBER: dict[str, Any] = {"type": "number"}
DIGIT = {"type": "integer", "maximum": 9}


def tagged(*kinds: Any, **more: Any) -> dict[str, Any]:
    kind = {"enum": [*kinds]}
    return {"type": "object", "properties": {"kind": kind, **more}, "required": ["kind"]}


@pytest.mark.parametrize(
    "branches",
    [
        [DIGIT, {"type": "integer", "minimum": 5}],
        [NUMBER, DIGIT],
        [{"enum": ["a", "b"]}, {"enum": ["b", "c"]}],
        [{"type": "string"}, {"const": "a"}],
        [{"const": 1}, {"const": 1.0}],
        [{"const": [1]}, {"const": [1.0]}],
        [tagged("a"), tagged("b"), tagged("a", "c")],
        [tagged("a"), {"type": "object", "properties": {"kind": {"const": "b"}}}],
        [{"anyOf": [tagged("a"), {"type": "null"}]}, {"anyOf": [tagged("b"), {"type": "null"}]}],
        [{"$ref": "#/$defs/digit"}, {"$ref": "#/$defs/digit"}],
    ],
)
def test_a_grammar_is_not_exact_where_a_value_may_match_two_branches(branches: list[Any]) -> None:
    one: dict[str, Any] = {"oneOf": branches}
    defs = {"digit": DIGIT}
    for raw in (one, {"type": "array", "items": one}, {"properties": {"oneOf": one}}):
        assert not compile_grammar(Schema.parse({**raw, "$defs": defs})).exact


@pytest.mark.parametrize(
    "branches",
    [
        [{"type": "string"}, DIGIT, {"type": "null"}, tagged("a")],
        [{"enum": ["a", 1]}, {"enum": ["b", 2]}, {"const": None}, {"const": True}],
        [tagged("a"), tagged("b", text={"type": "string"}), {"$ref": "#/$defs/other"}],
        [tagged(1), tagged("1"), tagged(True)],
        [{"oneOf": [tagged("a"), tagged("b")]}, tagged("c"), {"type": "null"}],
    ],
)
def test_a_grammar_is_exact_where_no_value_matches_two_branches(branches: list[Any]) -> None:
    defs = {"other": tagged("c", "d")}
    raw = {"type": "array", "items": {"oneOf": branches}, "$defs": defs}
    assert compile_grammar(Schema.parse(raw)).exact


def test_a_bound_that_can_be_expressed_stays_beside_one_that_cannot() -> None:
    schema = Schema.parse(
        {
            "type": "object",
            "properties": {
                "odd": {"type": "string", "pattern": "^(?!a)"},
                "size": {"type": "integer", "minimum": 1, "maximum": 9},
            },
            "required": ["odd", "size"],
        }
    )
    text = '{"odd":"x","size":12'
    assert reads(compile_grammar(schema).text, text) == len(text) - 1


def test_what_remains_keeps_the_bounds_of_integers() -> None:
    rest = compile_remainder('{"a":', schema_of({"type": "integer"}))
    assert reads(rest, "7" * 60) <= 16
