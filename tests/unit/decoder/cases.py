"""tests/data/decoder.jsonl, ways to cut a text into chunks, and a reader that checks each step."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leafstream.decoder.json import JsonDecoder
from leafstream.decoder.text import TextDecoder
from leafstream.decoder.value import Fold
from leafstream.events import Event, Noticed, TextAppended, ValueSet
from leafstream.pointer import Json
from leafstream.schema import Schema

DATA = Path(__file__).parents[2] / "data" / "decoder.jsonl"
SHARED = Path(__file__).parents[4] / "shared" / "corpora"


class Case(msgspec.Struct, frozen=True):
    """One line of decoder.jsonl; the format is described in the README of the shared cases."""

    name: str
    mode: str
    chunks: list[str]
    expect: dict[str, Any]
    schema: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        return "".join(self.chunks)

    @property
    def is_cut(self) -> bool:
        return "closed_value" in self.expect

    def decoder(self) -> JsonDecoder:
        schema = Schema.parse(self.schema) if self.schema else None
        return JsonDecoder(schema, strict=self.mode == "strict")


CASES = [msgspec.json.decode(line, type=Case) for line in DATA.read_bytes().splitlines()]


def corpus(name: str) -> list[dict[str, Any]]:
    """The cases of a public corpus; the test is skipped where the corpora are not there."""
    path = SHARED / name / "cases.jsonl"
    if not path.exists():
        pytest.skip(f"no corpus at {path}")
    return [json.loads(line) for line in path.read_text().splitlines()]


def every_split(text: str, *, most: int = 200) -> Iterator[list[str]]:
    """The text whole, a character at a time, in random chunks, and cut in two at every place.

    Of a text with more than `most` places, so many of them.
    """
    yield [text]
    yield list(text)
    yield randomly(text, seed=len(text))
    places: Iterable[int] = range(len(text) + 1)
    if len(text) > most:
        places = random.Random(most).sample(range(len(text) + 1), most)
    for at in places:
        yield [text[:at], text[at:]]


def randomly(text: str, *, seed: int, longest: int = 9) -> list[str]:
    """The text in chunks of random lengths, some of them empty."""
    dice = random.Random(seed)
    chunks: list[str] = []
    at = 0
    while at < len(text):
        size = dice.randint(0, longest)
        chunks.append(text[at : at + size])
        at += size
    return chunks


class Reading(msgspec.Struct):
    """What a client saw. Two readings are equal when no client could tell them apart at the end."""

    value: Json
    texts: dict[str, str]
    values: list[tuple[str, str]]
    notices: list[Noticed]
    complete: bool
    skipped: int


def read(
    decoder: JsonDecoder | TextDecoder, chunks: Iterable[str], *, finish: bool = True
) -> tuple[Reading, list[Event]]:
    """Feed `chunks`; after each one the fold of the events must equal the decoder's value."""
    client = Fold()
    events: list[Event] = []
    for chunk in chunks:
        events += _applied(client, decoder.feed(chunk), decoder)
    if finish:
        events += _applied(client, decoder.finish(), decoder)
    texts: dict[str, str] = {}
    for event in events:
        if isinstance(event, TextAppended):
            assert event.text
            texts[event.path] = texts.get(event.path, "") + event.text
    return (
        Reading(
            value=decoder.value,
            texts=texts,
            values=[(e.path, json.dumps(e.value)) for e in events if isinstance(e, ValueSet)],
            notices=[e for e in events if isinstance(e, Noticed)],
            complete=decoder.complete,
            skipped=decoder.skipped,
        ),
        events,
    )


def _applied(client: Fold, events: list[Event], decoder: JsonDecoder | TextDecoder) -> list[Event]:
    for event in events:
        client.apply(event)
    assert same(client.value, decoder.value)
    return events


def same(left: Json, right: Json) -> bool:
    """Equal as JSON: 1, 1.0 and true are three values, and the order of members counts."""
    return json.dumps(left) == json.dumps(right)
