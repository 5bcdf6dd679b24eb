"""The ways in which a scanned prefix can end, best first.

Theory of operation: what is open is a path of containers from the root to one unfinished value.
From the outside in, each container gets the plain nodes of the schema that what is finished in it
still allows; from the inside out, each of these nodes gets its few best endings, made from those
of the container within: kept, put right, replaced or dropped. So the cost is the depth times the
number of alternatives, however unions are nested.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice

import msgspec

from leafstream.decoder.known import Known
from leafstream.decoder.leaf import Ending, Leaf
from leafstream.decoder.least import More, Unbuildable, dump
from leafstream.decoder.scan import Frame, Kind, Scan
from leafstream.pointer import Json, join
from leafstream.schema import Node

MAX_CHECKED_DEPTH = 64
"""Deeper prefixes are not checked at each level: that would cost the square of the depth."""
MAX_ALIKE = 3
UNFINISHED = frozenset({Kind.VALUE, Kind.STRING, Kind.NUMBER, Kind.LITERAL})


class Endings:
    """The endings of one scanned prefix, of which a client holds `told`.

    A `thorough` search keeps more of them at each level.
    """

    def __init__(self, scan: Scan, known: Known, told: Json, *, thorough: bool) -> None:
        self._frames = scan.frames
        self._pending = scan.pending
        self._end = len(scan.text.rstrip())
        self._known = known
        self._is_checked = thorough and len(scan.frames) <= MAX_CHECKED_DEPTH
        self._limit = 1 if not thorough else 12 if self._is_checked else 2
        self._unfit: set[tuple[int, Node]] = set()
        self._paths = [""]
        for frame in scan.frames:
            self._paths.append(join(self._paths[-1], frame.token))
        self._levels = self._nodes()
        self._told = list(_along(told, scan.frames))

    def of_document(self) -> list[Ending]:
        """The endings of the whole, best first; at least one."""
        inner: dict[Node, list[Ending]] = {}
        root = self._known.schema.root
        if self._pending.kind in UNFINISHED:
            inner = self._leaf()
        for depth in reversed(range(len(self._frames))):
            inner = {node: self._container(depth, node, inner) for node in self._levels[depth]}
        found = [ending for endings in inner.values() for ending in endings]
        if not self._frames:
            found += self._replaced(0, root)
            found.append(Ending(self._pending.start, "null", None, missing=("",), broken=1))
        return sorted(found, key=lambda ending: ending.rank)

    # From the outside in.

    def _nodes(self) -> list[tuple[Node, ...]]:
        levels = [self._known.plain(self._known.schema.root)]
        for depth, frame in enumerate(self._frames):
            levels[depth] = self._fitting(depth, levels[depth])
            inner = (_member(node, frame) for node in levels[depth])
            plain = [p for node in inner if node is not None for p in self._known.plain(node)]
            levels.append(tuple(dict.fromkeys(plain)) or (self._known.free,))
        return levels

    def _fitting(self, depth: int, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        """The nodes that allow what is finished in a container; all where none does."""
        frame = self._frames[depth]
        kind = "object" if frame.is_object else "array"
        is_asked = len(nodes) > 1 or self._is_checked
        for node in nodes:
            is_fit = kind in node.types and node.allowed is None
            if is_fit and is_asked:
                is_fit = self._known.oracle.can_grow(node, frame.value)
            if not is_fit:
                self._unfit.add((depth, node))
        return tuple(node for node in nodes if (depth, node) not in self._unfit) or nodes

    def _is_told(self, depth: int) -> bool:
        """Whether the client holds anything of what is open at `depth`."""
        return depth < len(self._told)

    def _has_inner(self, depth: int) -> bool:
        return depth + 1 < len(self._frames) or self._pending.kind in UNFINISHED

    # From the inside out.

    def _leaf(self) -> dict[Node, list[Ending]]:
        nodes, depth = self._levels[-1], len(self._frames)
        if self._pending.kind is Kind.VALUE:
            return {node: self._replaced(depth, node) for node in nodes}
        told = self._told[-1] if self._is_told(depth) else ""
        leaf = Leaf(self._pending, self._paths[-1], nodes, self._known, told)
        return {node: leaf.endings(node, self._limit) for node in nodes}

    def _replaced(self, depth: int, node: Node | None) -> list[Ending]:
        """The least value in the place of what is at `depth`."""
        pending, is_leaf = self._pending, depth == len(self._frames)
        try:
            if node is None:
                return []
            value = self._known.least.value(node)
        except Unbuildable:
            return []
        is_new = is_leaf and pending.kind is Kind.VALUE
        return [
            Ending(
                pending.start if is_leaf else self._frames[depth].start,
                (pending.text if is_new else "") + dump(value),
                value,
                missing=(self._paths[depth],),
                taken=int(self._is_told(depth)),
                lost=int(not is_new),
            )
        ]

    def _container(self, depth: int, node: Node, inner: dict[Node, list[Ending]]) -> list[Ending]:
        endings: list[Ending] = []
        for part in self._parts(depth, node, inner):
            value = _with(self._frames[depth], part)
            endings += [
                self._closed(depth, node, part, value, more)
                for more in self._more(depth, node, value)
            ]
            # What the client has been told is not dropped while it may stay.
            is_kept = part.is_there and (self._is_told(depth + 1) or not part.missing)
            if self._limit == 1 and is_kept and not any(endings[-1].rank[:2]):
                break
        return list(islice(_various(endings), self._limit))

    def _parts(self, depth: int, node: Node, inner: dict[Node, list[Ending]]) -> Iterator[Ending]:
        """What may stand in a container behind its finished members."""
        frame = self._frames[depth]
        if not self._has_inner(depth):
            keep = frame.end if self._pending.kind is Kind.LOOSE else self._pending.keep
            yield Ending(keep, "", None, is_there=False)
            return
        place = _member(node, frame)
        kept = (e for plain in self._known.plain(place) for e in inner.get(plain, ()))
        for ending in sorted(kept, key=lambda ending: ending.rank):
            is_wrong = place is None or not self._is_one(place, ending.value)
            yield _broken(ending) if is_wrong else ending
        is_leaf = depth + 1 == len(self._frames)
        is_told = self._is_told(depth + 1)
        if (is_leaf and self._pending.kind is not Kind.VALUE) or (not is_leaf and not is_told):
            yield from self._replaced(depth + 1, place)
        # What a required container holds already is not thrown away to put an empty one there.
        if is_leaf or not is_told or not frame.is_object or frame.key not in node.required:
            yield Ending(frame.end, "", None, is_there=False, lost=1, taken=int(is_told))

    def _is_one(self, place: Node, value: Json) -> bool:
        oracle = self._known.oracle
        is_asked = self._is_checked or oracle.is_exclusive(place)
        return not is_asked or oracle.is_valid(place, value)

    def _more(self, depth: int, node: Node, value: Json) -> list[More | None]:
        """What can be added to a container to make it whole; None where nothing does."""
        if (depth, node) in self._unfit:
            return [None]
        try:
            return list(islice(self._known.least.additions(node, value), self._limit))
        except Unbuildable:
            return [None]

    def _closed(
        self, depth: int, node: Node, part: Ending, value: Json, more: More | None
    ) -> Ending:
        """The container at `depth`, closed behind `part` and what is added."""
        frame, path = self._frames[depth], self._paths[depth]
        is_broken = more is None
        more = more or []
        value = _extended(value, more)
        is_broken = is_broken or not self._holds(node, value, is_there=part.is_there)
        odd = 0
        if isinstance(value, dict) and len(self._levels[depth]) > 1:
            written = {frame.key, *value} if self._has_inner(depth) else value.keys()
            odd = sum(key not in node.keys for key in written)
        return Ending(
            part.keep,
            part.suffix + self._text(frame, more, is_first=not (frame.value or part.is_there)),
            value,
            missing=part.missing + tuple(join(path, token) for token, _ in more),
            cut=part.cut if part.is_there or more else self._left_out(depth, node, part.keep),
            broken=part.broken + is_broken,
            taken=part.taken,
            odd=part.odd + odd,
            lost=part.lost,
        )

    def _left_out(self, depth: int, node: Node, keep: int) -> tuple[str, ...]:
        """The container itself where more was begun behind `keep`, be it a comma, and may be."""
        is_begun = keep < self._end and _has_room(node, self._frames[depth])
        return (self._paths[depth],) if is_begun else ()

    def _text(self, frame: Frame, more: More, *, is_first: bool) -> str:
        pieces = [
            f"{dump(token)}:{dump(value)}" if frame.is_object else dump(value)
            for token, value in more
        ]
        comma = "," if pieces and not is_first else ""
        return comma + ",".join(pieces) + ("}" if frame.is_object else "]")

    def _holds(self, node: Node, value: Json, *, is_there: bool) -> bool:
        """Whether the bounds of a container hold; all of `node` where levels are checked."""
        raw = node.raw
        if self._is_checked:
            return self._known.oracle.is_valid(node, value)
        if isinstance(value, list):
            is_short = len(value) <= int(raw.get("maxItems", len(value)))
            return is_short and (not raw.get("uniqueItems") or self._known.oracle.are_unique(value))
        assert isinstance(value, dict)
        if len(value) > int(raw.get("maxProperties", len(value))):
            return False
        return (
            "propertyNames" not in raw or not is_there or self._known.oracle.can_grow(node, value)
        )


def _along(told: Json, frames: list[Frame]) -> Iterator[Json]:
    """What is told of each open container and of what is open in the innermost, from outside in."""
    if told is None:
        return
    yield told
    for frame in frames:
        token = frame.token
        if isinstance(told, dict) and token in told:
            told = told[str(token)]
        elif isinstance(told, list) and isinstance(token, int) and token < len(told):
            told = told[token]
        else:
            return
        yield told


def _member(node: Node, frame: Frame) -> Node | None:
    """The place of the member that is being written."""
    if frame.is_object:
        return node.member(frame.key) if "object" in node.types else None
    return node.item(len(frame.value)) if "array" in node.types else None


def _has_room(node: Node, frame: Frame) -> bool:
    """Whether a member can follow those that are finished."""
    value: Json = frame.value
    if isinstance(value, dict):
        most = int(node.raw.get("maxProperties", len(value) + 1))
        return len(value) < most and (node.open or any(key not in value for key in node.keys))
    assert isinstance(value, list)
    most = int(node.raw.get("maxItems", len(value) + 1))
    return len(value) < most and node.item(len(value)) is not None


def _with(frame: Frame, part: Ending) -> Json:
    """The value of a container up to and with `part`."""
    value: Json = frame.value
    if part.is_there and isinstance(value, dict):
        return {**value, frame.key: part.value}
    return [*value, part.value] if part.is_there and isinstance(value, list) else value


def _extended(value: Json, more: More) -> Json:
    if isinstance(value, dict):
        return {**value, **{str(token): inner for token, inner in more}}
    assert isinstance(value, list)
    return [*value, *(inner for _, inner in more)]


def _various(endings: list[Ending]) -> Iterator[Ending]:
    """The endings, best first, but not many that cost the same."""
    seen: Counter[tuple[int, ...]] = Counter()
    for ending in sorted(endings, key=lambda ending: ending.rank):
        cost = ending.rank[:-1]
        seen[cost] += 1
        if seen[cost] <= MAX_ALIKE:
            yield ending


def _broken(ending: Ending) -> Ending:
    return msgspec.structs.replace(ending, broken=ending.broken + 1)
