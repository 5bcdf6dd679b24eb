"""Small schemas that would take a server's whole time or memory, were they not bounded."""

from __future__ import annotations

from typing import Any

Raw = dict[str, Any]


def _tower(levels: int, ground: Raw, level: Any) -> Raw:
    """Definitions that each refer to the one below; `level` makes one of that reference."""
    defs: Raw = {"a0": ground}
    for n in range(1, levels):
        defs[f"a{n}"] = level({"$ref": f"#/$defs/a{n - 1}"})
    return {"$defs": defs, "$ref": f"#/$defs/a{levels - 1}"}


def _member(raw: Raw) -> Raw:
    return {"type": "object", "properties": {"a": raw}, "required": ["a"]}


def _pair(raw: Raw) -> Raw:
    return {"type": "object", "properties": {"x": raw, "y": raw}, "required": ["x", "y"]}


WIDE = "".join(chr(0x4E00 + 2 * n) for n in range(1900))
LAUGHS = _tower(24, {"type": "string"}, lambda below: {"anyOf": [below, below]})
KEYS: Raw = {
    "type": "object",
    "patternProperties": {"^(a+)+$": {"type": "string"}},
    "required": ["a" * 40 + "!"],
}

SERVED: dict[str, Raw] = {"a union that doubles at each level": LAUGHS, "a slow key pattern": KEYS}

REFUSED: dict[str, tuple[Raw, str]] = {
    "a product of unions": (
        {"allOf": [{"anyOf": [{"minLength": n}, {"maxLength": 100 + n}]} for n in range(20)]},
        "too much to be merged",
    ),
    "two lists of values": (
        {"allOf": [{"enum": list(range(9999))}, {"enum": list(range(9999, 0, -1))}]},
        "too much to be merged",
    ),
    "a part that is merged into many": (
        {
            "anyOf": [{"title": "a", "minLength": n} for n in range(5000)],
            "properties": {f"member number {n}": {"type": "string"} for n in range(5)},
            "patternProperties": {"^" + "a" * n: {} for n in range(50)},
        },
        "longer than 2000000",
    ),
    "a long way of references": (
        {
            "$defs": {
                "a0": {"type": "string"},
                **{f"a{n}": {"anyOf": [{"$ref": f"#/$defs/a{n - 1}"}]} for n in range(1, 900)},
            },
            "properties": {f"p{n}": {"$ref": f"#/$defs/a{n}"} for n in range(900)},
        },
        "larger than 64 levels",
    ),
    "many items": (_member({"type": "array", "minItems": 10**8}), "'minItems' may be at most"),
    "many members": (
        _member({"type": "object", "minProperties": 10**8}),
        "'minProperties' may be at most",
    ),
    "a long string": (
        _member({"type": "string", "minLength": 10**9}),
        "'minLength' may be at most",
    ),
    "members that double at each level": (
        _tower(24, {"type": "null"}, _pair),
        "no value of at most",
    ),
    "items that triple at each level": (
        _tower(24, {"type": "null"}, lambda raw: {"type": "array", "minItems": 3, "items": raw}),
        "no value of at most",
    ),
    "a large number": (_member({"type": "integer", "minimum": 10**4000}), "a double can hold"),
    "a large bound": (_member({"type": "string", "maxLength": 10**400}), "a double can hold"),
    "a large constant": (_member({"const": [10**400]}), "a double can hold"),
    "a pattern that is nested deeply": (
        _member({"type": "string", "pattern": "(" * 1900 + "a" + ")" * 1900}),
        "the pattern",
    ),
    "a long pattern": (_member({"type": "string", "pattern": "a" * 500_000}), "a pattern may be"),
    "patterns of many characters": (
        {
            "properties": {
                f"k{n}": {"pattern": f"[{chr(0x4E00 + n)}{WIDE}]{{100}}"} for n in range(100)
            }
        },
        "too large together",
    ),
    "many patterns of keys": (
        {"type": "object", "patternProperties": {f"^{n}": {} for n in range(3000)}},
        "'patternProperties' may be at most",
    ),
    "many values": ({"enum": list(range(100_000))}, "'enum' may have at most"),
    "many required members": (
        {"type": "object", "required": [f"k{n}" for n in range(60_000)]},
        "'required' may have at most",
    ),
}


def _optional(count: int) -> Raw:
    return {
        "type": "object",
        "properties": {f"member{n}": {"type": "string"} for n in range(count)},
    }


def _values(members: int, values: int) -> Raw:
    listed = {"enum": [f"value number {n}" for n in range(values)]}
    return {"type": "object", "properties": {f"a{n}": listed for n in range(members)}}


TOO_LARGE_FOR_A_GRAMMAR: dict[str, Raw] = {
    "many members that may be left out": _optional(5000),
    "many members deep within": _member(_member({"type": "array", "items": _optional(600)})),
    "many branches": {
        "anyOf": [
            {"type": "object", "properties": {f"a{n}": {"const": n}}, "required": [f"a{n}"]}
            for n in range(3000)
        ]
    },
    "many long lists of values": _values(5, 9000),
}
"""Accepted as schemas; an engine would take seconds to compile them, or fail while it writes."""

HARD_TO_EXPRESS: Raw = {
    "type": "object",
    "properties": {f"k{n}": {"type": "string", "pattern": f"^(?!a{n})"} for n in range(900)},
    "required": [f"k{n}" for n in range(900)],
}
"""Each keyword of it is one that no grammar expresses."""
