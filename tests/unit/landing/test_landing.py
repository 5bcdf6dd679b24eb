from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from bench.cases import CASES, Case

from leafstream.decoder.closing import least
from leafstream.landing import Landing, Room, land
from leafstream.schema import Schema

RATE = 2.5
WHOLE = {case.name: case for case in CASES}


def landed(raw: dict[str, Any], tokens: int, needed: int | None = None) -> Landing:
    schema = Schema.parse(raw)
    shortest = least(schema)
    landing = land(schema, Room(tokens, RATE, (shortest, needed or len(shortest) // 2)))
    assert landing is not None
    return landing


@pytest.mark.parametrize("tokens", [8, 16, 32, 64, 128, 256])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_a_landed_schema_allows_the_schema_allows(case: Case, tokens: int) -> None:
    schema = Schema.parse(case.schema)
    landing = land(schema, Room(tokens, RATE, (least(schema), 20)))
    if landing is not None:
        assert landing.tightened
        assert schema.errors(msgspec.json.decode(least(landing.schema))) == []


def test_a_type_that_fits_is_left_alone() -> None:
    assert land(Schema.parse(WHOLE["numbers"].schema), Room(1000, RATE)) is None


def test_more_room_never_lowers_a_bound_further() -> None:
    bounds = [landed(WHOLE["nested"].schema, tokens).tightened for tokens in (60, 80, 100, 120)]
    for tighter, wider in pairwise(bounds):
        assert all(bound >= tighter[path] for path, bound in wider.items())


def test_a_type_that_holds_itself_goes_no_deeper_than_once() -> None:
    schema = landed(WHOLE["recursion"].schema, 200).schema

    def comment(*replies: Any) -> dict[str, Any]:
        return {"author": "a", "text": "b", "replies": list(replies)}

    assert schema.is_valid(comment(comment()))
    assert not schema.is_valid(comment(comment(comment())))


@pytest.mark.parametrize(
    "link",
    [
        {"anyOf": [{"$ref": "#/$defs/link"}, {"type": "null"}]},
        {"type": "array", "items": {"$ref": "#/$defs/link"}},
    ],
)
def test_a_chain_ends_where_it_may(link: dict[str, Any]) -> None:
    item = {
        "type": "object",
        "properties": {"text": {"type": "string"}, "next": link},
        "required": ["text", "next"],
    }
    schema = landed({**item, "$defs": {"link": item}}, 100).schema
    inner = msgspec.json.decode(least(schema))
    for _ in range(3):
        inner = {"text": "", "next": [inner] if link.get("type") else inner}
    assert not schema.is_valid(inner)


def test_names_in_a_script_that_takes_many_tokens_make_the_texts_shorter() -> None:
    korean = {"type": "object", "properties": {"이유": {"type": "string"}}, "required": ["이유"]}
    cheap, dear = landed(korean, 100, needed=6), landed(korean, 100, needed=12)
    assert dear.tightened["/이유"] < cheap.tightened["/이유"]
