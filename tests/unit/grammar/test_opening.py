"""What every answer of a type begins with, and the grammar of what follows it."""

from __future__ import annotations

from typing import Any

import pytest
from llguidance import LLMatcher, LLTokenizer

from leafstream.engines.grammar import compile_grammar
from leafstream.engines.opening import Opening, opening
from leafstream.schema import Schema

Raw = dict[str, Any]

BYTES = LLTokenizer("byte")
TEXT: Raw = {"type": "string"}


def object_of(**members: Raw) -> Raw:
    return {"type": "object", "properties": members, "required": [*members]}


def opening_of(raw: Raw) -> Opening:
    schema = Schema.parse(raw)
    return opening(compile_grammar(schema), schema)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (object_of(story=TEXT), '{"story":"'),
        (object_of(이야기=TEXT), '{"이야기":"'),
        (object_of(cups=object_of(of={"type": "array", "items": TEXT, "minItems": 1})),
         '{"cups":{"of":["'),
        (TEXT, '"'),
        ({"type": "object", "required": ["story", "age"],
          "properties": {"story": TEXT, "age": {"oneOf": [{"type": "integer"}, {"const": 1}]}}},
         '{"story":"'),
    ],
)  # fmt: skip
def test_an_opening_goes_up_to_the_first_text(raw: Raw, text: str) -> None:
    assert opening_of(raw).text == text


@pytest.mark.parametrize(
    "value",
    [
        {"type": "array", "items": TEXT},
        {"type": "integer"},
        {"enum": ["red", "reddish"]},
        {"type": "string", "format": "date"},
        {"type": "string", "pattern": "^[a-z]+$"},
        {"anyOf": [TEXT, {"type": "null"}]},
    ],
)
def test_an_opening_ends_in_no_mark_that_may_share_a_token_with_what_follows(value: Raw) -> None:
    assert opening_of(object_of(name=value)).text == '{"name'


@pytest.mark.parametrize(
    "raw",
    [
        {"type": "object", "properties": {"a": TEXT}},
        {"anyOf": [TEXT, object_of(a=TEXT)]},
        {"type": "boolean"},
        {"type": "object", "properties": {"a_": {"type": "number"}}, "required": ["a_"]},
        {**object_of(a=TEXT), "minProperties": 3, "patternProperties": {"^x_": {}}},
        {"const": [1]},
    ],
)
def test_where_nothing_is_certain_there_is_no_opening(raw: Raw) -> None:
    assert opening_of(raw) == Opening()


@pytest.mark.parametrize(
    ("raw", "good", "bad"),
    [
        (object_of(a={**TEXT, "minLength": 2, "maxLength": 4}),
         ['{"a":"xy"}', '{"a":"x\\n\\"y"}'], ['{"a":"x"}', '{"a":"xyxyx"}']),
        (object_of(on={**TEXT, "format": "date"}, n={"type": "integer"}),
         ['{"on":"2026-11-24","n":1}'], ['{"on":"soon","n":1}', '{"on":"2026-11-24"}']),
        (object_of(kind={"enum": ["a", "ab"]}),
         ['{"kind":"a"}', '{"kind":"ab"}'], ['{"kind":"b"}']),
        (object_of(n={"type": "integer", "minimum": 10, "maximum": 19}),
         ['{"n":10}', '{"n":19}'], ['{"n":1}', '{"n":190}']),
    ],
)  # fmt: skip
def test_what_may_follow_is_what_the_whole_grammar_admits(
    raw: Raw, good: list[str], bad: list[str]
) -> None:
    found = opening_of(raw)
    assert found.text
    assert found.grammar is not None
    for text in [*good, *bad]:
        rest = text.removeprefix(found.text)
        assert rest != text
        matcher = LLMatcher(BYTES, found.grammar)
        is_taken = matcher.consume_tokens(list(rest.encode())) and matcher.is_accepting()
        assert is_taken == (text in good), text
