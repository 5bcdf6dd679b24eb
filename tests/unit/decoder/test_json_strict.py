"""Strict mode against JSONTestSuite, with json.loads as the oracle."""

from __future__ import annotations

import json
from typing import Any

import pytest

from leafstream.decoder.json import JsonDecoder
from leafstream.errors import InvalidAnswer
from leafstream.events import Event, TextAppended, ValueSet
from leafstream.schema import Schema
from tests.unit.decoder.cases import Reading, corpus, every_split, read

MANY = 3_000


def verdict(chunks: list[str]) -> Reading | None:
    """What was read of a whole document; None where there is none."""
    try:
        reading, _ = read(JsonDecoder(strict=True), chunks)
    except InvalidAnswer:
        return None
    return reading if reading.complete else None


def refuse_constant(name: str) -> Any:
    raise ValueError(name)


def is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        return False
    return True


def suite(*expect: str) -> list[dict[str, Any]]:
    return [case for case in corpus("jsontestsuite") if case["expect"] in expect if "text" in case]


def test_the_suite_is_accepted_and_refused_as_it_demands() -> None:
    for case in suite("accept"):
        assert verdict([case["text"]]) is not None, case["name"]
    for case in suite("reject"):
        assert verdict([case["text"]]) is None, case["name"]


def test_the_verdict_on_the_suite_is_that_of_the_standard_library() -> None:
    for case in suite("accept", "reject", "either", "transform"):
        assert (verdict([case["text"]]) is not None) == is_json(case["text"]), case["name"]


def test_no_cut_changes_verdict_or_value() -> None:
    for case in suite("accept", "reject", "either", "transform"):
        if len(case["text"]) < MANY:
            whole = verdict([case["text"]])
            for chunks in every_split(case["text"], most=60):
                assert verdict(chunks) == whole, (case["name"], chunks)


def test_values_are_those_of_the_standard_library() -> None:
    compared = 0
    for case in suite("accept"):
        text = case["text"]
        if "\\u" not in text and "duplicated" not in case["name"]:
            reading = verdict([text])
            assert reading is not None
            assert reading.value == json.loads(text), case["name"]
            compared += 1
    assert compared > 50


@pytest.mark.parametrize(
    ("text", "position"),
    [('{"a":1,}', 7), ("[1 2]", 3), ('["\t"]', 2), ("[NaN]", 1), ("nul1", 3), ("[1]x", 3)],
)
def test_a_refusal_says_where(text: str, position: int) -> None:
    for chunks in every_split(text):
        with pytest.raises(InvalidAnswer) as refused:
            read(JsonDecoder(strict=True), chunks)
        assert refused.value.details == {"position": position}


def test_the_raw_text_is_the_prefix() -> None:
    decoder = JsonDecoder(strict=True)
    for chunk in ['\n{"a', '": "b\\u00', "41c", '", "d":12']:
        decoder.feed(chunk)
    assert decoder.prefix() == '\n{"a": "b\\u0041c", "d":12'
    assert decoder.started
    assert not decoder.complete


def test_white_space_alone_does_not_start_a_document() -> None:
    decoder = JsonDecoder(strict=True)
    decoder.feed(" \n")
    assert not decoder.started


def events_of(text: str) -> list[Event]:
    return JsonDecoder(strict=True).feed(text)


def test_a_finished_object_is_told_whole_but_not_the_root() -> None:
    assert events_of('{"a":{"b":"c"},"d":[]}') == [
        ValueSet("", {}),
        TextAppended("/a/b", "c"),
        ValueSet("/a", {"b": "c"}),
        ValueSet("/d", []),
    ]


def test_an_object_with_a_number_for_a_name_is_announced_before_it() -> None:
    assert events_of('{"a":{"0":"c')[1:] == [ValueSet("/a", {}), TextAppended("/a/0", "c")]


def test_containers_deeper_than_16_levels_are_told_by_their_parents() -> None:
    values = [e for e in events_of("[" * 20 + "1" + "]" * 20) if isinstance(e, ValueSet)]
    assert [e.path.count("/") for e in values] == [0, 20, *range(16, 0, -1)]


def test_values_told_never_change_afterwards() -> None:
    decoder = JsonDecoder(strict=True)
    events = decoder.feed('{"a":[{"b":1}')
    before = json.dumps([e.value for e in events if isinstance(e, ValueSet)])
    decoder.feed(',{"c":2}],"d":3}')
    assert json.dumps([e.value for e in events if isinstance(e, ValueSet)]) == before


def test_a_second_member_of_a_name_is_not_told_in_place_of_held_text() -> None:
    schema = Schema.parse({"type": "object", "properties": {"a": {"enum": ["x", "y"]}}})
    decoder = JsonDecoder(schema, strict=True)
    decoder.feed('{"a":"z","a":"')
    assert decoder.feed("x") == []
    assert decoder.value == {"a": "z"}
