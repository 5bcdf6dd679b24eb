"""From a schema to a grammar for llguidance, checked before any engine sees it.

llama.cpp generates without any constraint when it is handed a grammar that it cannot compile, and
says nothing; so what does not compile here is never handed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from leafstream.canonical import RawSchema
from leafstream.engines.overlap import may_overlap
from leafstream.engines.remainder import remainder
from leafstream.schema import Schema

if TYPE_CHECKING:
    from llguidance import LLParserLimits

_VERBATIM = frozenset({"enum", "const", "properties", "required"})
_VALUES = frozenset(
    "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf pattern format propertyNames "
    "patternProperties".split()
)
_TOO_LARGE = "too big"
"""In what llguidance says of a grammar beyond its limits."""
MAX_SYMBOLS = 4_000
"""Of a grammar's rules: 500 members that may be left out, or 1,000 that may not."""
MAX_LEXER_FUEL = 500_000
"""llguidance's measure of regular expressions; it burns 50,000 in a millisecond."""
MAX_TRIES = 200
"""Keywords that are compiled alone, to learn which one a grammar cannot express."""
MAX_INTEGER = 2**53 - 1
"""The largest that every reader of JSON holds exactly (RFC 8259, section 6)."""


class Grammar(msgspec.Struct, frozen=True):
    """`text` is None where nothing could be expressed; `exact`: only valid values pass.

    `is_lenient`: less than the schema's keywords is in it. `is_too_large`: not even the schema's
    shape has a grammar that an engine can bear.
    """

    text: str | None
    exact: bool
    is_lenient: bool = False
    is_too_large: bool = False


def compile_grammar(schema: Schema) -> Grammar:
    """The tightest grammar llguidance compiles: the whole schema, what it knows of it, its shape.

    What is left out is checked after generation.
    """
    text = _text(schema.source, lenient=False)
    trouble = _trouble(text)
    if not trouble:
        return Grammar(text, exact=not may_overlap(schema))
    is_large = _TOO_LARGE in trouble
    for source in _looser(schema.source, is_large=is_large):
        text = _text(source, lenient=True)
        trouble = _trouble(text)
        if not trouble:
            return Grammar(text, exact=False, is_lenient=True)
    return Grammar(None, exact=False, is_too_large=_TOO_LARGE in trouble)


def _looser(source: RawSchema, *, is_large: bool) -> Iterator[RawSchema]:
    """What to try next, the tighter first; what is too large only at its smallest."""
    if not is_large:
        yield source
        yield _shape(source, _Expressed())
    yield _shape(source)


def compile_remainder(prefix: str, schema: Schema) -> str | None:
    """A grammar of what may follow `prefix`; None where it cannot be told or compiled."""
    text = remainder(prefix, Schema(closed(schema.source)))
    return text if text is not None and not _trouble(text) else None


def _text(source: RawSchema, *, lenient: bool) -> str:
    # Compact JSON: white space is where small models get lost, and each blank is a token.
    guidance = {"whitespace_flexible": False, "lenient": lenient}
    raw = msgspec.json.encode({"x-guidance": guidance, **closed(source)}).decode()
    return f"%llguidance {{}}\nstart: %json {raw}"


class _Expressed:
    """Whether llguidance knows what a keyword says in its place, looked at alone.

    Only the first MAX_TRIES are asked about; to the others the answer is no.
    """

    def __init__(self) -> None:
        self._tries_left = MAX_TRIES

    def __call__(self, raw: RawSchema, key: str) -> bool:
        alone = {name: raw[name] for name in ("type", key) if name in raw}
        self._tries_left -= 1
        return self._tries_left >= 0 and not _trouble(_text({"anyOf": [alone]}, lenient=False))


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


def limits() -> LLParserLimits:
    """What a grammar may cost.

    So small a grammar also stays below what a step may cost, of which llguidance would know only
    when it comes to it: by then llama.cpp, which compiles on its own, holds up all its streams.
    """
    from llguidance import LLParserLimits  # noqa: PLC0415

    return LLParserLimits(
        max_grammar_size=MAX_SYMBOLS, initial_lexer_fuel=MAX_LEXER_FUEL, verbose_errors=False
    )


def _trouble(text: str) -> str:
    """What llguidance says against a grammar; "" where it compiles."""
    from llguidance import LLMatcher  # noqa: PLC0415

    return LLMatcher.validate_grammar(text, limits=limits())
