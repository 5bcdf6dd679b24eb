"""Tolerant mode: what models write when nothing constrains them."""

from __future__ import annotations

import pytest

from leafstream.decoder.closing import Closer
from leafstream.decoder.json import JsonDecoder
from leafstream.events import TextAppended
from leafstream.pointer import Json
from leafstream.schema import Schema
from tests.unit.decoder.cases import corpus, every_split, read, same

TEXT = {"type": "string"}
CARD = Schema.parse(
    {
        "type": "object",
        "properties": {
            "title": TEXT,
            "kind": {"enum": ["WASTE", "WATER", "WALK"]},
            "level": {"type": "integer"},
            "rate": {"type": "number"},
            "done": {"type": "boolean"},
            "tags": {"type": "array", "items": TEXT},
            "steps": {"type": "array", "items": {"type": "object", "properties": {"a": TEXT}}},
            "more": {"type": "object", "properties": {"x": {"type": "integer"}}},
        },
        "required": ["title"],
        "additionalProperties": False,
    }
)
OPEN = Schema.parse({"type": "object", "properties": {"title": TEXT}})


def value_of(text: str, schema: Schema | None = CARD) -> Json:
    """What is read of `text`, the same at every cut."""
    whole, _ = read(JsonDecoder(schema), [text])
    for chunks in every_split(text):
        assert read(JsonDecoder(schema), chunks)[0] == whole, chunks
    return whole.value


def notices_of(text: str) -> list[tuple[str, str | None]]:
    reading, _ = read(JsonDecoder(CARD), [text])
    return [(notice.code, notice.path) for notice in reading.notices]


@pytest.mark.parametrize("name", ["json_repair", "jsonrepair-js"])
@pytest.mark.parametrize("schema", [None, CARD], ids=["free", "typed"])
def test_no_broken_text_raises_or_depends_on_its_cuts(name: str, schema: Schema | None) -> None:
    for case in corpus(name):
        whole, _ = read(JsonDecoder(schema), [case["input"]])
        for chunks in every_split(case["input"], most=12):
            assert read(JsonDecoder(schema), chunks)[0] == whole, chunks


def test_what_is_strict_json_gives_the_same_in_both_modes() -> None:
    for case in corpus("jsontestsuite"):
        if case["expect"] == "accept":
            strict, _ = read(JsonDecoder(strict=True), [case["text"]])
            tolerant, _ = read(JsonDecoder(), [case["text"]])
            assert (tolerant.value, tolerant.texts) == (strict.value, strict.texts), case["name"]
            assert tolerant.values == strict.values, case["name"]


