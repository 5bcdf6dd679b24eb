"""Soft landing: bounds that make a model end each field by itself before the room runs out.

Where the strings that a schema allows could take more tokens than there are, their `maxLength`
(and, where that is not enough, `maxItems`) is lowered in the grammar, so that the room is shared
out and no field is missing for another's length. The answer's own schema stays as it was.
"""

from __future__ import annotations

from typing import Any

import msgspec

from leafstream.canonical import RawSchema
from leafstream.pointer import join
from leafstream.schema import Schema

READABLE = 24
"""Characters that every string gets before any gets more."""
UNBOUNDED_STRING = 2000
UNBOUNDED_ITEMS = 32
MAX_INLINED = 2000
MAX_DEPTH = 8

STRUCTURE_TOKENS = 2
NUMBER_TOKENS = 8
LITERAL_TOKENS = 1
ASCII_PER_TOKEN = 2.2
"""Characters of names and marks in JSON that one token holds."""


class Room(msgspec.Struct, frozen=True):
    """`tokens` to write in, at `chars_per_token` (a cautious guess from the prompt's own text).

    `least` is the shortest answer and how many tokens it takes: it tells what this schema's
    names and marks cost in this model's tokens.
    """

    tokens: int
    chars_per_token: float
    least: tuple[str, int] = ("", 0)

    def share(self, tokens: float) -> Room:
        return msgspec.structs.replace(self, tokens=max(0, int(tokens)))

    def measured(self) -> Room:
        """With no more characters to a token than the names of the schema take, in their script."""
        text, tokens = self.least
        ascii_ = sum(char.isascii() for char in text)
        if not text or ascii_ == len(text):
            return self
        foreign = (len(text) - ascii_) / max(tokens - ascii_ / ASCII_PER_TOKEN, 1.0)
        rate = max(0.3, min(self.chars_per_token, foreign))
        return msgspec.structs.replace(self, chars_per_token=rate)

    @property
    def chars(self) -> int:
        return int(self.tokens * self.chars_per_token)

    @property
    def chars_per_name_token(self) -> float:
        text, tokens = self.least
        return len(text) / tokens if text else ASCII_PER_TOKEN


class Landing(msgspec.Struct, frozen=True):
    """The schema for the grammar, and the bounds that were lowered, by pointer."""

    schema: Schema
    tightened: dict[str, int]


def land(schema: Schema, room: Room) -> Landing | None:
    """A schema whose longest answer fits the room; None where it fits already or cannot."""
    room = room.measured()
    work = _Landing(schema, room)
    if work.appetite(schema.source) <= room.tokens:
        return None
    tightened = work.fit(schema.source, room, "", 0)
    if not work.lowered:
        return None
    source = (
        {**tightened, "$defs": schema.source["$defs"]} if "$defs" in schema.source else tightened
    )
    return Landing(Schema(source), work.lowered)


