"""From a schema to a grammar for llguidance, checked before any engine sees it.

llama.cpp generates without any constraint when it is handed a grammar that it cannot compile, and
says nothing; so what does not compile here is never handed over.
"""

from __future__ import annotations

from typing import Any

import msgspec

from leafstream.canonical import RawSchema
from leafstream.engines.remainder import remainder
from leafstream.schema import Schema

_VERBATIM = frozenset({"enum", "const", "properties", "required"})


class Grammar(msgspec.Struct, frozen=True):
    """`text` is None where nothing could be expressed; `exact` where all of the schema is."""

    text: str | None
    exact: bool


def compile_grammar(schema: Schema) -> Grammar:
    """The tightest grammar llguidance compiles: the whole schema, what it knows of it, or none."""
    for exact in (True, False):
        text = _text(schema.source, lenient=not exact)
        if _compiles(text):
            return Grammar(text, exact)
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


def closed(raw: Any) -> Any:
    """The schema with no members beside the declared ones, where it does not speak of others.

    A schema allows what it does not forbid; a model that may invent members does so.
    """
    if isinstance(raw, list):
        return [closed(item) for item in raw]
    if not isinstance(raw, dict):
        return raw
    kept = {key: value if key in _VERBATIM else closed(value) for key, value in raw.items()}
    if "anyOf" in kept:
        kept.pop("oneOf", None)  # the same branches: a grammar cannot count how many match
    if isinstance(raw.get("properties"), dict) and "type" in raw:
        kept["properties"] = {name: closed(sub) for name, sub in raw["properties"].items()}
        if "patternProperties" not in raw:
            kept.setdefault("additionalProperties", False)
    return kept


def _compiles(text: str) -> bool:
    from llguidance import LLMatcher  # noqa: PLC0415

    return not LLMatcher.validate_grammar(text)
