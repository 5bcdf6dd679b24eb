from __future__ import annotations

import time

import pytest

from leafstream.decoder.least import least
from leafstream.decoder.spots import Words
from leafstream.errors import UnsupportedSchema
from leafstream.schema import Schema
from tests import bombs

SECONDS = 1.0
"""Ten times what the slowest takes on a machine at rest."""


@pytest.mark.parametrize("name", bombs.SERVED)
def test_a_small_schema_of_many_ways_is_served_at_once(name: str) -> None:
    begun = time.process_time()
    schema = Schema.parse(bombs.SERVED[name])
    text = least(schema)
    assert time.process_time() - begun < SECONDS
    assert len(text) < 100


@pytest.mark.parametrize("name", bombs.REFUSED)
def test_a_schema_that_asks_for_too_much_is_refused_at_once_and_by_name(name: str) -> None:
    raw, sentence = bombs.REFUSED[name]
    begun = time.process_time()
    with pytest.raises(UnsupportedSchema, match=sentence):
        least(Schema.parse(raw))
    assert time.process_time() - begun < SECONDS


def test_a_union_has_each_branch_once_however_many_ways_lead_to_it() -> None:
    (plain,) = Schema.parse(bombs.LAUGHS).root.alternatives()
    assert plain.types == {"string"}


def test_a_key_is_matched_as_the_validator_matches_it() -> None:
    raw = {"type": "object", "patternProperties": {"^(a+)+$": {"type": "null"}}}
    schema = Schema.parse({**raw, "additionalProperties": False})
    for key in ("aaa", "b", "aaab", "a" * 30 + "\n"):
        assert (schema.root.member(key) is not None) == schema.is_valid({key: None})


@pytest.mark.parametrize(
    ("words", "beginnings"),
    [
        (("yes", "no"), {"y", "n"}),
        (("car", "cart", "care"), {"cart", "care"}),
        (("", "a"), {"a"}),
        (("only",), {"o"}),
        (tuple(map(str, range(100_000, 200_000))), set(map(str, range(100_000, 200_000)))),
    ],
)
def test_a_word_is_known_by_its_shortest_beginning_of_its_own(
    words: tuple[str, ...], beginnings: set[str]
) -> None:
    begun = time.process_time()
    assert set(Words(words).decided) == beginnings
    assert time.process_time() - begun < SECONDS
