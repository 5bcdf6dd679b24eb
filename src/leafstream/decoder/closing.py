"""How to end a JSON document that the model could not finish, so that it is valid."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from leafstream.decoder.endings import Endings
from leafstream.decoder.known import Known
from leafstream.decoder.leaf import Ending
from leafstream.decoder.least import least, required
from leafstream.decoder.scan import Scan
from leafstream.events import Event, TextAppended, ValueSet
from leafstream.pointer import Json, join
from leafstream.schema import Node, Schema

__all__ = ["Closer", "Closing", "least"]


class Closing(msgspec.Struct, frozen=True):
    """prefix[: len(prefix) - drop] + suffix is valid JSON, and reads as `value`.

    `drop` is in characters. `missing` are the pointers that were filled in, `cut` those that the
    model was in the middle of and that are kept, `absent` the required members of containers that
    the model itself had closed: no suffix can add them. `events` bring a client from what it was
    told of the prefix to `value`.
    """

    drop: int
    suffix: str
    value: Json
    missing: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()


class Closer:
    """Closes documents of one schema; what it learns of the schema is kept."""

    def __init__(self, schema: Schema | None = None) -> None:
        self._schema = schema or Schema({})
        self._known = Known(self._schema)

    def close(self, prefix: str, told: Json) -> Closing:
        """The ending of `prefix`, valid for the schema wherever an ending can make it so.

        `told` is what a client holds of it by now. Raises ValueError only where `prefix` is not a
        prefix of strict JSON.
        """
        scan = Scan(prefix)
        if scan.done:
            whole = Ending(len(prefix), "", scan.value)
            absent = () if self._is_valid(whole) else tuple(self._absent(scan))
            return Closing(0, "", scan.value, absent=absent)
        endings = Endings(scan, self._known, told, thorough=False)
        found = list(filter(self._is_valid, endings.of_document()))
        if found and not found[0].taken:
            return self._closing(scan, found[0], told)
        every = Endings(scan, self._known, told, thorough=True).of_document()
        found += filter(self._is_valid, every)
        if found:
            return self._closing(scan, min(found, key=lambda e: e.rank), told)
        return self._closing(scan, every[0], told, tuple(self._absent(scan)))

    def _is_valid(self, ending: Ending) -> bool:
        return self._schema.is_valid(ending.value)

    def _closing(
        self, scan: Scan, ending: Ending, told: Json, absent: tuple[str, ...] = ()
    ) -> Closing:
        tokens = [frame.token for frame in scan.frames]
        return Closing(
            drop=len(scan.text) - ending.keep,
            suffix=ending.suffix,
            value=ending.value,
            missing=ending.missing,
            cut=ending.cut,
            absent=absent,
            events=tuple(_changes(told, ending.value, tokens)),
        )

    def _absent(self, scan: Scan) -> Iterator[str]:
        """Required members that are not in the finished containers, in the document's order."""
        root = self._known.plain(self._schema.root)
        if scan.done:
            yield from self._lacking("", scan.value, root)
            return
        path, nodes = "", root
        for frame in scan.frames:
            for token, value in _entries(frame.value):
                yield from self._lacking(join(path, token), value, self._inner(nodes, token))
            path, nodes = join(path, frame.token), self._inner(nodes, frame.token)

    def _inner(self, nodes: tuple[Node, ...], token: str | int) -> tuple[Node, ...]:
        inner = [
            node.member(token) if isinstance(token, str) else node.item(token) for node in nodes
        ]
        return tuple(plain for node in inner if node for plain in self._known.plain(node))

    def _lacking(self, path: str, value: Json, nodes: tuple[Node, ...]) -> Iterator[str]:
        stack = [(path, value, nodes)]
        while stack:
            path, value, nodes = stack.pop()
            if not isinstance(value, dict | list) or self._is_any(nodes, value):
                continue
            if isinstance(value, dict):
                node = min(nodes, key=lambda n: _distance(n, value), default=None)
                nodes = (node,) if node else ()
                yield from (join(path, k) for n in nodes for k in required(n) if k not in value)
            stack += [
                (join(path, token), inner, self._inner(nodes, token))
                for token, inner in reversed(list(_entries(value)))
            ]

    def _is_any(self, nodes: tuple[Node, ...], value: Json) -> bool:
        return any(self._known.oracle.is_valid(node, value) for node in nodes)


def _entries(value: Json) -> Iterator[tuple[str | int, Json]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)


def _distance(node: Node, value: dict[str, Json]) -> tuple[bool, int, int]:
    """How far the alternative `node` is from what was written."""
    odd = sum(key not in node.keys for key in value)
    return "object" not in node.types, odd, sum(key not in value for key in node.required)


def _changes(told: Json, value: Json, tokens: list[str | int]) -> Iterator[Event]:
    """The events that make `value` of `told`; only what is on the way of `tokens` may differ."""
    if told is None:
        yield ValueSet("", value)
        return
    path = ""
    later: list[list[Event]] = []
    for token in tokens:
        if not _continues(told, value):
            break
        old, new = dict(_entries(told)), dict(_entries(value))
        later.append([ValueSet(join(path, key), new[key]) for key in new if key not in old])
        if token not in old:
            break
        path, told, value = join(path, token), old[token], new[token]
    if not _continues(told, value):
        yield from _replacement(path, told, value)
    for events in reversed(later):
        yield from events


def _continues(told: Json, value: Json) -> bool:
    """Whether both are containers of one kind, and all members of `told` have a successor."""
    if isinstance(told, dict) and isinstance(value, dict):
        return told.keys() <= value.keys()
    return isinstance(told, list) and isinstance(value, list) and len(told) <= len(value)


def _replacement(path: str, told: Json, value: Json) -> Iterator[Event]:
    if not isinstance(told, str) or not isinstance(value, str) or not value.startswith(told):
        if told != value:
            yield ValueSet(path, value)
    elif len(value) > len(told):
        yield TextAppended(path, value[len(told) :])