class _Landing:
    def __init__(self, schema: Schema, room: Room) -> None:
        self._schema = schema
        self._rate = room.chars_per_token
        self._name_rate = room.chars_per_name_token
        self._inlined = 0
        self._open: list[str] = []
        self.lowered: dict[str, int] = {}

    def _resolved(self, raw: RawSchema | bool) -> RawSchema:
        return self._schema.node(raw).raw

    def appetite(self, raw: RawSchema | bool, depth: int = 0, *, modest: bool = False) -> float:
        """The most tokens that a value may take, cautiously; `modest`: that it should get first."""
        raw = self._resolved(raw)
        if depth > MAX_DEPTH:
            return NUMBER_TOKENS
        if "anyOf" in raw:
            return max(self.appetite(sub, depth + 1, modest=modest) for sub in raw["anyOf"])
        if "enum" in raw or "const" in raw:
            values = raw.get("enum", [raw.get("const")])
            return 1 + max(len(str(value)) for value in values) / self._rate
        return max(self._typed(raw, kind, depth, modest=modest) for kind in _kinds(raw))

    def _typed(self, raw: RawSchema, kind: str, depth: int, *, modest: bool) -> float:
        if kind == "string":
            longest: int = raw.get("maxLength", UNBOUNDED_STRING)
            chars = min(longest, max(raw.get("minLength", 0), READABLE)) if modest else longest
            return STRUCTURE_TOKENS + chars / self._rate
        if kind == "array":
            count = max(1, raw.get("minItems", 0)) if modest else _num_items(raw)
            return STRUCTURE_TOKENS + count * self._item(raw, depth, modest=modest)
        if kind == "object":
            return STRUCTURE_TOKENS + sum(
                self._key(name) + self.appetite(sub, depth + 1, modest=modest)
                for name, sub in raw.get("properties", {}).items()
            )
        return _num_digits(raw) if kind in ("integer", "number") else LITERAL_TOKENS

    def _item(self, raw: RawSchema, depth: int, *, modest: bool) -> float:
        return 1 + self.appetite(raw.get("items", True), depth + 1, modest=modest)

    def _key(self, name: str) -> float:
        return (len(name) + len('"":,')) / self._name_rate

    def fit(self, raw: RawSchema | bool, room: Room, path: str, depth: int) -> RawSchema:
        """The schema with its bounds lowered to the room."""
        reference = raw.get("$ref") if isinstance(raw, dict) else None
        resolved = self._resolved(raw)
        self._inlined += 1
        as_it_is = self._recurs(raw) or self._inlined > MAX_INLINED
        if as_it_is or self.appetite(raw, depth) <= room.tokens:
            return raw if isinstance(raw, dict) else {}
        if reference is not None:
            self._open.append(reference)
        try:
            return self._fit_resolved(resolved, room, path, depth)
        finally:
            if reference is not None:
                self._open.pop()

    def _fit_resolved(self, raw: RawSchema, room: Room, path: str, depth: int) -> RawSchema:
        raw = {name: value for name, value in raw.items() if name != "$defs"}
        if "anyOf" in raw:
            branches = [sub for sub in raw["anyOf"] if not self._recurs(sub)] or raw["anyOf"]
            return {"anyOf": [self.fit(sub, room, path, depth + 1) for sub in branches]}
        if "enum" in raw or "const" in raw:
            return raw
        fitted = raw
        for kind in _kinds(raw):
            if kind == "string":
                fitted = self._fit_string(fitted, room, path)
            elif kind == "object":
                fitted = self._fit_object(fitted, room, path, depth)
            elif kind == "array":
                fitted = self._fit_array(fitted, room, path, depth)
        return fitted

    def _fit_string(self, raw: RawSchema, room: Room, path: str) -> RawSchema:
        if "pattern" in raw or "format" in raw:
            return raw
        bound = max(raw.get("minLength", 0), room.chars - STRUCTURE_TOKENS, 1)
        if bound >= raw.get("maxLength", UNBOUNDED_STRING):
            return raw
        self.lowered[path] = bound
        return {**raw, "maxLength": bound}

    def _recurs(self, raw: RawSchema | bool) -> bool:
        """Whether a value of `raw` would lie within another of the same kind."""
        return isinstance(raw, dict) and raw.get("$ref") in self._open

    def _fit_object(self, raw: RawSchema, room: Room, path: str, depth: int) -> RawSchema:
        members = self._members(raw)
        keys = STRUCTURE_TOKENS + sum(map(self._key, members))
        shares = _shared(
            {name: self.appetite(sub, depth + 1, modest=True) for name, sub in members.items()},
            {name: self.appetite(sub, depth + 1) for name, sub in members.items()},
            room.tokens - keys,
        )
        fitted = {
            name: self.fit(sub, room.share(shares[name]), join(path, name), depth + 1)
            for name, sub in members.items()
        }
        return {**raw, "properties": fitted} if "properties" in raw else raw

    def _members(self, raw: RawSchema) -> dict[str, Any]:
        """The members that are kept: not those that may be left out and only lead deeper."""
        members: dict[str, Any] = raw.get("properties", {})
        if raw.get("additionalProperties", False) is not False:
            return members
        needed = raw.get("required", ())
        return {n: sub for n, sub in members.items() if n in needed or not self._recurs(sub)}

    def _fit_array(self, raw: RawSchema, room: Room, path: str, depth: int) -> RawSchema:
        if "prefixItems" in raw or "items" not in raw:
            return raw
        left = room.tokens - STRUCTURE_TOKENS
        least, most = raw.get("minItems", 0), _num_items(raw)
        count = max(least, min(most, int(left / self._item(raw, depth, modest=True))), 1)
        if self._recurs(raw["items"]):
            count = least
        if count < most:
            self.lowered[path] = count
            raw = {**raw, "maxItems": count}
        if count == 0:
            return raw
        each = self.fit(raw["items"], room.share(left / count - 1), join(path, "*"), depth + 1)
        return {**raw, "items": each}


def _num_digits(raw: RawSchema) -> int:
    """The tokens of a number, of which many models write each digit as one."""
    if raw.get("type") != "integer" or "minimum" not in raw or "maximum" not in raw:
        return NUMBER_TOKENS
    return max(len(str(raw["minimum"])), len(str(raw["maximum"])))


def _num_items(raw: RawSchema) -> int:
    least: int = raw.get("minItems", 0)
    most: int = raw.get("maxItems", max(UNBOUNDED_ITEMS, least))
    return most


def _kinds(raw: RawSchema) -> list[str]:
    kinds = raw.get("type", "string")
    return [kinds] if isinstance(kinds, str) else kinds


def _shared(modest: dict[str, float], wants: dict[str, float], room: float) -> dict[str, float]:
    """The room shared out: what is modest first, then what is left in proportion to wants."""
    first, most = sum(modest.values()), sum(wants.values())
    if room <= first:
        return {name: max(0.0, room * share / first) for name, share in modest.items()}
    extra = min(1.0, (room - first) / (most - first)) if most > first else 0.0
    return {name: share + (wants[name] - share) * extra for name, share in modest.items()}
