"""What is merged is no wider than what the caller wrote."""

from __future__ import annotations

from typing import Any

import pytest

from leafstream.errors import UnsupportedSchema
from leafstream.pointer import Json
from leafstream.schema import Schema


@pytest.mark.parametrize(
    "raw",
    [
        {"allOf": [{"enum": [0, 1]}, {"enum": [False, True]}]},
        {"const": 1, "allOf": [{"const": True}]},
        {
            "type": "object",
            "additionalProperties": False,
            "$ref": "#/$defs/days",
            "$defs": {"days": {"patternProperties": {"^day_": {"type": "integer"}}}},
        },
    ],
)
def test_what_cannot_be_merged_as_it_is_meant_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedSchema):
        Schema.parse(raw)


def test_values_that_are_equal_in_json_are_common() -> None:
    schema = Schema.parse(
        {"allOf": [{"enum": [1, True, {"a": [1]}]}, {"enum": [{"a": [1.0]}, 1.0]}]}
    )
    values: list[Json] = [1, True, {"a": [1]}]
    assert [schema.is_valid(value) for value in values] == [True, False, True]
