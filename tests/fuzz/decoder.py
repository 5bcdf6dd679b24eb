"""What must hold of any text that a model writes, from the decoder to the end of the answer."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, NoReturn

from leafstream.decoder.closing import Closer
from leafstream.decoder.json import JsonDecoder
from leafstream.decoder.pace import Grain, Pace, Pacer, Window
from leafstream.decoder.runaway import Guard
from leafstream.decoder.value import fold
from leafstream.errors import InvalidAnswer
from leafstream.events import Event
from leafstream.pointer import Json
from leafstream.schema import Schema
from tests.unit.decoder.cases import Reading, read, same

STRING = {"type": "string"}
CARD = {
    "type": "object",
    "properties": {"a": {"type": "string", "maxLength": 5}, "b": {"enum": ["a", "ab", "b"]}},
    "required": ["a", "b"],
}
PLACES: tuple[dict[str, Any], ...] = (
    {},
    STRING,
    {"enum": ["a", "ab", "b", 1, 12, None]},
    {"type": ["array", "integer"], "items": CARD},
    {"type": "array", "items": {"type": "integer", "minimum": 2, "maximum": 40}, "minItems": 2},
    {"type": "string", "pattern": "^[a-c]+-(1|22)$"},
    {"type": "string", "format": "date-time", "maxLength": 30},
    {"anyOf": [CARD, {"type": "object", "properties": {"c": STRING}, "required": ["c"]}, STRING]},
    {"type": "object", "additionalProperties": {"type": "boolean"}, "minProperties": 2},
    {"type": "object", "properties": {"a": {"type": "array", "items": {"$ref": "#"}}, "b": STRING}},
    {"type": "array", "prefixItems": [STRING, {"const": {"a": [1]}}], "items": False},
    {"type": "number", "multipleOf": 0.5, "exclusiveMinimum": -1},
)
PACES: tuple[Grain | Window, ...] = ("token", "word", "sentence", Window(40))
TOKENS = [
    *"{}[]:,\"'`\\/*#-+.0e",
    *['{"a":', '"a"', '","a":"', '"b":[', "\\u", "\\ud83d", "\\ude00", "//", "/*", "*/", "true"],
    *["None", "null", '"[', '\\"', '"{\\"a\\":', "<think>", "</think>", "```json\n", "\n\n", "…"],
    *["“", "”", "‘", "\u200d", "\u0301", "가", "👍", "🏽", "\u2028", "\xa0", "\ufeff", "1e999"],
]


def check(text: str) -> None:
    """The first two characters choose a schema and the chunks of the rest, which is read then."""
    if len(text) < 2:
        return
    number, cut, text = ord(text[0]) % (len(PLACES) + 1), ord(text[1]), text[2:]
    schema = closer(number)[0] if number < len(PLACES) else None
    chunks = chunked(text, cut)
    assert read(JsonDecoder(schema), chunks)[0] == read(JsonDecoder(schema), [text])[0]
    assert strictly(chunks) == strictly([text])
    if text.count("[") + text.count("{") < 500:
        assert (strictly([text]) is not None) == is_json(text)
    end_well(number, chunks[: 1 + cut % 50])


def chunked(text: str, cut: int) -> list[str]:
    """The text in chunks whose sizes `cut` says, three bits each."""
    sizes = [1 + (cut >> shift & 7) for shift in (0, 3, 6)]
    chunks: list[str] = []
    at = 0
    while at < len(text):
        chunks.append(text[at : at + sizes[len(chunks) % 3]])
        at += len(chunks[-1])
    return chunks


def strictly(chunks: list[str]) -> Reading | None:
    """What strict mode reads of a whole document; None where there is none."""
    try:
        reading, _ = read(JsonDecoder(strict=True), chunks)
    except InvalidAnswer:
        return None
    return reading if reading.complete else None


def is_json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=refuse)
    except ValueError:
        return False
    return True


def refuse(name: str) -> NoReturn:
    raise ValueError(name)


def end_well(number: int, chunks: list[str]) -> None:
    """An answer cut there closes as JSON that the client holds, at every pace."""
    schema, closer_of = closer(number % len(PLACES))
    decoder, guard = JsonDecoder(schema), Guard()
    batches: list[tuple[list[Event], str | None]] = []
    for chunk in chunks:
        batches.append((decoder.feed(chunk), decoder.growing))
        guard.feed(chunk, 1, decoder.growing, decoder.num_over)
    batches.append((decoder.finish(), None))
    prefix = decoder.prefix()
    closing = closer_of.close(prefix, decoder.value)
    whole = JsonDecoder(strict=True)
    whole.feed(prefix[: len(prefix) - closing.drop] + closing.suffix)
    whole.finish()
    assert whole.complete
    assert same(whole.value, closing.value)
    batches.append((list(closing.events), None))
    for grain in PACES:
        assert same(paced(Pacer(Pace(grain)), batches), closing.value)


def paced(pacer: Pacer, batches: list[tuple[list[Event], str | None]]) -> Json:
    events: list[Event] = []
    for number, (batch, growing) in enumerate(batches):
        events += pacer.feed(batch, number * 0.015)
        events += pacer.ended(growing)
    return fold([*events, *pacer.flush()])


@cache
def closer(number: int) -> tuple[Schema, Closer]:
    raw = PLACES[number]
    if number % 3:
        raw = {"type": "object", "properties": {"a": raw, "b": STRING}, "required": ["a"]}
    schema = Schema.parse(raw)
    return schema, Closer(schema)
