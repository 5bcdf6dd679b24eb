"""What the schema says of each place in a document, in the form that decoding asks for."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator

from leafstream.canonical import TYPES
from leafstream.pointer import Json
from leafstream.schema import Node, Schema


class Words:
    """The only strings allowed in a place. `decided` are their shortest unmistakable beginnings."""

    __slots__ = ("all", "decided")

    def __init__(self, words: tuple[str, ...]) -> None:
        self.all = frozenset(words)
        self.decided = tuple(_decided(sorted(self.all)))


def _decided(words: list[str]) -> Iterator[str]:
    """Of each of the sorted words its shortest beginning that no other has, where there is one."""
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        size = max(_num_shared(before, word), _num_shared(word, after))
        if size < len(word):
            yield word[: size + 1]


def _num_shared(left: str, right: str) -> int:
    size = 0
    for mine, other in zip(left, right, strict=False):
        if mine != other:
            break
        size += 1
    return size


class _Places:
    """The places of a document: by the nodes they stand for, and each by the one it lies in.

    Places do not hold each other: a cycle in every answer would wait for the collector.
    """

    __slots__ = ("__weakref__", "all", "inner")

    def __init__(self) -> None:
        self.all: dict[tuple[int, ...], Spot] = {}
        self.inner: dict[tuple[int, str | int], Spot] = {}


class Spot:
    """One place: the JSON types it takes, the words it takes, its members' and items' places.

    `bound` is how many characters a string may have here: sys.maxsize where nothing says so. A
    place lasts as long as its document's root does.
    """

    __slots__ = (
        "_nodes",
        "_own",
        "_places",
        "bound",
        "keys",
        "open",
        "types",
        "words",
    )

    def __init__(self, nodes: tuple[Node, ...] | None, places: weakref.ref[_Places]) -> None:
        self._nodes = nodes
        self._places = places
        self._own: _Places | None = None
        objects = [node for node in nodes or () if "object" in node.types]
        self.types: frozenset[str] = frozenset(TYPES if nodes is None else ()).union(
            *(n.types for n in nodes or ())
        )
        self.words = _words(nodes or ())
        self.bound = max(map(_bound, self._of("string")), default=sys.maxsize)
        self.keys = frozenset(key for node in objects for key in node.keys)
        self.open = nodes is None or any(node.open for node in objects)

    @classmethod
    def root(cls, schema: Schema | None) -> Spot:
        """The place of the whole document."""
        places = _Places()
        root = cls(schema.root.alternatives() if schema else None, weakref.ref(places))
        root._own = places
        return root

    def member(self, key: str) -> Spot:
        """The place of a member; one that the schema forbids takes anything."""
        if self._nodes is None:
            return self
        places = self._known()
        spot = places.inner.get((id(self), key))
        if spot is None:
            spot = self._join(places, [node.member(key) for node in self._of("object")])
            if key in self.keys:
                places.inner[id(self), key] = spot
        return spot

    def item(self, index: int) -> Spot:
        """The place of an array's item."""
        if self._nodes is None:
            return self
        places = self._known()
        spot = places.inner.get((id(self), index))
        if spot is None:
            spot = self._join(places, [node.item(index) for node in self._of("array")])
            if index < 64:
                places.inner[id(self), index] = spot
        return spot

    def _known(self) -> _Places:
        places = self._places()
        assert places is not None, "a place lasts as long as its document's root"
        return places

    def wants(self, *types: str) -> bool:
        """Whether the place takes one of `types` and no string."""
        return "string" not in self.types and not self.types.isdisjoint(types)

    def _of(self, kind: str) -> list[Node]:
        return [node for node in self._nodes or () if kind in node.types]

    def _join(self, places: _Places, nodes: list[Node | None]) -> Spot:
        plain = tuple(dict.fromkeys(p for node in nodes if node for p in node.alternatives()))
        ids = tuple(map(id, plain))
        spot = places.all.get(ids)
        if spot is None:
            spot = places.all[ids] = Spot(plain or None, self._places)
        return spot


def _words(nodes: tuple[Node, ...]) -> Words | None:
    allowed: list[Json] = []
    for node in nodes:
        if "string" in node.types:
            if node.allowed is None:
                return None
            allowed += node.allowed
    words = tuple(word for word in allowed if isinstance(word, str))
    return Words(words) if words else None


def _bound(node: Node) -> int:
    if node.allowed is None:
        return int(node.raw.get("maxLength", sys.maxsize))
    return max(len(word) for word in node.allowed if isinstance(word, str))
