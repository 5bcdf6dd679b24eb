"""From a schema to a grammar for llguidance, checked before any engine sees it.

llama.cpp generates without any constraint when it is handed a grammar that it cannot compile, and
says nothing; so what does not compile here is never handed over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from leafstream.canonical import RawSchema
from leafstream.engines.remainder import remainder
from leafstream.schema import Schema

_VERBATIM = frozenset({"enum", "const", "properties", "required"})
_VALUES = frozenset(
    "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf pattern format propertyNames "
    "patternProperties".split()
)
MAX_INTEGER = 2**53 - 1
"""The largest that every reader of JSON holds exactly (RFC 8259, section 6)."""


class Grammar(msgspec.Struct, frozen=True):
    """`text` is None where nothing could be expressed; `exact` where all of the schema is."""

    text: str | None
    exact: bool


def compile_grammar(schema: Schema) -> Grammar:
    """The tightest grammar llguidance compiles: the whole schema, what it knows of it, its shape.

    What is left out is checked after generation.
    """
    exact = _text(schema.source, lenient=False)
    if _compiles(exact):
        return Grammar(exact, exact=True)
    for source in (schema.source, _shape(schema.source, _is_expressed), _shape(schema.source)):
        text = _text(source, lenient=True)
        if _compiles(text):
            return Grammar(text, exact=False)
    return Grammar(None, exact=False)


def compile_remainder(prefix: str, schema: Schema) -> str | None:
    """A grammar of what may follow `prefix`; None where it cannot be told or compiled."""
    text = remainder(prefix, Schema(closed(schema.source)))
    return text if text is not None and _compiles(text) else None


def _text(source: RawSchema, *, lenient: bool) -> str:
    # Compact JSON: white space is where small models get lost, and each blank is a token.
    guidance = {"whitespace_flexible": False, "lenient": lenient}
    raw = msgspec.json.encode({"x-guidance": guidance, **closed(source)}).decode()
    return f"%llguidance {{}}\nstart: %json {raw}"


def _is_expressed(raw: RawSchema, key: str) -> bool:
    """Whether llguidance knows what a keyword says here, looked at alone."""
    alone = {name: raw[name] for name in ("type", key) if name in raw}
    return _compiles(_text({"anyOf": [alone]}, lenient=False))


def _shape(raw: Any, is_kept: Callable[[RawSchema, str], bool] = lambda *_: False) -> Any:
    """The schema less its bounds of numbers and languages of strings, but for those to be kept."""
    if isinstance(raw, list):
        return [_shape(item, is_kept) for item in raw]
    if not isinstance(raw, dict):
        return raw
    kept = {
        key: value if key in _VERBATIM else _shape(value, is_kept)
        for key, value in raw.items()
        if key not in _VALUES or is_kept(raw, key)
    }
    for key in ("properties", "patternProperties"):
        if key in kept:
            kept[key] = {name: _shape(sub, is_kept) for name, sub in raw[key].items()}
    return kept


def closed(raw: Any) -> Any:
    """The schema less what it allows only by not speaking of it: more members, endless integers.

    A model that may invent members does so, and one that may write a digit more writes it.
    """
    if isinstance(raw, list):
        return [closed(item) for item in raw]
    if not isinstance(raw, dict):
        return raw
    kept = {key: value if key in _VERBATIM else closed(value) for key, value in raw.items()}
    if "anyOf" in kept:
        kept.pop("oneOf", None)  # the same branches: a grammar cannot count how many match
    if isinstance(raw.get("properties"), dict) and "type" in raw:
        others = closed(raw.get("additionalProperties", {}))
        undeclared = dict.fromkeys(raw.get("required", ()), {} if others is True else others)
        declared = {name: closed(sub) for name, sub in raw["properties"].items()}
        kept["properties"] = {
            **declared,
            **{n: sub for n, sub in undeclared.items() if n not in declared},
        }
        if "patternProperties" not in raw:
            kept.setdefault("additionalProperties", False)
    return _ending(kept) if kept.get("type") == "integer" else kept


def _ending(raw: RawSchema) -> RawSchema:
    """An integer's schema with both bounds."""
    low = raw.get("exclusiveMinimum", raw.get("minimum"))
    high = raw.get("exclusiveMaximum", raw.get("maximum"))
    bounds: RawSchema = {}
    if low is None and (high is None or high > -MAX_INTEGER):
        bounds["minimum"] = -MAX_INTEGER
    if high is None and (low is None or low < MAX_INTEGER):
        bounds["maximum"] = MAX_INTEGER
    return {**raw, **bounds}


def _compiles(text: str) -> bool:
    from llguidance import LLMatcher  # noqa: PLC0415

    return not LLMatcher.validate_grammar(text)
