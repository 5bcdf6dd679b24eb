"""What is endless is told in time, and what only repeats itself is left alone."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leafstream.decoder.runaway import MAX_PERIOD, REPEATS, Guard, Runaway

PROSE = (
    "A reusable cup saves about five hundred paper cups in a year. Wash it, carry it, and ask "
    "for a discount; 텀블러를 쓰면 하루 한 잔씩 줄일 수 있습니다. "
)


def told(chunks: list[str]) -> tuple[int, Runaway] | None:
    """After how many chunks the guard speaks, and what it says."""
    guard = Guard()
    for number, chunk in enumerate(chunks, 1):
        if (runaway := guard.feed(chunk)) is not None:
            return number, runaway
    return None


def words(text: str) -> list[str]:
    return [word + " " for word in text.split()]


@pytest.mark.parametrize("blank", ["\n", " ", "\t", "  \n", "\n" * 8])
def test_endless_white_space_is_told_within_64_tokens(blank: str) -> None:
    begun = words(PROSE)
    found = told([*begun, *[blank] * 100])
    assert found is not None
    assert found[0] - len(begun) <= 64
    assert found[1].reason == "white_space"


@pytest.mark.parametrize("character", ["ㅋ", "a", "=", "!!!!"])
def test_one_character_repeated_is_told_within_64_tokens(character: str) -> None:
    found = told([*words(PROSE), *[character] * 100])
    assert found is not None
    assert found[0] - len(words(PROSE)) <= 64
    assert found[1].reason == "character"


def test_a_string_past_its_bound_is_told_within_64_tokens() -> None:
    guard = Guard()
    verdicts = [guard.feed(str(n), "/title", over_bound=n > 10) for n in range(100)]
    first = next(n for n, verdict in enumerate(verdicts) if verdict)
    assert first - 10 <= 64
    assert verdicts[first] == Runaway("past_bound", "a string at /title went past its bound", 64)


@pytest.mark.parametrize(
    "cycle",
    ["Rewind", ", eco-friendly", "2023 Eco Challenge", "the cup is good and the cup is new so"],
)
def test_what_small_models_fall_into_is_told(cycle: str) -> None:
    begun = words(PROSE)
    found = told([*begun, *words(cycle) * 40])
    assert found is not None
    assert found[1].reason == "cycle"
    assert found[0] - len(begun) <= max(2 * REPEATS + 2, (REPEATS + 1) * len(words(cycle)))


@given(st.integers(1, MAX_PERIOD), st.integers(0, 2**32), st.text(max_size=40))
def test_a_cycle_of_any_length_up_to_64_tokens_is_told(period: int, seed: int, before: str) -> None:
    draw = random.Random(seed)
    cycle = [f" w{number}{draw.random():.3f}" for number in range(period)]
    begun = list(before)
    found = told([*begun, *cycle * 40])
    assert found is not None
    assert found[0] - len(begun) <= max(2 * REPEATS + 2, (REPEATS + 1) * period)


@given(st.integers(0, 2**32))
def test_text_that_does_not_repeat_is_left_alone(seed: int) -> None:
    draw = random.Random(seed)
    assert told([f" {draw.randrange(10**9)}" for _ in range(400)]) is None


@pytest.mark.parametrize(
    "text",
    [
        PROSE * 3,
        "|---|---|---|---|---|---|---|---|",
        "ha ha ha ha ha",
        "ㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋ",
        json.dumps([0] * 20),
        json.dumps({"rows": [{"title": f"t{n}", "description": f"d{n * n}"} for n in range(40)]}),
        json.dumps({"a": {"b": {"c": [1, {"d": None}]}}}, indent=8),
        "row row row your boat gently down the stream " * 4,
    ],
)
def test_legitimate_repetition_is_left_alone(text: str) -> None:
    assert told(list(text)) is None
    assert told(words(text)) is None
