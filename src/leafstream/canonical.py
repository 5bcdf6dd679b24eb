"""The canonical form of a JSON Schema, in which every place has one plain description.

References are resolved to `#/$defs/NAME`; `allOf` and what stands beside a `$ref` or a union are
merged. What could not be kept is refused by name: a keyword that neither a grammar nor the closer
can honour would otherwise be a promise that nobody checks.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import msgspec

from leafstream.bounds import MAX_WEIGHT, pattern_weight, refuse_keyword, refuse_long
from leafstream.errors import UnsupportedSchema
from leafstream.pointer import Json, join, split

RawSchema = dict[str, Any]

MAX_DEPTH = 64
MAX_NODES = 20_000
MAX_MERGES = 50_000
"""Members and branches that merging may look at."""
MAX_CHARS = 2_000_000
"""Characters of the canonical form, in which merged parts are written out."""
TOO_LARGE = f"the schema is larger than {MAX_DEPTH} levels or {MAX_NODES} subschemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
LONGEST_TYPE = 60
"""Characters of a wrong type that are shown."""

ANNOTATIONS = frozenset(
    "title description default examples deprecated readOnly writeOnly $comment $schema $id".split()
)
ASSERTIONS = frozenset(
    "type enum const properties required additionalProperties patternProperties propertyNames "
    "minProperties maxProperties items prefixItems minItems maxItems uniqueItems minLength "
    "maxLength pattern format minimum maximum exclusiveMinimum exclusiveMaximum multipleOf "
    "contentMediaType contentEncoding".split()
)
STRUCTURE = frozenset("$ref $defs definitions allOf anyOf oneOf discriminator".split())


def canonical(raw: object) -> RawSchema:
    """The canonical form of `raw`. Raises UnsupportedSchema with the keyword and its path."""
    if not isinstance(raw, dict):
        raise UnsupportedSchema("a schema is a JSON object", param="")
    _refuse_dialect(raw)
    _refuse_oversize(raw)
    try:
        jsonschema_rs.meta.validate({**raw, "$schema": DIALECT})
    except jsonschema_rs.ValidationError as error:
        path = "".join(join("", token) for token in error.instance_path)
        told = _unknown_type(error) or f"not a valid JSON Schema: {error.message}"
        raise UnsupportedSchema(told, param=path) from None
    return _Canonical(raw).run()


def _unknown_type(error: jsonschema_rs.ValidationError) -> str | None:
    """What is wrong with a `type` that names no type; None where something else is wrong."""
    if [*error.instance_path[-1:]] != ["type"] or not error.message.endswith("'anyOf' keyword"):
        return None
    given = error.instance
    wrong = next((name for name in _listed(given) if name not in TYPES), given)
    close = difflib.get_close_matches(wrong, TYPES, n=1) if isinstance(wrong, str) else []
    hint = f"did you mean {close[0]}? " if close else ""
    shown = msgspec.json.encode(wrong).decode()[:LONGEST_TYPE]
    return f"{shown} is no type; {hint}The types are {', '.join(TYPES)}"


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


class _Canonical:
    """One pass over a raw schema: every reference to `#/$defs/NAME`, no allOf, no siblings."""

    def __init__(self, raw: RawSchema) -> None:
        self._raw = raw
        self._defs: dict[str, RawSchema | bool] = {}
        self._names: dict[str, str] = {}
        self._heights: dict[str, int] = {}
        self._deepest = 0
        self._count = 0
        self._merged = 0
        self._weight = 0

    def run(self) -> RawSchema:
        source = self._schema(self._raw, "", 0)
        if isinstance(source, bool) or "$ref" in source:
            source = {"anyOf": [source]} if isinstance(source, dict) else {}
        if self._defs:
            source = {**source, "$defs": self._defs}
        refuse_long(source, MAX_CHARS)
        return source

    def _schema(self, raw: object, path: str, depth: int) -> RawSchema | bool:
        if isinstance(raw, bool):
            return raw
        assert isinstance(raw, dict)  # the meta-schema was checked
        self._count += 1
        self._reach(depth, path)
        self._refuse_unknown(raw, path)
        plain: RawSchema = {
            key: self._keyword(key, value, join(path, key), depth)
            for key, value in raw.items()
            if key in ASSERTIONS
        }
        for part in self._parts(raw, path, depth):
            plain = self._merge(plain, part, path)
        return plain

    def _reach(self, depth: int, path: str) -> None:
        self._deepest = max(self._deepest, depth)
        if depth > MAX_DEPTH or self._count > MAX_NODES:
            raise UnsupportedSchema(TOO_LARGE, param=path)

    def _refuse_unknown(self, raw: RawSchema, path: str) -> None:
        for key in raw:
            if key not in ANNOTATIONS and key not in ASSERTIONS and key not in STRUCTURE:
                if key.startswith("x-"):
                    continue
                raise UnsupportedSchema(
                    f"the keyword {key!r} is not supported", param=join(path, key)
                )
        if raw.get("$id", "").startswith(("http:", "https:")) and path:
            raise UnsupportedSchema("an embedded '$id' is not supported", param=join(path, "$id"))

    def _keyword(self, key: str, value: Any, path: str, depth: int) -> Any:
        refuse_keyword(key, value, path)
        if key in ("properties", "patternProperties"):
            if key == "patternProperties":
                for pattern in value:
                    self._weigh(pattern, path)
            return {
                name: self._schema(sub, join(path, name), depth + 1) for name, sub in value.items()
            }
        if key == "prefixItems":
            return [self._schema(sub, join(path, i), depth + 1) for i, sub in enumerate(value)]
        if key in ("items", "additionalProperties", "propertyNames"):
            return self._schema(value, path, depth + 1)
        if key == "pattern":
            self._weigh(value, path)
        return value

    def _weigh(self, pattern: object, path: str) -> None:
        refuse_keyword("pattern", pattern, path)
        try:
            self._weight += pattern_weight(pattern if isinstance(pattern, str) else "(")
        except (re.error, RecursionError, OverflowError) as error:
            raise UnsupportedSchema(
                f"the pattern {pattern!r} is not supported: {error}", param=path
            ) from None
        if self._weight > MAX_WEIGHT:
            raise UnsupportedSchema("the patterns are too large together", param=path)

    def _parts(self, raw: RawSchema, path: str, depth: int) -> Iterator[RawSchema | bool]:
        """What stands beside the plain keywords and must hold too."""
        if "$ref" in raw:
            yield {"$ref": self._reference(raw["$ref"], join(path, "$ref"), depth)}
        for i, sub in enumerate(raw.get("allOf", ())):
            yield self._schema(sub, join(join(path, "allOf"), i), depth + 1)
        for key in ("anyOf", "oneOf"):
            if key in raw:
                branches = [
                    self._schema(sub, join(join(path, key), i), depth + 1)
                    for i, sub in enumerate(raw[key])
                ]
                yield (
                    {"anyOf": branches}
                    if key == "anyOf"
                    else {"anyOf": branches, "oneOf": branches}
                )

    def _reference(self, ref: object, path: str, depth: int) -> str:
        if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
            raise UnsupportedSchema(
                f"only local references (#/…) are supported, not {ref!r}", param=path
            )
        if ref not in self._names:
            target: Any = self._raw
            try:
                for token in split(_unquoted(ref[1:])):
                    target = target[int(token)] if isinstance(target, list) else target[token]
            except (KeyError, IndexError, ValueError, TypeError):
                raise UnsupportedSchema(
                    f"the reference {ref!r} leads nowhere", param=path
                ) from None
            name = re.sub(r"[^A-Za-z0-9_.-]", "_", ref.rsplit("/", 1)[-1]) or "root"
            while name in self._defs:
                name += "_"
            self._names[ref] = name
            self._defs[name] = {}
            above, self._deepest = self._deepest, depth
            self._defs[name] = self._schema(target, ref[1:], depth + 1)
            self._heights[ref] = self._deepest - depth
            self._deepest = max(self._deepest, above)
            self._refuse_endless(name, path)
        self._reach(depth + self._heights.get(ref, 0), path)
        return f"#/$defs/{self._names[ref]}"

    def _refuse_endless(self, name: str, path: str) -> None:
        seen: set[str] = set()
        while True:
            if name in seen:
                raise UnsupportedSchema("a reference leads only to itself", param=path)
            seen.add(name)
            target = self._defs[name]
            if isinstance(target, bool) or "$ref" not in target:
                return
            name = target["$ref"].removeprefix("#/$defs/")

    def _target(self, raw: RawSchema | bool) -> RawSchema | bool:
        while isinstance(raw, dict) and "$ref" in raw:
            raw = self._defs[raw["$ref"].removeprefix("#/$defs/")]
        return raw

    def _merge(self, left: RawSchema | bool, right: RawSchema | bool, path: str) -> RawSchema:
        """The schema that both hold. Raises UnsupportedSchema where it has no single form."""
        self._spend(1, path)
        if left is True or left == {}:
            return right if isinstance(right, dict) else self._merge_bool(right, path)
        if right is True or right == {}:
            return left if isinstance(left, dict) else self._merge_bool(left, path)
        left, right = self._target(left), self._target(right)
        if isinstance(left, bool) or isinstance(right, bool):
            return self._merge_bool(left is True or right is True, path)
        if "oneOf" in left or "oneOf" in right:
            raise UnsupportedSchema("keywords beside 'oneOf' are not supported", param=path)
        if "anyOf" in right:
            left, right = right, left
        if "anyOf" in left:
            return {"anyOf": [self._merge(branch, right, path) for branch in left["anyOf"]]}
        return self._merge_plain(left, right, path)

    def _spend(self, work: int, path: str) -> None:
        self._merged += work
        if self._merged > MAX_MERGES:
            raise UnsupportedSchema(
                "'allOf' or what stands beside a union or '$ref' is too much to be merged",
                param=path,
            )

    def _merge_bool(self, allowed: RawSchema | bool, path: str) -> RawSchema:
        if allowed is False:
            raise UnsupportedSchema("a schema that allows nothing is not supported", param=path)
        return {}

    def _merge_plain(self, left: RawSchema, right: RawSchema, path: str) -> RawSchema:
        self._spend(len(left.get("properties", ())) + len(right.get("properties", ())), path)
        merged = dict(left)
        for key, value in right.items():
            if key not in merged or _same(merged[key], value):
                merged[key] = value
            elif key == "properties":
                merged[key] = self._merge_members(merged[key], value, path)
            elif key == "required":
                self._spend(len(merged[key]) + len(value), path)
                merged[key] = list(dict.fromkeys([*merged[key], *value]))
            elif key in ("minLength", "minItems", "minProperties", "minimum", "exclusiveMinimum"):
                merged[key] = max(merged[key], value)
            elif key in ("maxLength", "maxItems", "maxProperties", "maximum", "exclusiveMaximum"):
                merged[key] = min(merged[key], value)
            elif key == "type":
                merged[key] = _common_types(merged[key], value, path)
            elif key == "enum":
                merged[key] = self._common(merged[key], value, path)
            elif key == "items":
                merged[key] = self._merge(merged[key], value, path)
            else:
                raise UnsupportedSchema(
                    f"two different {key!r} in one place are not supported", param=path
                )
        if left.get("prefixItems", []) != right.get("prefixItems", []) and "items" in merged:
            raise UnsupportedSchema(
                "'items' beside another 'prefixItems' is not supported", param=path
            )
        closed = merged.get("additionalProperties", True) is not True
        if closed and _declared(left) != _declared(right):
            raise UnsupportedSchema(
                "'additionalProperties' beside 'allOf' or a union is not supported", param=path
            )
        return merged

    def _common(self, left: list[Json], right: list[Json], path: str) -> list[Json]:
        self._spend(len(left) * len(right), path)
        found = [item for item in left if any(_same(item, other) for other in right)]
        if not found:
            raise UnsupportedSchema("two 'enum' in one place have no value in common", param=path)
        return found

    def _merge_members(
        self, left: dict[str, Any], right: dict[str, Any], path: str
    ) -> dict[str, Any]:
        merged = dict(left)
        for name, value in right.items():
            merged[name] = self._merge(merged[name], value, path) if name in merged else value
        return merged


def _declared(raw: RawSchema) -> tuple[set[str], set[str]]:
    """The names and the patterns of the members that a schema speaks of."""
    return set(raw.get("properties", ())), set(raw.get("patternProperties", ()))


def _same(left: Json, right: Json) -> bool:
    """Whether two values are equal in JSON, where a boolean is no number."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return left == right


def _refuse_dialect(raw: RawSchema) -> None:
    dialect = raw.get("$schema", DIALECT)
    if not isinstance(dialect, str) or not re.match(r"https?://json-schema\.org/", dialect):
        raise UnsupportedSchema(f"the dialect {dialect!r} is not supported", param="/$schema")


def _refuse_oversize(raw: RawSchema) -> None:
    """Bound what the recursive steps walk; each schema level holds at most two containers."""
    level: list[Any] = [raw]
    for _ in range(2 * MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if len(level) > MAX_NODES:
            break
    if level:
        raise UnsupportedSchema(TOO_LARGE, param="")


def _common_types(left: str | list[str], right: str | list[str], path: str) -> list[str]:
    sides = [set([side] if isinstance(side, str) else side) for side in (left, right)]
    common = sides[0] & sides[1]
    if "integer" in sides[0] | sides[1] and all(side & {"integer", "number"} for side in sides):
        common.add("integer")
    if not common:
        raise UnsupportedSchema("two types in one place have nothing in common", param=path)
    return sorted(common)


def _unquoted(fragment: str) -> str:
    return re.sub(
        "(?:%[0-9A-Fa-f]{2})+", lambda m: bytes.fromhex(m[0].replace("%", "")).decode(), fragment
    )
