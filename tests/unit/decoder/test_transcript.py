"""Transcript: the answer's text as protocols without paths send it."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings

from leafstream.decoder.closing import Closer
from leafstream.decoder.json import JsonDecoder
from leafstream.decoder.transcript import Rewritten, Transcript, canonical_text
from leafstream.events import Event, Finished, Noticed, TextAppended, Timings, Usage, ValueSet
from leafstream.log import merged
from leafstream.pointer import Json
from tests.unit.closing.schemas import PAIRS, Pair
from tests.unit.closing.test_closing_properties import accepted


def finished(value: Json) -> Finished:
    return Finished(value, "stop", True, (), (), Usage(1, 1), Timings(0, None, 0))


def written(events: list[Event], *, typed: bool = True) -> list[str]:
    transcript = Transcript(typed=typed)
    pieces = [transcript.feed(event) for event in events]
    assert transcript.text == "".join(pieces)
    return pieces


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.filter_too_much],
)
@given(PAIRS)
def test_every_cut_of_a_valid_document_is_written_as_the_json_of_its_finished_value(
    pair: Pair,
) -> None:
    schema, value = accepted(pair)
    closer = Closer(schema)
    text = json.dumps(value, ensure_ascii=False)
    for end in range(len(text) + 1):
        decoder = JsonDecoder(schema, strict=True)
        told = [event for piece in text[:end] for event in decoder.feed(piece)]
        closing = closer.close(text[:end], decoder.value)
        events = [*told, *closing.events, finished(closing.value)]
        if "oneOf" in str(pair[0]):  # two branches may be told apart by ends far away
            continue
        assert "".join(written(events)) == canonical_text(closing.value)
        batch = [entry.event for entry in merged(1, events)]
        assert "".join(written(batch)) == canonical_text(closing.value)


def test_text_is_written_as_it_grows_and_structure_as_soon_as_it_is_known() -> None:
    events: list[Event] = [
        ValueSet("", {}),
        TextAppended("/title", "a "),
        TextAppended("/title", 'c"\n'),
        ValueSet("/tags", []),
        TextAppended("/items/0/name", "텀"),
        ValueSet("/items/0/num", 1.50),
        ValueSet("/items/0", {"name": "텀", "num": 1.5}),
        ValueSet("/items", [{"name": "텀", "num": 1.5}]),
    ]
    value: Json = {"title": 'a c"\n', "tags": [], "items": [{"name": "텀", "num": 1.5}]}
    assert written([*events, finished(value)]) == [
        "{",
        '"title":"a ',
        'c\\"\\n',
        '","tags":[',
        '],"items":[{"name":"텀',
        '","num":1.5',
        "}",
        "]",
        "}",
    ]


@pytest.mark.parametrize("value", [0, "x", [], {}, None, True, ["a"], {"0": 1}, {"a": {"0": {}}}])
def test_a_value_that_comes_at_once_is_written_at_once(value: Json) -> None:
    assert "".join(written([ValueSet("", value), finished(value)])) == canonical_text(value)
    assert "".join(written([finished(value)])) == canonical_text(value)


def test_members_that_look_like_items_stay_members_where_their_object_was_announced() -> None:
    events: list[Event] = [
        ValueSet("/a", {}),
        TextAppended("/a/0", "x"),
        finished({"a": {"0": "x"}}),
    ]
    assert "".join(written(events)) == '{"a":{"0":"x"}}'


def test_keys_are_written_as_json_and_not_as_pointers() -> None:
    events: list[Event] = [TextAppended('/a~1"~0', "x"), finished({'a/"~': "x"})]
    assert "".join(written(events)) == '{"a/\\"~":"x"}'


def test_after_a_retry_nothing_is_written_until_the_end_proves_what_was_sent() -> None:
    events: list[Event] = [
        ValueSet("", {}),
        TextAppended("/a", "one"),
        Noticed("retried", "again", "/b"),
        ValueSet("", {"a": "one"}),
        TextAppended("/b", "two"),
    ]
    kept = written([*events, finished({"a": "one", "b": "two"})])
    assert kept == ["{", '"a":"one', "", "", "", '","b":"two"}']
    with pytest.raises(Rewritten):
        written([*events, finished({"a": "other", "b": "two"})])


def test_an_ending_that_takes_text_back_is_told_as_an_error_and_not_as_text() -> None:
    events: list[Event] = [TextAppended("/a", "too long"), ValueSet("/a", "too")]
    assert written(events) == ['{"a":"too long', ""]
    with pytest.raises(Rewritten):
        written([*events, finished({"a": "too"})])


def test_the_text_of_a_plain_answer_is_itself() -> None:
    events: list[Event] = [TextAppended("", 'a "'), TextAppended("", "b"), finished('a "b')]
    assert written(events, typed=False) == ['a "', "b", ""]
    assert written([finished(None)], typed=False) == [""]
