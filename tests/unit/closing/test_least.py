from __future__ import annotations

from typing import Any

import pytest

from leafstream.decoder.known import Known
from leafstream.decoder.least import MAX_STEPS, Unbuildable, least
from leafstream.errors import UnsupportedSchema
from leafstream.schema import Schema
from tests.unit.closing.told import close


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ({}, "null"),
        ({"type": ["string", "null"]}, "null"),
        ({"type": ["string", "integer"]}, "0"),
        ({"type": "boolean"}, "false"),
        ({"type": "integer", "minimum": 3}, "3"),
        ({"type": "integer", "maximum": -3}, "-3"),
        ({"type": "integer", "exclusiveMinimum": 3.5, "multipleOf": 5}, "5"),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, "0.1"),
        ({"type": "number", "minimum": 0.3, "multipleOf": 0.25}, "0.5"),
        ({"type": "string", "minLength": 2}, '"  "'),
        ({"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"}, '"AA-0"'),
        ({"type": "string", "format": "date"}, '"1970-01-01"'),
        ({"enum": ["LONG", "S"]}, '"LONG"'),
        ({"enum": ["a", 1], "type": "integer"}, "1"),
        ({"type": "array", "minItems": 2, "items": {"type": "integer"}}, "[0,0]"),
        ({"type": "array", "minItems": 3, "uniqueItems": True}, '[null,0,""]'),
        (
            {"type": "array", "minItems": 2, "uniqueItems": True, "items": {"type": "boolean"}},
            "[false,true]",
        ),
        (
            {"type": "object", "minProperties": 1, "additionalProperties": {"type": "null"}},
            '{"a":null}',
        ),
        (
            {
                "type": "object",
                "minProperties": 2,
                "additionalProperties": False,
                "patternProperties": {"^x[0-9]$": {"type": "null"}},
            },
            '{"x0":null,"x1":null}',
        ),
        (
            {
                "type": "object",
                "minProperties": 10,
                "propertyNames": {"pattern": "^x[0-9]$"},
                "additionalProperties": {"type": "null"},
            },
            "{" + ",".join(f'"x{n}":null' for n in range(10)) + "}",
        ),
        (
            {
                "type": "array",
                "minItems": 9,
                "uniqueItems": True,
                "items": {"type": "string", "pattern": "^[a-c]{2}$"},
            },
            '["aa","ab","ac","ba","bb","bc","ca","cb","cc"]',
        ),
        ({"anyOf": [{"type": "array", "minItems": 9}, {"type": "integer"}]}, "0"),
        ({"oneOf": [{"type": "string"}, {"type": "string", "maxLength": 2}]}, '"   "'),
        (
            {
                "$defs": {
                    "n": {
                        "type": "object",
                        "properties": {"next": {"anyOf": [{"$ref": "#/$defs/n"}, {"const": 1}]}},
                        "required": ["next"],
                    }
                },
                "$ref": "#/$defs/n",
            },
            '{"next":1}',
        ),
    ],
)
def test_the_least_document_is_as_short_as_it_looks(raw: dict[str, Any], text: str) -> None:
    schema = Schema.parse(raw)
    assert least(schema) == text


@pytest.mark.parametrize(
    "raw",
    [
        {"$defs": {"n": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/n"}}},
         "$ref": "#/$defs/n"},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "string", "pattern": "^[^\\s\\S]$"},
        {"type": "array", "minItems": 3, "uniqueItems": True, "items": {"type": "boolean"}},
        {"type": "object", "required": ["a"], "additionalProperties": False},
    ],
)  # fmt: skip
def test_a_schema_that_nothing_satisfies_is_refused_and_still_closes(raw: dict[str, Any]) -> None:
    schema = Schema.parse(raw)
    with pytest.raises(UnsupportedSchema):
        least(schema)
    assert close("", schema).suffix == "null"


def test_what_was_looked_for_in_vain_is_not_missing_in_the_next_search() -> None:
    vain = {"type": "array", "minItems": 3, "uniqueItems": True, "items": {"type": "boolean"}}
    schema = Schema.parse({"type": "object", "properties": {"vain": vain, "null": {}}})
    known = Known(schema)
    for _ in range(MAX_STEPS):
        with pytest.raises(Unbuildable):
            known.least.value(schema.node(vain))
    assert known.least.value(schema.node({})) is None
