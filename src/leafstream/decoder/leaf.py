"""The ways in which an unfinished string, number or literal can end."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from types import UnionType

import msgspec

from leafstream.decoder.known import Known
from leafstream.decoder.least import dump, fits
from leafstream.decoder.scan import LITERALS, Kind, Pending, whole_number
from leafstream.pointer import Json
from leafstream.schema import Node


class Ending(msgspec.Struct, frozen=True):
    """text[:keep] + suffix makes `value` of one place; without `is_there` the place is left out.

    The counts are what it costs: parts that break the schema, texts taken back from the client,
    members that the chosen alternative does not declare, what was begun in vain.
    """

    keep: int
    suffix: str
    value: Json
    missing: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    is_there: bool = True
    broken: int = 0
    taken: int = 0
    odd: int = 0
    lost: int = 0

    @property
    def rank(self) -> tuple[int, ...]:
        return (self.broken, self.taken, self.odd, len(self.missing), self.lost, len(self.suffix))


class Leaf:
    """The unfinished value at `path`, which may be of any of `nodes`.

    `told` is the text that the client holds of it.
    """

    def __init__(
        self, pending: Pending, path: str, nodes: tuple[Node, ...], known: Known, told: Json
    ) -> None:
        self._pending = pending
        self._told = told if isinstance(told, str) else ""
        self._path = path
        self._nodes = nodes
        self._known = known

    def endings(self, node: Node, limit: int) -> list[Ending]:
        """At most `limit` valid values of `node` that begin with what is written."""
        kind = self._pending.kind
        if kind is Kind.STRING:
            return list(islice(self._strings(node), limit))
        if kind is Kind.NUMBER:
            return list(islice(self._numbers(node), limit))
        return self._literals(node)

    def _strings(self, node: Node) -> Iterator[Ending]:
        written, completion = self._pending.text, self._known.completion
        if "string" not in node.types:
            return
        if node.allowed is not None:
            yield from self._words(node)
            return
        for text in completion.of(node, written):
            tail = dump(text[len(written) :])[1:]
            yield Ending(self._pending.keep, tail, text, cut=(self._path,))
        most = int(node.raw.get("maxLength", len(written)))
        if len(written) > most:
            for text in completion.of(node, written[:most]):
                start = self._pending.start
                taken = int(not text.startswith(self._told))
                yield Ending(start, dump(text), text, cut=(self._path,), taken=taken)

    def _words(self, node: Node) -> Iterator[Ending]:
        written = self._pending.text
        is_sure = self._num_allowed(str, f'"{dump(written)[1:-1]}') == 1
        for text in self._known.completion.of(node, written):
            yield self._guess(dump(text[len(written) :])[1:], text, is_sure=is_sure)

    def _numbers(self, node: Node) -> Iterator[Ending]:
        start, text = self._pending.start, self._pending.text
        whole = whole_number(text)
        if whole is not None and self._allows(node, whole[1]):
            yield Ending(start + len(whole[0]), "", whole[1], cut=(self._path,))
        is_sure = self._num_allowed(int | float, text) == 1
        for value in node.allowed or ():
            if _is_number(value) and dump(value).startswith(text) and self._allows(node, value):
                yield self._guess(dump(value)[len(text) :], value, is_sure=is_sure)

    def _guess(self, tail: str, value: Json, *, is_sure: bool) -> Ending:
        """An enum's value: it is the model's own where no other begins so."""
        place = (self._path,)
        if is_sure:
            return Ending(self._pending.keep, tail, value, cut=place)
        return Ending(self._pending.keep, tail, value, missing=place)

    def _num_allowed(self, kind: type | UnionType, written: str) -> int:
        """How many values of enums begin as it is written."""
        texts = {
            dump(value)
            for node in self._nodes
            for value in node.allowed or ()
            if isinstance(value, kind) and not isinstance(value, bool)
        }
        return sum(text.startswith(written) for text in texts)

    def _allows(self, node: Node, value: Json) -> bool:
        if node.allowed is not None:
            return self._known.oracle.is_valid(node, value)
        return isinstance(value, int | float) and fits(node, value)

    def _literals(self, node: Node) -> list[Ending]:
        text = self._pending.text
        word = next(word for word in LITERALS if word.startswith(text))
        value = LITERALS[word]
        if not self._known.oracle.is_valid(node, value):
            return []
        return [Ending(self._pending.keep, word[len(text) :], value)]


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
