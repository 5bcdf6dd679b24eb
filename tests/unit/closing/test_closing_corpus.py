"""Every cut of every valid document of a public corpus, and the scanner on another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leafstream.decoder.closing import Closer, Closing
from leafstream.decoder.json import JsonDecoder
from leafstream.decoder.least import least
from leafstream.decoder.value import fold
from leafstream.errors import InvalidAnswer, UnsupportedSchema
from leafstream.events import Event
from leafstream.pointer import Json
from leafstream.schema import Schema
from tests.unit.decoder.cases import corpus

SUITE = (
    Path(__file__).parents[4]
    / "shared/corpora/json-schema-test-suite/draft2020-12.jsonl"
)  # fmt: skip
Accepted = list[tuple[Schema, list[Json]]]


@pytest.fixture(scope="module")
def accepted() -> Accepted:
    """The schemas that are served, each with its valid data."""
    if not SUITE.exists():
        pytest.skip(f"no corpus at {SUITE}")
    found: Accepted = []
    for line in SUITE.read_bytes().splitlines():
        group: dict[str, Any] = json.loads(line)
        try:
            schema = Schema.parse(group["schema"])
        except UnsupportedSchema:
            continue
        data = [test["data"] for test in group["tests"] if test["valid"]]
        found.append((schema, [value for value in data if schema.is_valid(value)]))
    return found


def cuts(accepted: Accepted) -> Iterator[tuple[Schema, str, list[Event], Closing]]:
    for schema, data in accepted:
        closer = Closer(schema)
        for value in data:
            compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            # White space is met well enough at every third place of the other layout.
            for text, step in ((compact, 1), (json.dumps(value, indent=2), 3)):
                for end in range(0, len(text) + 1, step):
                    events = JsonDecoder(schema, strict=True).feed(text[:end])
                    yield schema, text[:end], events, closer.close(text[:end], fold(events))


def test_the_corpus_is_large_enough_to_tell(accepted: Accepted) -> None:
    assert len(accepted) > 200
    assert sum(len(data) for _, data in accepted) > 800


def test_every_cut_closes_as_json_by_its_events_and_all_but_one_in_200_valid(
    accepted: Accepted,
) -> None:
    count, wrong = 0, []
    for schema, prefix, events, closing in cuts(accepted):
        count += 1
        whole = prefix[: len(prefix) - closing.drop] + closing.suffix
        assert json.loads(whole) == closing.value, prefix
        assert fold([*events, *closing.events]) == closing.value, prefix
        if not schema.is_valid(closing.value):
            wrong.append((prefix, whole))
    assert count > 10_000
    assert len(wrong) <= 0.005 * count, wrong[:20]


def test_a_least_document_is_made_for_all_but_one_in_100_schemas(accepted: Accepted) -> None:
    satisfiable = [schema for schema, data in accepted if data]
    made = 0
    for schema in satisfiable:
        try:
            made += schema.is_valid(json.loads(least(schema)))
        except UnsupportedSchema:
            continue
    assert made >= 0.99 * len(satisfiable)


def test_the_scanner_and_the_decoder_agree_on_what_is_json() -> None:
    for case in corpus("jsontestsuite"):
        text = case.get("text")
        if not isinstance(text, str) or len(text) > 5_000:
            continue
        try:
            JsonDecoder(strict=True, max_depth=100_000).feed(text)
            is_fine = True
        except InvalidAnswer:
            is_fine = False
        try:
            Closer().close(text, None)
        except ValueError:
            assert not is_fine, text
        else:
            assert is_fine, text
