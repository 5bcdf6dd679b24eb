"""Whatever the value, the schema, the cuts and the end: what holds of every answer."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from leafstream.decoder.json import JsonDecoder
from leafstream.decoder.value import Fold, fold
from leafstream.events import TextAppended, ValueSet
from leafstream.pointer import Json, split
from leafstream.schema import Schema
from tests.unit.decoder.cases import randomly, read, same

RawSchema = dict[str, Any]
CALM = settings(max_examples=60, deadline=None)
KEYS = st.sampled_from(["a", "b", "title", "0", "1", "", "a/b", "~", "한", '"', "\\"])
CHARACTERS = st.characters(codec="utf-8")
TEXTS = st.text(CHARACTERS, max_size=12) | st.sampled_from(
    ['"', '",', '"}', '","a":"', "\\", "'", "// x", "```", "<think>", "{", "null", "1"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, width=32) | TEXTS
VALUES = st.recursive(
    SCALARS.filter(lambda v: v not in (float("inf"), float("-inf"))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def typed(draw: st.DrawFn, depth: int = 2) -> tuple[RawSchema, Json]:
    """A schema and a value of it."""
    kinds = ["string", "integer", "number", "boolean", "enum"] + ["array", "object"] * (depth > 0)
    kind = draw(st.sampled_from(kinds))
    if kind == "enum":
        words = draw(st.lists(TEXTS.filter(bool), min_size=1, max_size=4, unique=True))
        return {"enum": words}, draw(st.sampled_from(words))
    if kind == "array":
        raw, value = draw(typed(depth=depth - 1))
        return {"type": "array", "items": raw}, [value] * draw(st.integers(0, 3))
    if kind == "object":
        members = draw(st.dictionaries(KEYS, typed(depth=depth - 1), min_size=1, max_size=4))
        raw = {
            "type": "object",
            "properties": {key: member[0] for key, member in members.items()},
            "required": list(members),
            "additionalProperties": draw(st.booleans()),
        }
        return raw, {key: member[1] for key, member in members.items()}
    scalars: dict[str, st.SearchStrategy[Json]] = {
        "string": TEXTS,
        "integer": st.integers(),
        "number": st.integers() | st.floats(allow_nan=False, allow_infinity=False),
        "boolean": st.booleans(),
    }
    return {"type": kind}, draw(scalars[kind])


@st.composite
def written(draw: st.DrawFn, value: Json) -> str:
    """The value as JSON text, compact or not, with or without escapes."""
    indent = draw(st.sampled_from([None, 0, 2]))
    separators = draw(st.sampled_from([None, (",", ":"), (" , ", " : ")]))
    ascii_only = draw(st.booleans())
    return json.dumps(value, indent=indent, separators=separators, ensure_ascii=ascii_only)


@CALM
@given(st.data(), st.integers(0, 9))
def test_every_value_is_read_as_it_was_written(data: st.DataObject, seed: int) -> None:
    value = data.draw(VALUES)
    text = data.draw(written(value))
    reading, events = read(JsonDecoder(strict=True), randomly(text, seed=seed))
    assert reading.complete
    assert same(reading.value, value)
    assert same(fold(events), value)


@CALM
@given(st.data(), st.integers(0, 9))
def test_a_typed_value_gives_the_same_in_both_modes(data: st.DataObject, seed: int) -> None:
    raw, value = data.draw(typed())
    text = data.draw(written(value))
    schema = Schema.parse(raw)
    strict, _ = read(JsonDecoder(schema, strict=True), randomly(text, seed=seed))
    tolerant, _ = read(JsonDecoder(schema), randomly(text, seed=seed + 1))
    assert tolerant == strict
    assert same(tolerant.value, value)


@CALM
@given(st.data(), st.integers(0, 9), st.integers(0, 400))
def test_an_answer_cut_anywhere_holds_the_same_at_every_chunking(
    data: st.DataObject, seed: int, end: int
) -> None:
    raw, value = data.draw(typed())
    text = data.draw(written(value))[:end]
    schema = Schema.parse(raw)
    for strict in (True, False):
        whole, _ = read(JsonDecoder(schema, strict=strict), [text], finish=False)
        cut, _ = read(JsonDecoder(schema, strict=strict), randomly(text, seed=seed), finish=False)
        assert cut == whole


PIECES = st.sampled_from(
    [
        *"{}[]:,\"'\\/*#`.-+0123456789eEtnfx \n“”é",
        '{"a":',
        '"a"',
        '","a":"',
        "\\u",
        "\\ud83d",
        "\\ude00",
        "//",
        "/*",
        "*/",
        "true",
        "None",
        '"[',
        '\\"',
        "<think>",
        "</think>",
        "```json\n",
        " " * 300,
    ]
)
SCHEMAS = [None] + [
    Schema.parse({"type": "object", "properties": {"a": raw, "b": {}}})
    for raw in (
        {"type": "string"},
        {"type": "array", "items": {"type": "integer"}},
        {"type": ["array", "integer"], "items": {"type": "object", "properties": {"a": {}}}},
        {"enum": ["a", "ab", "b"]},
        {"type": "string", "maxLength": 2},
        {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
    )
]


@settings(CALM, max_examples=200)
@given(st.lists(PIECES, max_size=30), st.sampled_from(SCHEMAS), st.integers(0, 9))
def test_no_text_raises_in_tolerant_mode_or_depends_on_its_chunks(
    pieces: list[str], schema: Schema | None, seed: int
) -> None:
    text = "".join(pieces)
    whole, _ = read(JsonDecoder(schema), [text])
    for chunks in (list(text), pieces, randomly(text, seed=seed)):
        assert read(JsonDecoder(schema), chunks)[0] == whole
    json.dumps(whole.value).encode()


@CALM
@given(st.lists(PIECES, max_size=30), st.sampled_from(SCHEMAS))
def test_text_that_was_sent_is_never_taken_back(pieces: list[str], schema: Schema | None) -> None:
    decoder = JsonDecoder(schema)
    sent: dict[str, str] = {}
    final = Fold()
    for piece in ['{"a":', *pieces]:
        for event in decoder.feed(piece):
            final.apply(event)
            if isinstance(event, TextAppended):
                sent[event.path] = sent.get(event.path, "") + event.text
            elif isinstance(event, ValueSet) and isinstance(event.value, str):
                assert event.path not in sent
    for path, text in sent.items():
        assert at(final.value, path) == text


def at(value: Any, path: str) -> Any:
    for token in split(path):
        value = value[int(token)] if isinstance(value, list) else value[token]
    return value


@CALM
@given(st.lists(PIECES, max_size=30), st.sampled_from(SCHEMAS))
def test_the_prefix_can_always_be_read_strictly(pieces: list[str], schema: Schema | None) -> None:
    decoder = JsonDecoder(schema)
    for piece in ['{"a":', *pieces]:
        decoder.feed(piece)
        JsonDecoder(strict=True).feed(decoder.prefix())
