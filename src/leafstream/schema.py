"""JSON Schema (2020-12) as leafstream serves it: accepted whole or refused by name.

What an engine's grammar cannot express of an accepted schema is checked after generation, by
`Schema.errors`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import jsonschema_rs

from leafstream.canonical import TYPES, RawSchema, canonical
from leafstream.errors import UnsupportedSchema
from leafstream.pointer import Json, join

MAX_BRANCHES = 100_000
"""Branches of all unions, each with those of the unions within it."""


class Node:
    """What the schema says of one place in the answer. Either a union (`branches`) or plain.

    `types` is the set of JSON types allowed ("integer" is not implied by "number" here: both are
    listed where both are allowed). `allowed` are the values of enum or const, None without one.
    """

    __slots__ = (
        "_additional",
        "_items",
        "_patterns",
        "_prefix",
        "_properties",
        "_schema",
        "allowed",
        "branches",
        "raw",
        "required",
        "types",
    )

    def __init__(self, raw: RawSchema | bool, schema: Schema) -> None:
        self.raw: RawSchema = raw if isinstance(raw, dict) else {}
        self._schema = schema
        self.types = _types(self.raw) if raw is not False else frozenset()
        self.allowed = _allowed(self.raw)
        self.required: tuple[str, ...] = tuple(self.raw.get("required", ()))
        self._properties: dict[str, RawSchema] = self.raw.get("properties", {})
        self._patterns: dict[str, RawSchema] = self.raw.get("patternProperties", {})
        self._additional: RawSchema | bool = self.raw.get("additionalProperties", True)
        self._prefix: list[RawSchema] = self.raw.get("prefixItems", [])
        self._items: RawSchema | bool = self.raw.get("items", True)
        self.branches: tuple[Node, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The declared member names in the schema's order."""
        return tuple(self._properties)

    @property
    def open(self) -> bool:
        """Whether members that are not declared are allowed."""
        return self._additional is not False or bool(self._patterns)

    def member(self, key: str) -> Node | None:
        """The node of a member; None where the schema forbids it."""
        if key in self._properties:
            return self._schema.node(self._properties[key])
        for pattern, raw in self._patterns.items():
            if self._schema.matches(pattern, key):
                return self._schema.node(raw)
        return self._schema.node(self._additional) if self._additional is not False else None

    def item(self, index: int) -> Node | None:
        """The node of an array's item; None where the schema forbids it."""
        if index < len(self._prefix):
            return self._schema.node(self._prefix[index])
        return self._schema.node(self._items) if self._items is not False else None

    def alternatives(self) -> tuple[Node, ...]:
        """The plain nodes this one stands for: its branches, flattened, or itself."""
        return self.branches or (self,)


class Schema:
    """An accepted schema. `source` is its canonical form, safe to hand to any engine.

    Its nodes and its validator are made when they are asked for: an engine asks for neither, and
    every answer may have a schema of its own for its engine.
    """

    def __init__(self, source: RawSchema) -> None:
        self.source = source
        self._nodes: dict[int, Node] = {}
        self._num_branches = 0
        self._matchers: dict[str, jsonschema_rs.Draft202012Validator] = {}

    @cached_property
    def root(self) -> Node:
        return self.node(self.source)

    @cached_property
    def _free(self) -> Node:
        return Node(True, self)

    @cached_property
    def _never(self) -> Node:
        return Node(False, self)

    @cached_property
    def _validator(self) -> jsonschema_rs.Draft202012Validator:
        return jsonschema_rs.Draft202012Validator(self.source, validate_formats=True)

    @classmethod
    def parse(cls, raw: object) -> Schema:
        """The accepted form of `raw`. Raises UnsupportedSchema with the keyword and its path."""
        source = canonical(raw)
        schema = cls(source)
        # So that what is too large is refused here, and not met in the middle of an answer.
        try:
            schema.root, schema._validator  # noqa: B018
        except (jsonschema_rs.ValidationError, ValueError) as error:
            raise UnsupportedSchema(f"not a usable JSON Schema: {error}", param="") from None
        for definition in source.get("$defs", {}).values():
            schema.node(definition)
        return schema

    def node(self, raw: RawSchema | bool) -> Node:
        """The (shared) node of a subschema of `source`, its references resolved."""
        if isinstance(raw, bool):
            return self._free if raw else self._never
        known = self._nodes.get(id(raw))
        if known is not None:
            return known
        if "$ref" in raw:
            node = self.node(self.source["$defs"][raw["$ref"].removeprefix("#/$defs/")])
        else:
            node = Node(raw, self)
        self._nodes[id(raw)] = node
        if not node.branches and "anyOf" in node.raw:
            node.branches = self._flattened(node.raw["anyOf"])
        return node

    def _flattened(self, union: list[RawSchema | bool]) -> tuple[Node, ...]:
        """The plain nodes of a union, each once however many ways lead to it."""
        plain: dict[Node, None] = {}
        for branch in union:
            alternatives = self.node(branch).alternatives()
            self._num_branches += len(alternatives)
            if self._num_branches > MAX_BRANCHES:
                raise UnsupportedSchema(
                    f"the unions have more than {MAX_BRANCHES} branches", param=""
                )
            plain.update(dict.fromkeys(alternatives))
        return tuple(plain)

    def named(self, raw: RawSchema) -> dict[str, RawSchema | bool]:
        """The definitions that a subschema leads to."""
        found: dict[str, RawSchema | bool] = {}
        waiting: list[Any] = [value for key, value in raw.items() if key != "$defs"]
        if "$ref" in raw:
            waiting.append(raw)
        while waiting:
            item = waiting.pop()
            if isinstance(item, list):
                waiting += item
            if not isinstance(item, dict):
                continue
            waiting += item.values()
            reference = item.get("$ref")
            name = reference.removeprefix("#/$defs/") if isinstance(reference, str) else ""
            if name not in found and name in self.source.get("$defs", ()):
                found[name] = self.source["$defs"][name]
                waiting.append(found[name])
        return found

    def matches(self, pattern: str, key: str) -> bool:
        """Whether a pattern of the schema is found in a member's name.

        The validator is asked: its search is bounded, and Python's is not.
        """
        known = self._matchers.get(pattern)
        if known is None:
            known = self._matchers[pattern] = jsonschema_rs.Draft202012Validator(
                {"pattern": pattern}
            )
        return known.is_valid(key)

    def errors(self, value: Json) -> list[tuple[str, str]]:
        """(path, message) of everything that is wrong with `value`; [] where it is valid."""
        return [
            ("".join(join("", token) for token in error.instance_path), error.message)
            for error in self._validator.iter_errors(value)
        ]

    def is_valid(self, value: Json) -> bool:
        return self._validator.is_valid(value)


def _types(raw: RawSchema) -> frozenset[str]:
    given = raw.get("type")
    names = set(TYPES if given is None else [given] if isinstance(given, str) else given)
    if "number" in names:
        names.add("integer")
    if "enum" in raw or "const" in raw:
        names &= {type_of(value) for value in _allowed(raw) or ()}
    return frozenset(names)


def type_of(value: Json) -> str:
    """The narrowest JSON type of a value: a number without a fraction is an integer."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return "integer"
    if isinstance(value, float):
        return "number"
    return {str: "string", list: "array", dict: "object"}[type(value)]


def _allowed(raw: RawSchema) -> tuple[Json, ...] | None:
    if "const" in raw:
        return (raw["const"],)
    if "enum" in raw:
        return tuple(raw["enum"])
    return None
