"""The least value of a schema: what stands for a part that the model did not write."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain, count, islice
from typing import Any

from leafstream.bounds import MAX_ANSWER_CHARS
from leafstream.decoder.completion import Completion, Oracle
from leafstream.errors import UnsupportedSchema
from leafstream.pointer import Json
from leafstream.schema import Node, Schema

MAX_DEPTH = 100
"""Levels of a least value; deeper ones would meet Python's recursion limit."""
MAX_SAMPLES = 256
FEW = 3
"""Other values to try of a part that need not be there."""
MAX_STEPS = 20_000
BASIC = frozenset(
    "type enum const properties required additionalProperties minLength maxLength items prefixItems"
    " minItems minimum maximum exclusiveMinimum exclusiveMaximum anyOf $defs".split()
)
"""Keywords that a value made here always satisfies; all others are checked."""


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


More = list[tuple[str | int, Json]]
"""Members or items to be added to a container."""


class Unbuildable(Exception):
    """No value was found."""


def dump(value: Json) -> str:
    """`value` as compact JSON."""
    return _encode(value)


def least(schema: Schema) -> str:
    """The shortest compact JSON document for `schema` that we can construct.

    An enum gives its first value, and null is preferred where it is allowed. Raises
    UnsupportedSchema where nothing was found.
    """
    oracle = Oracle(schema)
    try:
        value = Least(schema, oracle, Completion(oracle)).value(schema.root)
    except Unbuildable:
        raise UnsupportedSchema(
            f"no value of at most {MAX_ANSWER_CHARS} characters was found that this schema allows"
        ) from None
    return dump(value)


