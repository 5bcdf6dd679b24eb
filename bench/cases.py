"""Twelve answer types, one for each way in which a schema can be hard to finish in time."""

from __future__ import annotations

from typing import Any

import msgspec


class Case(msgspec.Struct, frozen=True):
    name: str
    question: str
    schema: dict[str, Any]


def _object(**members: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def _text(longest: int | None = None) -> dict[str, Any]:
    return {"type": "string"} if longest is None else {"type": "string", "maxLength": longest}


def _list(items: Any, least: int, most: int | None = None) -> dict[str, Any]:
    bounds = {"minItems": least} if most is None else {"minItems": least, "maxItems": most}
    return {"type": "array", "items": items, **bounds}


_CHALLENGE = _object(title=_text(60), description=_text(160))
_OPTIONAL = {
    "type": "object",
    "properties": {
        "name": _text(40),
        "nickname": {"type": ["string", "null"], "maxLength": 30},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "hobbies": _list(_text(30), 0, 4),
        "email": {"type": ["string", "null"], "maxLength": 60},
        "about": _text(200),
    },
    "required": ["name", "nickname"],
    "additionalProperties": False,
}
_EVENT = {
    "anyOf": [
        _object(
            kind={"const": "meeting"},
            people=_list(_text(30), 1, 4),
            minutes={"type": "integer", "minimum": 5, "maximum": 480},
        ),
        _object(
            kind={"const": "trip"},
            place=_text(40),
            days={"type": "integer", "minimum": 1, "maximum": 60},
        ),
        _object(kind={"const": "note"}, text=_text(200)),
    ]
}
_COMMENT = {
    "type": "object",
    "properties": {
        "author": _text(30),
        "text": _text(120),
        "replies": _list({"$ref": "#/$defs/comment"}, 0, 2),
    },
    "required": ["author", "text", "replies"],
    "additionalProperties": False,
}

CASES = (
    Case(
        "flat",
        "Tell me about a book you like.",
        _object(
            title=_text(80),
            summary=_text(200),
            year={"type": "integer", "minimum": 1500, "maximum": 2030},
        ),
    ),
    Case(
        "nested",
        "Describe a city and its people.",
        _object(
            city=_object(name=_text(40), country=_object(name=_text(40), continent=_text(20))),
            people=_object(language=_text(30), food=_object(dish=_text(40), taste=_text(80))),
        ),
    ),
    Case(
        "unbounded",
        "Tell me a story about a cup.",
        _object(opening=_text(), middle=_text(), ending=_text(), moral=_text()),
    ),
    Case(
        "arrays",
        "Recommend three zero waste challenges.",
        _object(recommend=_text(160), challenges=_list(_CHALLENGE, 3, 3)),
    ),
    Case(
        "open arrays",
        "List things to pack for a week at the sea.",
        _object(clothes=_list(_text(), 2), tools=_list(_text(), 2), food=_list(_text(), 2)),
    ),
    Case(
        "enums",
        "How hard is it to ride a bicycle, and when do people do it?",
        _object(
            difficulty={"enum": ["easy", "medium", "hard"]},
            season={"enum": ["spring", "summer", "autumn", "winter"]},
            category={"enum": ["ZERO_WASTE", "ZERO_CARBON", "TRANSPORT"]},
            points={"enum": [1, 2, 3, 5, 8]},
            reason=_text(120),
        ),
    ),
    Case(
        "numbers",
        "Give the measures of a wooden table.",
        _object(
            height={"type": "number", "minimum": 10, "maximum": 200},
            width={"type": "number", "exclusiveMinimum": 0},
            legs={"type": "integer", "minimum": 3, "maximum": 8},
            price={"type": "number", "minimum": 0, "multipleOf": 0.01},
            weights=_list({"type": "integer", "minimum": 1, "maximum": 99}, 3, 6),
        ),
    ),
    Case("optional", "Introduce yourself as a gardener.", _OPTIONAL),
    Case(
        "unions",
        "What happens on Monday, Tuesday and Wednesday?",
        _object(events=_list(_EVENT, 2, 4)),
    ),
    Case(
        "Korean keys",
        "Recommend a drink and a place to drink it.",
        _object(
            추천=_text(100),
            이유=_text(160),
            장소=_object(이름=_text(40), 거리={"type": "integer", "minimum": 0}),
            등급={"enum": ["쉬움", "보통", "어려움"]},
        ),
    ),
    Case(
        "40 fields",
        "Fill in the form for a new bicycle.",
        _object(
            **{f"field_{n:02}": _text(24) if n % 4 else {"type": "integer"} for n in range(40)}
        ),
    ),
    Case(
        "recursion",
        "Write a comment on a recipe, with replies.",
        {**_COMMENT, "$defs": {"comment": _COMMENT}},
    ),
)
