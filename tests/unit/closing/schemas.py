"""Random schemas with a value that is valid for each."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from leafstream.pointer import Json

Pair = tuple[dict[str, Any], Json]

TEXT = st.text(st.sampled_from('ab "\\/\n\u00e9\ud55c\U0001f600~0'), max_size=8)
KEYS = st.sampled_from(["a", "b", "kind", "0", "1", "x/y", "~", "텀"])
FORMATS = {
    "date": ["2024-02-29", "1999-12-31"],
    "time": ["23:59:59Z", "01:02:03.5+09:00"],
    "date-time": ["2024-02-29T12:30:00+09:00"],
    "email": ["jo.e@example.org"],
    "uuid": ["2eb8aa08-aa98-11ea-b4aa-73b441d16380"],
    "ipv4": ["192.168.10.254"],
    "ipv6": ["2001:db8::8a2e:370:7334", "::ffff:192.0.2.1"],
    "uri": ["https://a.example/%20b?c=d#e", "ldap://[2001:db8::7]/c=GB"],
    "hostname": ["www.example-1.com"],
    "duration": ["P1Y2M3DT4H5M6S", "PT36H", "P4W"],
    "json-pointer": ["/a~1b/0"],
}
PATTERNS = {
    r"^\d{3}-\d{4}$": ["555-1234"],
    r"^[A-Z]{2,3}(_[0-9]+)*$": ["ABC_12_9", "XY"],
    r"^(?=.*[A-Z])(?=.*\d).{6,}$": ["abcD1efg"],
    r"(foo|bar)+$": ["a foo barbar"],
    r"^(?!no)[a-z]+( [a-z]+)?$": ["yes please", "n"],
    r"^\S+$": ["\ud55c\uae00"],
}


@st.composite
def strings(draw: st.DrawFn) -> Pair:
    value = draw(TEXT)
    schema: dict[str, Any] = {"type": "string"}
    if draw(st.booleans()):
        schema["minLength"] = draw(st.integers(0, len(value)))
    if draw(st.booleans()):
        schema["maxLength"] = draw(st.integers(len(value), len(value) + 3))
    return schema, value


@st.composite
def shaped_strings(draw: st.DrawFn) -> Pair:
    key, table = draw(st.sampled_from([("format", FORMATS), ("pattern", PATTERNS)]))
    shape, values = draw(st.sampled_from(sorted(table.items())))
    return {"type": "string", key: shape}, draw(st.sampled_from(values))


@st.composite
def numbers(draw: st.DrawFn) -> Pair:
    if draw(st.booleans()):
        value = draw(st.integers(-1000, 1000))
        schema: dict[str, Any] = {"type": "integer"}
        if value % 5 == 0 and draw(st.booleans()):
            schema["multipleOf"] = 5
    else:
        value = draw(st.floats(-1e6, 1e6, allow_nan=False))  # type: ignore[assignment]
        schema = {"type": "number"}
    if draw(st.booleans()):
        schema["minimum"] = value - draw(st.integers(0, 20))
    if draw(st.booleans()):
        schema["maximum"] = value + draw(st.integers(0, 20))
    return schema, value


@st.composite
def words(draw: st.DrawFn) -> Pair:
    values = draw(
        st.lists(
            st.one_of(TEXT, st.sampled_from(["ZERO_WASTE", "ZERO_CARBON", 10, 100, None, True])),
            min_size=1,
            max_size=4,
            unique_by=repr,
        )
    )
    value = draw(st.sampled_from(values))
    return ({"const": value} if draw(st.booleans()) else {"enum": values}), value


@st.composite
def arrays(draw: st.DrawFn, inner: st.SearchStrategy[Pair]) -> Pair:
    schema, value = draw(inner)
    count = draw(st.integers(0, 3))
    if draw(st.booleans()):
        pairs = [draw(inner) for _ in range(count)]
        tuple_schema = {"type": "array", "items": schema, "minItems": draw(st.integers(0, count))}
        if pairs:
            tuple_schema["prefixItems"] = [s for s, _ in pairs]
        return tuple_schema, [v for _, v in pairs]
    items = {"type": "array", "items": schema, "minItems": draw(st.integers(0, count))}
    if draw(st.booleans()):
        items["maxItems"] = count + draw(st.integers(0, 2))
    if count < 2 and draw(st.booleans()):
        items["uniqueItems"] = True
    return items, [value] * count


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Pair]) -> Pair:
    members = draw(st.dictionaries(KEYS, inner, max_size=4))
    left_out = draw(st.sets(st.sampled_from(sorted(members)))) if members else set()
    value = {key: inner_value for key, (_, inner_value) in members.items() if key not in left_out}
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {key: inner_schema for key, (inner_schema, _) in members.items()},
        "required": sorted(draw(st.sets(st.sampled_from(sorted(value)))) if value else []),
    }
    if draw(st.booleans()):
        schema["additionalProperties"] = False
    if draw(st.booleans()):
        schema["minProperties"] = draw(st.integers(0, len(value)))
    if draw(st.booleans()):
        schema["maxProperties"] = len(value)
    return schema, {key: value[key] for key in draw(st.permutations(sorted(value)))}


@st.composite
def unions(draw: st.DrawFn, inner: st.SearchStrategy[Pair]) -> Pair:
    pairs = draw(st.lists(inner, min_size=1, max_size=3))
    key = draw(st.sampled_from(["anyOf", "oneOf"]))
    branches = [schema for schema, _ in pairs]
    if draw(st.booleans()):
        branches.append({"type": "null"})
    return {key: branches}, draw(st.sampled_from([value for _, value in pairs]))


@st.composite
def tagged(draw: st.DrawFn, inner: st.SearchStrategy[Pair]) -> Pair:
    """A discriminated union of objects."""
    branches, values = [], []
    for tag in draw(st.sampled_from([["text", "image"], ["t", "te", "tx"]])):
        schema, value = draw(inner)
        branches.append(
            {
                "type": "object",
                "properties": {"kind": {"const": tag}, "a": schema},
                "required": ["kind", "a"],
                "additionalProperties": False,
            }
        )
        values.append({"kind": tag, "a": value})
    value = draw(st.sampled_from(values))
    if draw(st.booleans()):
        value = dict(reversed(value.items()))
    return {draw(st.sampled_from(["anyOf", "oneOf"])): branches}, value


LEAVES = st.one_of(
    strings(),
    shaped_strings(),
    numbers(),
    words(),
    st.sampled_from([({"type": "boolean"}, True), ({"type": "null"}, None), ({}, {"a": [1]})]),
)
PAIRS: st.SearchStrategy[Pair] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(arrays(inner), objects(inner), unions(inner), tagged(inner)),
    max_leaves=8,
)
