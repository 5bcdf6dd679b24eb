"""Fuzzes the decoder: `python tests/fuzz/decoder.py -max_total_time=60` (atheris must be there).

Tolerant mode never raises, neither mode depends on the chunks, the fold of the events is the value,
and strict mode agrees with the standard library on what is JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any, NoReturn

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

with atheris.instrument_imports(include=["leafstream"]):
    from leafstream.decoder.json import JsonDecoder
    from leafstream.decoder.value import Fold
    from leafstream.errors import InvalidAnswer
    from leafstream.pointer import Json
    from leafstream.schema import Schema

SCHEMAS = [None] + [
    Schema.parse({"type": "object", "properties": {"a": raw, "b": {}}})
    for raw in (
        {"type": "string"},
        {"enum": ["a", "ab", "b"]},
        {"type": ["array", "integer"], "items": {"type": "object", "properties": {"a": {}}}},
    )
]
DEEP = 100


def refuse(name: str) -> NoReturn:
    raise ValueError(name)


def read(chunks: list[str], schema: Schema | None, *, strict: bool) -> tuple[Json, bool]:
    """The value and whether it is complete, after every promise on the way was checked."""
    decoder = JsonDecoder(schema, strict=strict, max_depth=DEEP)
    client = Fold()
    for step in (*chunks, None):
        for event in decoder.finish() if step is None else decoder.feed(step):
            client.apply(event)
        assert json.dumps(client.value) == json.dumps(decoder.value)
    if not strict:
        JsonDecoder(strict=True).feed(decoder.prefix())
    return decoder.value, decoder.complete


def strictly(chunks: list[str]) -> tuple[Json, bool] | None:
    try:
        reading = read(chunks, None, strict=True)
    except InvalidAnswer:
        return None
    return reading if reading[1] else None


def one_input(data: bytes) -> None:
    """One text at one cut, in both modes."""
    source = atheris.FuzzedDataProvider(data)
    schema = SCHEMAS[source.ConsumeIntInRange(0, len(SCHEMAS) - 1)]
    sizes = [source.ConsumeIntInRange(0, 8) for _ in range(8)]
    text = source.ConsumeUnicodeNoSurrogates(4_000)
    chunks: list[Any] = []
    at = 0
    while at < len(text):
        size = sizes[len(chunks) % len(sizes)] + 1
        chunks.append(text[at : at + size])
        at += size
    assert read(chunks, schema, strict=False) == read([text], schema, strict=False)
    assert strictly(chunks) == strictly([text])
    if text.count("[") + text.count("{") < DEEP:
        assert (strictly([text]) is not None) == is_json(text)


def is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=refuse)
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