class Least:
    """Finds least values of nodes, and more values where they must differ."""

    def __init__(self, schema: Schema, oracle: Oracle, completion: Completion) -> None:
        self._schema = schema
        self._oracle = oracle
        self._completion = completion
        self._known: dict[Node, Json] = {}
        self._sizes: dict[Node, int] = {}
        self._open: dict[Node, None] = {}
        self._steps = 0
        self._hopeless: set[Node] = set()

    def value(self, node: Node) -> Json:
        """The least value of `node`. Raises Unbuildable where none is found."""
        if node in self._known:
            return self._known[node]
        if self._open:
            return self._found(node)
        if node in self._hopeless:
            raise Unbuildable
        self._steps = 0  # each question has its own: what one took is not missing in the next
        try:
            return self._found(node)
        except Unbuildable:
            self._hopeless.add(node)
            raise

    def _found(self, node: Node) -> Json:
        self._steps += 1
        if node in self._open or len(self._open) >= MAX_DEPTH or self._steps > MAX_STEPS:
            raise Unbuildable
        self._open[node] = None
        try:
            value = next(self.values(node))
        except StopIteration:
            raise Unbuildable from None
        finally:
            del self._open[node]
        size = len(dump(value))
        if size > MAX_ANSWER_CHARS:
            raise Unbuildable
        self._known[node], self._sizes[node] = value, size
        return value

    def values(self, node: Node) -> Iterator[Json]:
        """Valid values, the least first."""
        found = self._union(node) if node.branches else self._plain(node)
        if node.raw.keys() <= BASIC and not self._oracle.is_exclusive(node):
            return found
        return (v for v in islice(found, MAX_SAMPLES) if self._oracle.is_valid(node, v))

    def _union(self, node: Node) -> Iterator[Json]:
        return _shortest_first([self.values(branch) for branch in node.branches], self._guarded)

    def _guarded(self, values: Iterator[Json]) -> list[Json]:
        try:
            return [next(values)]
        except (StopIteration, Unbuildable):
            return []

    def _plain(self, node: Node) -> Iterator[Json]:
        if node.allowed is not None:
            return (v for v in node.allowed if self._oracle.is_valid(node, v))
        kinds: list[Iterator[Json]] = []
        if "null" in node.types:
            kinds.append(iter((None,)))
        if "string" in node.types:
            kinds.append(self._completion.of(node))
        if "integer" in node.types:
            kinds.append(numbers(node))
        if "boolean" in node.types:
            kinds.append(iter((False, True)))
        if "array" in node.types:
            kinds.append(self._arrays(node))
        if "object" in node.types:
            kinds.append(self._objects(node))
        return kinds[0] if len(kinds) == 1 else _shortest_first(kinds, self._guarded)

    def _arrays(self, node: Node) -> Iterator[Json]:
        return ([item for _, item in more] for more in self.additions(node, []))

    def _objects(self, node: Node) -> Iterator[Json]:
        return ({str(key): member for key, member in more} for more in self.additions(node, {}))

    def additions(self, node: Node, value: Json) -> Iterator[More]:
        """What makes a begun container whole, the least first; then other values, then more.

        Raises Unbuildable where a required part cannot be made.
        """
        if isinstance(value, dict):
            more: More = list(self.more_members(node, value).items())
        else:
            assert isinstance(value, list)
            more = list(enumerate(self.more_items(node, value), len(value)))
        yield more
        for index, (token, _) in enumerate(more):
            for other in self._others(_inner(node, token)):
                yield [*more[:index], (token, other), *more[index + 1 :]]
        yield from self._longer(node, value, more)

    def _longer(self, node: Node, value: Json, more: More) -> Iterator[More]:
        if isinstance(value, dict):
            for key in self._more_keys(node, {**value, **dict(more)}):  # type: ignore[arg-type]
                inner = node.member(key)
                for member in self._first(inner):
                    yield [*more, (key, member)]
                    yield from ([*more, (key, v)] for v in islice(self._others(inner), FEW))
                    more = [*more, (key, member)]
        elif isinstance(value, list):
            items = value + [item for _, item in more]
            while item := self._item(node, items):
                index = len(items)
                yield [*more, (index, item[0])]
                others = islice(self._others(node.item(index)), FEW)
                yield from ([*more, (index, v)] for v in others)
                more = [*more, (index, item[0])]
                items = items + item

    def _first(self, node: Node | None) -> list[Json]:
        return self._guarded(self.values(node)) if node is not None else []

    def _others(self, node: Node | None) -> Iterator[Json]:
        try:
            yield from islice(self.values(node), 1, MAX_SAMPLES) if node is not None else ()
        except Unbuildable:
            return

    def more_items(self, node: Node, items: list[Json]) -> list[Json]:
        """What to append to `items` up to `minItems`. Raises Unbuildable."""
        whole, left = list(items), MAX_ANSWER_CHARS
        while len(whole) < node.raw.get("minItems", 0):
            item = self._item(node, whole)
            left -= self._size(node.item(len(whole)))
            if not item or left < 0:
                raise Unbuildable
            whole += item
        return whole[len(items) :]

    def _size(self, node: Node | None) -> int:
        """The characters of the least value of a part that was made; 1 where that was another."""
        return self._sizes.get(node, 1) if node is not None else 1

    def _item(self, node: Node, items: list[Json]) -> list[Json]:
        """One more item, where one may follow `items`."""
        inner = node.item(len(items))
        if inner is None:
            return []
        if not node.raw.get("uniqueItems"):
            try:
                return [self.value(inner)]
            except Unbuildable:
                return []
        for value in chain(self._first(inner), self._others(inner)):
            if self._oracle.are_unique([*items, value]):
                return [value]
        return []

    def more_members(self, node: Node, members: dict[str, Json]) -> dict[str, Json]:
        """What to add to `members`: the required, then any up to `minProperties`.

        Raises Unbuildable.
        """
        added: dict[str, Json] = {}
        left = MAX_ANSWER_CHARS
        for key in required(node):
            if key not in members:
                inner = node.member(key)
                if inner is None:
                    raise Unbuildable
                added[key] = self.value(inner)
                left -= len(key) + self._size(inner)
                if left < 0:
                    raise Unbuildable
        short = node.raw.get("minProperties", 0) - len(members) - len(added)
        if short > 0:
            for key in self._more_keys(node, {**members, **added}):
                for value in self._first(node.member(key)):
                    added[key] = value
                    short -= 1
                if short <= 0:
                    break
            else:
                raise Unbuildable
        return added

    def _more_keys(self, node: Node, members: dict[str, Json]) -> Iterator[str]:
        """Keys that may be added: the declared ones, those of patterns, any."""
        sources: list[Iterable[str]] = [node.keys]
        for pattern in node.raw.get("patternProperties", ()):
            named = Schema({"type": "string", "pattern": pattern}).root
            sources.append(islice(self._completion.of(named), MAX_SAMPLES))
        if "propertyNames" in node.raw:
            names = self._schema.node(node.raw["propertyNames"]).alternatives()
            sources += [islice(self._completion.of(named), MAX_SAMPLES) for named in names]
        else:
            sources.append("a" * size for size in range(1, MAX_SAMPLES))
        return (key for key in chain.from_iterable(sources) if key not in members)


