from __future__ import annotations

import json

from hypothesis import HealthCheck, assume, given, settings

from leafstream.decoder.closing import Closer
from leafstream.decoder.json import JsonDecoder
from leafstream.decoder.value import fold
from leafstream.errors import UnsupportedSchema
from leafstream.pointer import Json, split
from leafstream.schema import Schema
from tests.unit.closing.schemas import PAIRS, Pair
from tests.unit.closing.told import close

MODEST = settings(
    max_examples=75,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.filter_too_much],
)


def accepted(pair: Pair) -> tuple[Schema, Json]:
    try:
        schema = Schema.parse(pair[0])
    except UnsupportedSchema:
        assume(False)
    assume(schema.is_valid(pair[1]))
    return schema, pair[1]


def holds_text(value: Json, told: Json) -> bool:
    """Whether every string in `told` begins the one in its place in `value`."""
    if isinstance(told, str):
        return isinstance(value, str) and value.startswith(told)
    if isinstance(told, dict):
        return isinstance(value, dict) and all(
            key in value and holds_text(value[key], inner) for key, inner in told.items()
        )
    if isinstance(told, list):
        return (
            isinstance(value, list)
            and len(told) <= len(value)
            and all(holds_text(*both) for both in zip(value, told, strict=False))
        )
    return told is None or value == told


@MODEST
@given(PAIRS)
def test_every_cut_of_a_valid_document_closes_valid_and_takes_no_text_back(pair: Pair) -> None:
    schema, value = accepted(pair)
    closer = Closer(schema)
    text = json.dumps(value, ensure_ascii=False)
    for end in range(len(text) + 1):
        prefix = text[:end]
        told = JsonDecoder(schema, strict=True).feed(prefix)
        closing = closer.close(prefix, fold(told))
        whole = prefix[: end - closing.drop] + closing.suffix
        assert json.loads(whole) == closing.value, prefix
        assert schema.is_valid(closing.value), (prefix, closing)
        assert closing.absent == ()
        assert fold([*told, *closing.events]) == closing.value, (prefix, closing)
        # Strings of two branches of a `oneOf` may need to be told apart by ends far away.
        if "oneOf" not in str(pair[0]):
            assert holds_text(closing.value, fold(told)), (prefix, closing)


@MODEST
@given(PAIRS)
def test_a_whole_document_is_left_as_it_is(pair: Pair) -> None:
    schema, value = accepted(pair)
    assume(isinstance(value, bool) or not isinstance(value, int | float))
    closing = close(json.dumps(value), schema)
    assert (closing.drop, closing.suffix, closing.value) == (0, "", value)
    assert (closing.missing, closing.cut, closing.absent, closing.events) == ((), (), (), ())


@MODEST
@given(PAIRS)
def test_what_a_closing_made_needs_no_second_one(pair: Pair) -> None:
    schema, value = accepted(pair)
    text = json.dumps(value)
    prefix = text[: len(text) // 2]
    closing = close(prefix, schema)
    assume(not isinstance(closing.value, int | float) or isinstance(closing.value, bool))
    again = close(prefix[: len(prefix) - closing.drop] + closing.suffix, schema)
    assert (again.drop, again.suffix, again.value) == (0, "", closing.value)


@MODEST
@given(PAIRS)
def test_what_is_missing_and_cut_is_in_the_value(pair: Pair) -> None:
    schema, value = accepted(pair)
    text = json.dumps(value)
    for end in range(0, len(text), 3):
        closing = close(text[:end], schema)
        for path in closing.missing + closing.cut:
            place: Json = closing.value
            for token in split(path):
                if isinstance(place, list):
                    place = place[int(token)]
                else:
                    assert isinstance(place, dict)
                    place = place[token]
        assert not set(closing.missing) & set(closing.cut)


@MODEST
@given(PAIRS, PAIRS)
def test_a_document_of_another_schema_closes_as_json_that_the_client_holds(
    pair: Pair, other: Pair
) -> None:
    schema, _ = accepted(pair)
    closer = Closer(schema)
    text = json.dumps(other[1])
    for end in range(len(text) + 1):
        prefix = text[:end]
        told = JsonDecoder(schema, strict=True).feed(prefix)
        closing = closer.close(prefix, fold(told))
        assert json.loads(prefix[: end - closing.drop] + closing.suffix) == closing.value, prefix
        assert fold([*told, *closing.events]) == closing.value, (prefix, closing)
        assert not closing.absent or not schema.is_valid(closing.value)