@pytest.mark.parametrize(
    "text",
    [
        'Sure: {"title": "a", "level": 3}',
        '```json\n{"title": "a", "level": 3}\n```\nThat is {all}.',
        'json{"title":"a","level":3}',
        '<think>{"title": "draft"}</think>{"title":"a","level":3}',
        '<think>one</think> so <think>two</think> {"title":"a","level":3}',
        '{"card": {"title": "a", "level": 3}}',
        '[{"title": "a", "level": 3}]',
        "{'title': 'a', 'level': 3,}",
        "{title: a, level: 3}",
        '{"title" "a"\n "level" 3}',
        '{"title": "a", // why\n "level": 3 /* so */}',
        '{"title": "a", # why\n "level": 3}',
        '{"title": "a", "level": "3"}',
        '{"title": "a", "level": +3}',
        '{"title": "a", "level": 3}{"title": "b"}',
        '"{\\"title\\": \\"a\\", \\"level\\": 3}"',
        'The answer is "{\\"title\\": \\"a\\", \\"level\\": 3}".',
        '{"title": "a", "level": 3, ...}',
        '{"title": "a", "level": 3]}',
        '{"title": "a", "title": "b", "level": 3}',
        '{"title": "a", "level": 3}}}',
    ],
)
def test_what_was_meant_is_read(text: str) -> None:
    assert value_of(text) == {"title": "a", "level": 3}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"done": True, "title": None}', {"done": True, "title": None}),
        ('{"done": "true"}', {"done": True}),
        ('{"rate": "-1.5e1"}', {"rate": -15.0}),
        ('{"rate": .5}', {"rate": 0.5}),
        ('{"rate": NaN}', {"rate": None}),
        ('{"level": "3.5"}', {"level": "3.5"}),
        ('{"level": "three"}', {"level": "three"}),
        ('{"title": 2024}', {"title": "2024"}),
        ('{"title": 1/3}', {"title": "1/3"}),
        ('{"tags": ["a", "b",]}', {"tags": ["a", "b"]}),
        ('{"tags": [a, b c]}', {"tags": ["a", "b c"]}),
        ('{"tags": "[\\"a\\", \\"b\\"]", "level": 1}', {"tags": ["a", "b"], "level": 1}),
        ('{"tags": "["a", "b"]", "level": 1}', {"tags": ["a", "b"], "level": 1}),
        ('{"tags": "[\\"a\\", \\"b", "level": 1}', {"tags": ["a", "b"], "level": 1}),
        ('{"tags": "a", "level": 1}', {"tags": "a", "level": 1}),
        ('{"more": "{\'x\': 3}", "level": 1}', {"more": {"x": 3}, "level": 1}),
        ('{"steps": [{"a": "1", {"a": "2"}]}', {"steps": [{"a": "1"}, {"a": "2"}]}),
        ('{"steps": [{"a": "1"]}', {"steps": [{"a": "1"}]}),
        ('{"title": "say \\"{hi}\\", ok"}', {"title": 'say "{hi}", ok'}),
        ('{"title": "say "hi" ok"}', {"title": 'say "hi" ok'}),
        ('{"title": "a "b", "c" d", "level": 1}', {"title": 'a "b", "c" d', "level": 1}),
        ('{"title": "say "a", he said", level: 1}', {"title": 'say "a", he said', "level": 1}),
        ('{"title": "a", "', {"title": "a"}),
        ('{"title": "a" {"}', {"title": 'a" {'}),
        ('{"kind": "WATER"}', {"kind": "WATER"}),
        ('{"kind": "FIRE"}', {"kind": "FIRE"}),
        ('{"kind": WALK}', {"kind": "WALK"}),
        ('{"title": "\\u12', {}),
        ('{"title": "a\\x41\\-"}', {"title": "a\\x41-"}),
        ("no answer", None),
        ("{no} [answer] {either: 1}", None),
    ],
)
def test_repairs_follow_the_schema(text: str, value: Json) -> None:
    assert same(value_of(text), value)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"level": "3"}', "/level"),
        ('{"done": "false"}', "/done"),
        ('{"title": 2024}', "/title"),
        ('{"tags": "[]"}', "/tags"),
        ('{"title": }', "/title"),
        ('{"steps": [{"a": "1"], "level": 1}', "/steps/0/a"),
    ],
)
def test_a_repair_of_content_is_noticed(text: str, path: str) -> None:
    assert notices_of(text) == [("repaired", path)]


def test_a_plain_answer_has_no_notice() -> None:
    assert notices_of('```json\n{"title": "a", "tags": ["b"],}\n```') == []


def test_an_unknown_first_name_is_read_where_the_schema_allows_it() -> None:
    assert value_of('{"id": 1, "title": "a"}', OPEN) == {"id": 1, "title": "a"}
    assert value_of('e.g. {"id": 1} is {"title": "a"}', OPEN) == {"title": "a"}


@pytest.mark.parametrize(
    ("text", "raw", "value"),
    [
        ("```\n42\n```", {"type": "integer"}, 42),
        ("42", {"type": "integer"}, 42),
        ("true", {"type": "boolean"}, True),
        ('"a "b" c"', TEXT, 'a "b" c'),
        ('"a"\nThat is it.', TEXT, "a"),
        ("It is 42.", {"type": "integer"}, None),
        ('[1] says ["a"]', {"type": "array", "items": TEXT}, ["1"]),
        ('Here: ["a"]', {"type": "array", "items": TEXT}, ["a"]),
        ("Here: []", {"type": "array", "items": TEXT}, []),
    ],
)
def test_other_roots_than_objects_are_found(text: str, raw: dict[str, Json], value: Json) -> None:
    assert same(value_of(text, Schema.parse(raw)), value)


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ('{"use {name: Bob} as a template', '{"use {name: Bob} as a template'),
        ('{"[note] {a: 1}"', '{"[note] {a: 1}"'),
        ('```json\n{ "a \\"b\\" {c: 1} \\', '{"a \\"b\\" {c: 1} '),
    ],
)
def test_what_stands_in_a_name_that_was_cut_is_no_answer(text: str, prefix: str) -> None:
    schema = Schema.parse({"type": "object", "additionalProperties": TEXT})
    assert value_of(text, schema) == {}
    reading = JsonDecoder(schema)
    reading.feed(text)
    reading.finish()
    closing = Closer(schema).close(reading.prefix(), reading.value)
    assert (reading.prefix(), closing.value, closing.cut) == (prefix, {}, ("",))


def test_a_name_that_the_schema_does_not_know_is_looked_into_when_cut_as_when_whole() -> None:
    assert value_of('{"it is {title: a} then') == {"title": "a"}


