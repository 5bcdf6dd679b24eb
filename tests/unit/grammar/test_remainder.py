"""The grammar of what remains of a half-written answer."""

from __future__ import annotations

import time
from typing import Any

import pytest
from llguidance import LLMatcher, LLTokenizer

from leafstream.engines.grammar import compile_remainder
from leafstream.engines.remainder import remainder
from leafstream.schema import Schema

Raw = dict[str, Any]

BYTES = LLTokenizer("byte")
SECONDS = 1.0
"""Ten times what the slowest takes on a machine at rest."""

TEXT: Raw = {"type": "string"}
SPARSE: Raw = {
    "type": "object",
    "properties": {"a": TEXT, "b": {"type": "integer"}, "c": {"type": "null"}, "d": TEXT},
    "required": ["c"],
}
OPEN: Raw = {**SPARSE, "additionalProperties": {"type": "boolean"}}
TUPLE: Raw = {
    "type": "array",
    "prefixItems": [TEXT, {"type": "null"}],
    "items": {"type": "boolean"},
    "minItems": 1,
    "maxItems": 4,
}
TREE: Raw = {
    "$defs": {
        "leaf": {"type": "object", "properties": {"leaf": TEXT}, "required": ["leaf"]},
        "node": {
            "type": "object",
            "properties": {"in": {"anyOf": [{"$ref": "#/$defs/node"}, {"$ref": "#/$defs/leaf"}]}},
        },
    },
    "$ref": "#/$defs/node",
}
DAYS: Raw = {
    "type": "object",
    "properties": {"name": TEXT},
    "patternProperties": {"^day_": {"type": "integer"}},
    "required": ["name"],
}
FIXED: Raw = {
    "type": "object",
    "properties": {"kind": {"const": {"v": [1]}}, "n": {"type": "integer"}},
    "required": ["kind", "n"],
}
WHOLE: list[tuple[Raw, str]] = [
    (DAYS, '{"name":"a","day_1":1,"day_2":-2}'),
    (FIXED, '{"kind":{"v":[1]},"n":5}'),
    (SPARSE, '{"a":"x","b":12,"c":null,"d":"y"}'),
    (SPARSE, '{"b":-1,"c":null}'),
    (SPARSE, '{"c":null}'),
    (TUPLE, '["a",null,true,false]'),
    (TUPLE, '["a"]'),
    (TREE, '{"in":{"in":{"leaf":"green"}}}'),
    ({"type": "integer", "minimum": 10, "maximum": 99}, "42"),
]


def ends(grammar: str | None, text: str) -> bool:
    """Whether the grammar lets pass `text` and an end after it."""
    if grammar is None:
        return False
    matcher = LLMatcher(BYTES, grammar, log_level=0)
    return bool(matcher.consume_tokens(BYTES.tokenize_str(text))) and matcher.is_accepting()


@pytest.mark.parametrize(("raw", "text"), WHOLE)
def test_a_valid_text_may_go_on_after_every_cut(raw: Raw, text: str) -> None:
    schema = Schema.parse(raw)
    cuts = range(1, len(text) + text.isdigit())
    assert [at for at in cuts if not ends(compile_remainder(text[:at], schema), text[at:])] == []


@pytest.mark.parametrize(
    ("raw", "written", "wrong"),
    [
        (SPARSE, '{"a":"x"', "}"),
        (SPARSE, '{"b":1', ',"a":"x","c":null}'),
        (SPARSE, '{"c":null', ',"more":true}'),
        (OPEN, '{"c":null', ',"more":"x"}'),
        (TUPLE, "[", "]"),
        (TUPLE, '["a"', ",true]"),
        (TUPLE, '["a",null,true,true', ",true]"),
        (TREE, '{"in":{"in":', "{]}}"),
        (DAYS, '{"name":"a"', ',"week_1":1}'),
        (DAYS, '{"name":"a","day_1":1', ',"day_2":"x"}'),
        (FIXED, '{"kind":{"v":[1', '5]},"n":5}'),
    ],
)
def test_what_would_not_be_valid_may_not_follow(raw: Raw, written: str, wrong: str) -> None:
    grammar = compile_remainder(written, Schema.parse(raw))
    assert grammar is not None
    assert not ends(grammar, wrong)


def test_members_that_are_not_declared_may_follow_those_that_are() -> None:
    grammar = compile_remainder('{"a":"","c":null', Schema.parse(OPEN))
    assert ends(grammar, ',"d":"","more":true,"and":false}')
    assert ends(grammar, "}")


def test_the_grammar_of_many_optional_members_is_short() -> None:
    members = {f"member{n}": TEXT for n in range(200)}
    schema = Schema.parse({"type": "object", "properties": members, "additionalProperties": False})
    begun = time.process_time()
    grammar = compile_remainder('{"member0":"a"', schema)
    assert time.process_time() - begun < SECONDS
    assert grammar is not None
    assert len(grammar) < 300 * len(members)
    assert ends(grammar, ',"member7":"x","member199":"y"}')
    assert not ends(grammar, ',"member7":"x","member3":"y"}')


def test_the_grammar_of_a_way_through_unions_of_unions_is_short() -> None:
    below: Raw = {"type": "object", "properties": {"in": TEXT}}
    defs = {"a0": below}
    for n in range(1, 8):
        ways = [
            {"type": "object", "properties": {"in": {"$ref": f"#/$defs/a{n - 1}"}, key: TEXT}}
            for key in "xyz"
        ]
        defs[f"a{n}"] = {"anyOf": ways}
    schema = Schema.parse({"$defs": defs, "$ref": "#/$defs/a7"})
    written = '{"in":' * 8
    begun = time.process_time()
    grammar = remainder(written + '"a', schema)
    assert time.process_time() - begun < SECONDS
    assert grammar is not None
    assert len(grammar) < 20_000


@pytest.mark.parametrize("raw", [{"prefixItems": [TEXT] * 3000, "type": "array"}, TREE])
def test_what_is_long_or_deep_has_a_grammar_or_none_and_does_not_fail(raw: Raw) -> None:
    written = "[" if "prefixItems" in raw else '{"in":' * 400
    grammar = remainder(written, Schema.parse(raw))
    assert (grammar is None) == (raw is TREE)
