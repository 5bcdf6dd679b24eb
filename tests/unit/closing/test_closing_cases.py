from __future__ import annotations

from typing import Any

import pytest

from leafstream.decoder.closing import Closer
from leafstream.decoder.json import JsonDecoder
from leafstream.decoder.value import fold
from leafstream.events import TextAppended, ValueSet
from leafstream.schema import Schema
from tests.unit.closing.told import close
from tests.unit.decoder.cases import CASES, Case

CUT = [
    case
    for case in CASES
    if case.mode == "strict" and {"closed_value", "absent"} & case.expect.keys()
]
OBJECT: dict[str, Any] = {"type": "object", "additionalProperties": False}


def member(schema: dict[str, Any], *, required: bool = True) -> Schema:
    """The schema of an object with one member `a`."""
    names = ["a"] if required else []
    return Schema.parse({**OBJECT, "properties": {"a": schema}, "required": names})


def test_the_cases_are_there() -> None:
    assert len(CUT) == 33


@pytest.mark.parametrize("case", CUT, ids=lambda case: case.name)
def test_each_case_closes_as_it_says(case: Case) -> None:
    assert case.schema is not None
    closing = close(case.text, Schema.parse(case.schema))
    expect = case.expect
    assert closing.value == expect.get("closed_value", expect["value"])
    assert closing.drop == expect.get("drop", 0)
    assert closing.suffix == expect.get("suffix", "")
    assert list(closing.missing) == expect.get("missing", [])
    assert list(closing.cut) == expect.get("partial", [])
    assert list(closing.absent) == expect.get("absent", [])


@pytest.mark.parametrize("case", CUT, ids=lambda case: case.name)
def test_the_events_of_each_case_bring_a_client_to_the_value(case: Case) -> None:
    assert case.schema is not None
    schema = Schema.parse(case.schema)
    closing = close(case.text, schema)
    assert fold([*JsonDecoder(schema, strict=True).feed(case.text), *closing.events]) == (
        closing.value
    )


def test_padding_is_told_as_growth_of_the_text() -> None:
    closing = close('{"a":"xy', member({"type": "string", "minLength": 4}))
    assert closing.events == (TextAppended("/a", "  "),)


def test_an_enum_that_is_decided_grows_and_one_that_is_not_is_set() -> None:
    schema = member({"enum": ["ZERO_WASTE", "ZERO_CARBON", "TRANSPORT"]})
    assert close('{"a":"TR', schema).events == (TextAppended("/a", "ANSPORT"),)
    assert close('{"a":"ZERO_', schema).events == (ValueSet("/a", "ZERO_WASTE"),)


def test_a_pending_number_is_told_once_it_is_kept() -> None:
    closing = close('{"a":12.', member({"type": "number"}))
    assert (closing.value, closing.events) == ({"a": 12}, (ValueSet("/a", 12),))


def test_a_filled_item_is_told_as_one_value() -> None:
    item = {**OBJECT, "properties": {"t": {"type": "string"}}, "required": ["t"]}
    closing = close('{"a":[', member({"type": "array", "items": item, "minItems": 1}))
    assert closing.missing == ("/a/0",)
    assert closing.events == (ValueSet("/a", [{"t": ""}]),)


@pytest.mark.parametrize(
    ("written", "schema", "value"),
    [
        ('"555-1', {"type": "string", "pattern": r"^\d{3}-\d{4}$"}, "555-1000"),
        ('"AB', {"type": "string", "pattern": "^[A-Z]+_[a-z]{2}$"}, "AB_aa"),
        ('"2024-02-2', {"type": "string", "format": "date"}, "2024-02-20"),
        ('"2024-02-29T1', {"type": "string", "format": "date-time"}, "2024-02-29T10:00:00Z"),
        ('"192.168.', {"type": "string", "format": "ipv4"}, "192.168.0.0"),
        ('"2001:db8', {"type": "string", "format": "ipv6"}, "2001:db8::"),
        ('"jo@', {"type": "string", "format": "email"}, "jo@a"),
        ('"http://a/%', {"type": "string", "format": "uri"}, "http://a/%aa"),
        ('"P1Y2', {"type": "string", "format": "duration"}, "P1Y2M"),
        ('"(a', {"type": "string", "format": "regex"}, "(a)"),
        ("1", {"enum": [10, 200]}, 10),
        ("[1,2", {"const": [1, 20, 3]}, [1, 20, 3]),
        ('{"x":{"y":"a', {"const": {"x": {"y": "ab"}, "z": 1}}, {"x": {"y": "ab"}, "z": 1}),
        ('["a","a', {"items": {"type": "string"}, "uniqueItems": True}, ["a", "a "]),
    ],
)
def test_what_is_written_is_kept_and_made_whole(
    written: str, schema: dict[str, Any], value: Any
) -> None:
    closing = close('{"a":' + written, member(schema))
    assert closing.value == {"a": value}
    assert closing.drop == 0


