"""How a string that is half written can end, by what the schema says of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, count, islice, product
from typing import Any

import jsonschema_rs

from leafstream.decoder.formats import FORMATS, REGEX_ENDS
from leafstream.decoder.patterns import Languages, Pattern, Term
from leafstream.pointer import Json
from leafstream.schema import Node, Schema

MAX_TRIES = 64
MAX_WRITTEN = 20_000
PLAIN = frozenset({"type", "enum", "const", "minLength", "maxLength"})
LOWER_BOUNDS = frozenset({"required", "minProperties", "minItems"})


class Oracle:
    """Validators of parts of a schema, each compiled once, when it is first asked."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._exclusive: dict[Node, bool] = {}
        self._whole: dict[Node, jsonschema_rs.Draft202012Validator] = {}
        self._partly: dict[Node, jsonschema_rs.Draft202012Validator] = {}
        self._unique = jsonschema_rs.Draft202012Validator({"uniqueItems": True})

    def is_valid(self, node: Node, value: Json) -> bool:
        known = self._whole.get(node)
        if known is None:
            known = self._whole[node] = self._compiled(node.raw)
        return known.is_valid(value)

    def can_grow(self, node: Node, value: Json) -> bool:
        """Whether `value` is valid but for members or items that may still come."""
        known = self._partly.get(node)
        if known is None:
            raw = {key: value for key, value in node.raw.items() if key not in LOWER_BOUNDS}
            known = self._partly[node] = self._compiled(raw)
        return known.is_valid(value)

    def is_exclusive(self, node: Node) -> bool:
        """Whether a value of one of the branches may still be none of the union: a `oneOf`."""
        if node not in self._exclusive:
            self._exclusive[node] = False
            self._exclusive[node] = "oneOf" in node.raw or any(
                self.is_exclusive(self._schema.node(raw)) for raw in node.raw.get("anyOf", ())
            )
        return self._exclusive[node]

    def are_unique(self, items: list[Json]) -> bool:
        """Whether no two of `items` are equal, as JSON Schema compares."""
        return self._unique.is_valid(items)

    def _compiled(self, raw: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
        named = self._schema.named(raw)
        raw = {**raw, "$defs": named} if named else raw
        return jsonschema_rs.Draft202012Validator(raw, validate_formats=True)


class Completion:
    """Strings for a place of the schema. `of` gives only valid ones."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self._languages = Languages()
        self._terms: dict[Node, Term | None] = {}

    def of(self, node: Node, written: str = "") -> Iterator[str]:
        """Valid strings that begin with `written`, the shortest first (an enum's as listed)."""
        if node.allowed is not None:
            words = [word for word in node.allowed if isinstance(word, str)]
            begun = sorted(filter(lambda w: w.startswith(written), words), key=written.__ne__)
            return iter(begun if node.raw.keys() <= PLAIN else self._checked(node, begun))
        if "pattern" not in node.raw and "format" not in node.raw:
            return _padded(node, written)
        return self._checked(node, self._fitting(node, written))

    def _checked(self, node: Node, texts: Iterator[str] | list[str]) -> Iterator[str]:
        seen: set[str] = set()
        for text in islice(texts, 2 * MAX_TRIES):
            if text not in seen and self._oracle.is_valid(node, text):
                yield text
            seen.add(text)

    def _fitting(self, node: Node, written: str) -> Iterator[str]:
        known = FORMATS.get(node.raw.get("format", ""))
        if known and known.example.startswith(written):
            yield known.example
        yield from islice(_padded(node, written), 2 if written else 1)
        if node.raw.get("format") == "regex":
            for size in (1, 2, 3):
                for end in islice(product(REGEX_ENDS, repeat=size), MAX_TRIES):
                    yield written + "".join(end)
        if len(written) <= MAX_WRITTEN and (term := self._term(node)) is not None:
            low, high = node.raw.get("minLength", 0), node.raw.get("maxLength")
            yield from islice(self._languages.completions(term, written, low, high), MAX_TRIES)

    def _term(self, node: Node) -> Term | None:
        if node not in self._terms:
            self._terms[node] = self._built(node)
        return self._terms[node]

    def _built(self, node: Node) -> Term | None:
        patterns = []
        if "pattern" in node.raw:
            patterns.append(node.raw["pattern"])
        known = FORMATS.get(node.raw.get("format", ""))
        if known:
            patterns.append(f"^({known.pattern})$")
        if not patterns:
            return None
        return self._languages.both([Pattern(self._languages, p).term for p in patterns])


def _padded(node: Node, written: str) -> Iterator[str]:
    low = int(node.raw.get("minLength", 0))
    high = node.raw.get("maxLength")
    lengths = count(max(low, len(written)))
    if high is not None:
        lengths = chain(range(max(low, len(written)), int(high) + 1))  # type: ignore[assignment]
    for length in lengths:
        yield written.ljust(length)