def test_enum_text_is_held_until_one_value_remains() -> None:
    decoder = JsonDecoder(CARD)
    assert decoder.feed('{"kind": "W')[1:] == []
    assert decoder.feed("A") == []
    assert decoder.feed("T") == [TextAppended("/kind", "WAT")]
    assert decoder.feed("ER") == [TextAppended("/kind", "ER")]


def test_text_beyond_its_bound_is_told_only_when_the_string_ends_with_it() -> None:
    short = Schema.parse({"type": "object", "properties": {"a": {"maxLength": 3}, "b": {}}})
    decoder = JsonDecoder(short)
    assert decoder.feed('{"a": "cup')[1:] == [TextAppended("/a", "cup")]
    assert decoder.num_over == 0
    assert decoder.feed("board")[1:] == []
    assert decoder.num_over == 5
    assert decoder.growing == "/a"
    assert decoder.prefix() == '{"a":"cupboard'
    assert decoder.feed('", ') == []
    assert decoder.feed('"b": "') == [TextAppended("/a", "board")]
    assert decoder.num_over == 0
    assert decoder.growing == "/b"


def test_an_array_in_a_string_streams_while_it_is_written() -> None:
    decoder = JsonDecoder(CARD)
    decoder.feed('{"tags": "[\\"one')
    assert decoder.feed(" two") == [TextAppended("/tags/0", " two")]


def test_characters_before_the_document_are_counted() -> None:
    for chunks in every_split('<think>x</think>ok ```json\n{"title":"a"}'):
        assert read(JsonDecoder(CARD), chunks)[0].skipped == 27


def test_an_opener_in_pieces_still_opens_its_block() -> None:
    for chunks in every_split('<think>{"a": 1}</think>true'):
        reading, _ = read(JsonDecoder(), chunks)
        assert (reading.value, reading.skipped) == (True, 23)


def test_an_answer_can_begin_inside_its_reasoning() -> None:
    decoder = JsonDecoder(CARD, reasoning=(("", "</think>"),))
    decoder.feed('{"title": "draft"}</think>{"title": "a"}')
    assert decoder.value == {"title": "a"}


def test_nesting_beyond_the_limit_closes_the_document_with_a_notice() -> None:
    reading, _ = read(JsonDecoder(max_depth=3), ['{"a":[[["x"]]],"b":1}'])
    assert reading.value == {"a": [[]]}
    assert reading.complete
    assert len(reading.notices) == 1


@pytest.mark.parametrize("name", ["json_repair", "jsonrepair-js"])
def test_the_prefix_is_strict_json_of_what_was_told(name: str) -> None:
    for case in corpus(name):
        decoder = JsonDecoder()
        for char in case["input"][:400]:
            decoder.feed(char)
            again = JsonDecoder(strict=True)
            again.feed(decoder.prefix())
            told = again.value
            assert told is None or same_shape(told, decoder.value), case["input"]


def same_shape(left: Json, right: Json) -> bool:
    """Whether `right` is told within `left`, which may hold one more, pending, leaf."""
    if isinstance(left, dict) and isinstance(right, dict):
        return all(key in left and same_shape(left[key], right[key]) for key in right)
    if isinstance(left, list) and isinstance(right, list):
        pairs = zip(left, right, strict=False)
        return len(right) <= len(left) and all(same_shape(a, b) for a, b in pairs)
    return same(left, right)


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("{'title': 'a\"", '{"title":"a\\"'),
        ("{title: a, lev", '{"title":"a","lev'),
        ("{title: a, level ", '{"title":"a","level"'),
        ("{title: a, level: 1", '{"title":"a","level":1'),
        ("{title: a, level: 1.5e", '{"title":"a","level":1.5e'),
        ("{title: a, level: 1+1", '{"title":"a","level":"1+1'),
        ("{title: a, level: 01", '{"title":"a","level":"01'),
        ("{title: a, level: 1,", '{"title":"a","level":1 '),
        ("{done: Tru", '{"done":tru'),
        ("{kind: 'WA", '{"kind":"WA'),
        ('{"tags": "[\\"a\\", \\"b', '{"tags":["a","b'),
        ('{"title":"a","title":"b', '{"title":"a"'),
        ("prose", ""),
        ('x {"title":"a"} y', '{"title":"a"}'),
    ],
)
def test_the_prefix_leaves_open_what_is_open(text: str, prefix: str) -> None:
    decoder = JsonDecoder(CARD)
    decoder.feed(text)
    assert decoder.prefix() == prefix