def test_an_optional_member_of_which_nothing_was_told_is_dropped_and_its_object_is_cut() -> None:
    for written in ("", "-", '"PLO', '"ZERO_', "{", "tru"):
        closing = close('{"a":' + written, member({"enum": ["ZERO_A", "ZERO_B"]}, required=False))
        assert closing.value == {}, written
        assert (closing.missing, closing.cut) == ((), ("",)), written


OPEN: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}


@pytest.mark.parametrize(
    ("written", "cut"),
    [
        ('{"na', ("",)),
        ('{"', ("",)),
        ('{"name":', ("",)),
        ('{"name":"x","b', ("",)),
        ('{"name":"x", ', ("",)),
        ('{"name":"x', ("/name",)),
        ('{"name":"x" ', ()),
        ("{ ", ()),
    ],
)
def test_an_object_is_cut_where_the_model_began_a_member_that_is_left_out(
    written: str, cut: tuple[str, ...]
) -> None:
    assert close(written, Schema.parse(OPEN)).cut == cut
    inner = tuple(f"/a{path}" for path in cut)
    assert close('{"a":' + written, member(OPEN)).cut == inner


@pytest.mark.parametrize(
    ("written", "schema"),
    [
        ('{"a":"x",', {"properties": {"a": {}}, "additionalProperties": False}),
        ('{"a":"x","b', {"type": "object", "maxProperties": 1}),
        ('["x",', {"type": "array", "maxItems": 1}),
        ('["x","y', {"type": "array", "prefixItems": [{}], "items": False}),
    ],
)
def test_nothing_is_cut_where_nothing_more_could_be_valid(
    written: str, schema: dict[str, Any]
) -> None:
    assert close(written, Schema.parse(schema)).cut == ()


def test_an_item_that_cannot_be_valid_is_dropped() -> None:
    schema = Schema.parse({"type": "array", "items": {"type": "integer", "minimum": 10}})
    assert close("[10,1", schema).value == [10]
    assert close("[10,-", schema).value == [10]


def test_text_beyond_its_bound_is_shortened_rather_than_lost() -> None:
    closing = close('{"a":"abcdef', member({"type": "string", "maxLength": 4}))
    assert closing.value == {"a": "abcd"}
    assert closing.cut == ("/a",)
    assert closing.events == ()  # the decoder tells nothing beyond the bound


def test_the_union_follows_what_is_written() -> None:
    text = {**OBJECT, "properties": {"text": {"type": "string"}}, "required": ["text"]}
    image = {
        **OBJECT,
        "properties": {"url": {"type": "string"}, "alt": {"type": "string"}},
        "required": ["url", "alt"],
    }
    schema = Schema.parse({"anyOf": [text, image]})
    assert close("{", schema).value == {"text": ""}
    assert close('{"url":"x', schema).value == {"url": "x", "alt": ""}
    assert close('{"alt":', schema).value == {"alt": "", "url": ""}


def test_of_members_with_one_name_the_first_counts() -> None:
    schema = member({"type": "string"})
    for again in ('"a', '"a"', '"a":', '"a":"z', '"a":[{"b', '"a":1}'):
        closing = close('{"a":"x",' + again, schema)
        assert closing.value == {"a": "x"}, again


def test_without_a_schema_any_value_stands_for_what_is_missing() -> None:
    assert close("").value is None
    assert close('{"a":[1,{"b":"c').value == {"a": [1, {"b": "c"}]}
    assert close('{"a":1e999').value == {}


def test_what_the_model_closed_itself_is_absent_and_stays() -> None:
    item = {**OBJECT, "properties": {"t": {"type": "string"}}, "required": ["t"]}
    closing = close('[{},{"t":"x', Schema.parse({"type": "array", "items": item}))
    assert closing.absent == ("/0/t",)
    assert closing.value == [{}, {"t": "x"}]


def test_nesting_to_the_decoders_depth_closes() -> None:
    for text in ("[" * 512, '{"a":' * 512, '[{"a":' * 256):
        closing = close(text)
        assert len(closing.suffix) >= 511


def test_a_recursive_union_closes_at_any_depth() -> None:
    tree = {
        "anyOf": [
            {"type": "null"},
            {"type": "array", "items": {"$ref": "#/$defs/tree"}},
            {
                "type": "object",
                "properties": {"kids": {"$ref": "#/$defs/tree"}},
                "required": ["kids"],
            },
        ]
    }
    schema = Schema.parse({"$defs": {"tree": tree}, "$ref": "#/$defs/tree"})
    assert schema.is_valid(close('[{"kids":' * 250, schema).value)


@pytest.mark.parametrize(
    "text",
    ["}", "]", ",", ":", '{"a"}', "{1", "[1 2", "01", "1 2", "tx", '"\\x', '"\n', "[,", "[1,]",
     '{"a":1,}', "{,", "NaN", "-Infinity", "[NaN", '{"a":1]', "[1}", "1.5.", "+1", "{} {", "'a"],
)  # fmt: skip
def test_what_is_no_prefix_of_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not strict JSON|escape"):
        Closer().close(text, None)