def _inner(node: Node, token: str | int) -> Node | None:
    return node.member(token) if isinstance(token, str) else node.item(token)


def required(node: Node) -> list[str]:
    """The required keys: the declared ones in their order, then the others."""
    keys = node.keys
    needed = set(node.required)
    declared = set(keys)
    return [k for k in keys if k in needed] + [k for k in node.required if k not in declared]


def _shortest_first(kinds: list[Iterator[Json]], first: Any) -> Iterator[Json]:
    """All of `kinds`, in the order of their first values: null, then by length."""
    begun = []
    for kind in kinds:
        for value in first(kind):
            begun.append((value is not None, len(dump(value)), value, kind))
            if value is None:
                yield None
    begun.sort(key=lambda entry: entry[:2])
    for _, _, value, _ in begun:
        if value is not None:
            yield value
    rest = [kind for _, _, _, kind in begun]
    while rest:
        # In turns: one of them may have no end.
        for kind in tuple(rest):
            try:
                yield next(kind)
            except StopIteration:
                rest.remove(kind)


def fits(node: Node, value: float) -> bool:
    """Whether the number is within the bounds of `node` and of its type."""
    raw = node.raw
    if "integer" not in node.types or (
        "number" not in node.types and not float(value).is_integer()
    ):
        return False
    return (
        raw.get("minimum", value) <= value <= raw.get("maximum", value)
        and not ("exclusiveMinimum" in raw and value <= raw["exclusiveMinimum"])
        and not ("exclusiveMaximum" in raw and value >= raw["exclusiveMaximum"])
        and not ("multipleOf" in raw and _exactly(value) % _exactly(raw["multipleOf"]))
    )


def numbers(node: Node) -> Iterator[Json]:
    """Numbers within the bounds of `node`: 0 or the nearest to it first."""
    for step in _steps(node):
        yield from islice((v for v in _multiples(node, step) if fits(node, v)), MAX_SAMPLES)


def _exactly(value: float) -> Fraction:
    return Fraction(repr(value))


def _steps(node: Node) -> list[Fraction]:
    """The distances of numbers to try; a value of `multipleOf` is the only one."""
    whole = "number" not in node.types
    if "multipleOf" in node.raw:
        step = _exactly(node.raw["multipleOf"])
        return [Fraction(step.numerator) if whole else step]
    return [Fraction(1)] if whole else [Fraction(1, 10**n) for n in (0, 1, 2, 4, 8, 16)]


def _multiples(node: Node, step: Fraction) -> Iterator[int | float]:
    raw = node.raw
    low = [_exactly(raw[key]) for key in ("minimum", "exclusiveMinimum") if key in raw]
    high = [_exactly(raw[key]) for key in ("maximum", "exclusiveMaximum") if key in raw]
    first = max(-(-max(low) // step), 0) if low else 0
    if high and min(high) < 0:
        first = min(high) // step
    up = islice(count(first), MAX_SAMPLES)
    down = islice(count(first - 1, -1), MAX_SAMPLES)
    for factor in chain(up, down):
        value = factor * step
        yield int(value) if value.denominator == 1 else float(value)
