"""What closing has to know of one schema, found once and kept from one closing to the next."""

from __future__ import annotations

from functools import cached_property

from leafstream.decoder.completion import Completion, Oracle
from leafstream.decoder.least import Least
from leafstream.pointer import Json
from leafstream.schema import Node, Schema


class Known:
    """One schema, with all that answers questions about it."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.oracle = Oracle(schema)
        self.completion = Completion(self.oracle)
        self.least = Least(schema, self.oracle, self.completion)
        self._spelled: dict[Node, tuple[Node, ...]] = {}

    @cached_property
    def free(self) -> Node:
        """The node of a place of which the schema says nothing."""
        return Schema({}).root

    def plain(self, node: Node | None) -> tuple[Node, ...]:
        """The plain nodes of a place; containers in an enum are spelled out member by member."""
        if node is None:
            return (self.free,)
        alternatives = node.alternatives()
        if all(plain.allowed is None for plain in alternatives):
            return alternatives
        return tuple(node for plain in alternatives for node in self._spell(plain))

    def _spell(self, node: Node) -> tuple[Node, ...]:
        known = self._spelled.get(node)
        if known is None:
            containers = [v for v in node.allowed or () if isinstance(v, dict | list)]
            known = (node, *(Schema(_spelled(value)).root for value in containers))
            self._spelled[node] = known
        return known


def _spelled(value: dict[str, Json] | list[Json]) -> dict[str, object]:
    if isinstance(value, list):
        prefix = {"prefixItems": [{"const": item} for item in value]} if value else {}
        return {"type": "array", **prefix, "items": False, "minItems": len(value)}
    members = {key: {"const": inner} for key, inner in value.items()}
    return {
        "type": "object",
        "properties": members,
        "required": list(value),
        "additionalProperties": False,
    }
