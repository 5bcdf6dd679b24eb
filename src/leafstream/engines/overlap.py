"""Whether a value may match two branches of a `oneOf`, which a grammar cannot count.

Told from types, from values of `enum` and `const`, and from those of a member that every branch
requires: a discriminator. What cannot be told apart so may overlap.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from leafstream.canonical import TYPES, RawSchema
from leafstream.pointer import Json
from leafstream.schema import Node, Schema

_NAMED = frozenset({"properties", "patternProperties", "$defs"})
_VALUES = frozenset({"enum", "const"})

Branch = tuple[Node, ...]
"""The plain nodes that one branch stands for."""


def may_overlap(schema: Schema) -> bool:
    """Whether the branches of any `oneOf` may have a value in common."""
    return not all(
        _are_disjoint([schema.node(raw).alternatives() for raw in place["oneOf"]])
        for place in _places(schema.source)
        if "oneOf" in place
    )


def _places(raw: Any) -> Iterator[RawSchema]:
    """All subschemas."""
    if isinstance(raw, list):
        yield from chain.from_iterable(map(_places, raw))
    if not isinstance(raw, dict):
        return
    yield raw
    for key, value in raw.items():
        if key in _NAMED:
            yield from chain.from_iterable(map(_places, value.values()))
        elif key not in _VALUES and not (key == "oneOf" and "anyOf" in raw):
            yield from _places(value)


def _are_disjoint(branches: list[Branch]) -> bool:
    nodes = list(chain.from_iterable(branches))
    return len(set(nodes)) == len(nodes) and all(
        _differ(same) or (kind == "object" and _have_discriminator(same))
        for kind, same in _by_type(branches)
    )


def _by_type(branches: list[Branch]) -> Iterator[tuple[str, list[Branch]]]:
    """For each type that several branches allow, what they say of it."""
    for kind in TYPES:
        of_kind = [tuple(node for node in branch if kind in node.types) for branch in branches]
        same = [branch for branch in of_kind if branch]
        if len(same) > 1:
            yield kind, same


def _differ(branches: list[Branch]) -> bool:
    """Whether each branch is a list of values, of which none is another's."""
    seen: set[tuple[bool, Json]] = set()
    for branch in branches:
        if any(node.allowed is None for node in branch):
            return False
        values = [value for node in branch for value in node.allowed or ()]
        if any(isinstance(value, list | dict) for value in values):
            return False
        # For Python, true is 1.
        own = {(isinstance(value, bool), value) for value in values}
        if seen & own:
            return False
        seen |= own
    return True


def _have_discriminator(branches: list[Branch]) -> bool:
    """Whether all require a member whose type or value tells which of them it is."""
    required = [set(node.required) for branch in branches for node in branch]
    return any(
        all(_differ(same) for _, same in _by_type([_members(branch, key) for branch in branches]))
        for key in set.intersection(*required)
    )


def _members(branch: Branch, key: str) -> Branch:
    found = (node.member(key) for node in branch)
    return tuple(chain.from_iterable(node.alternatives() for node in found if node is not None))
