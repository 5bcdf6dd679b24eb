"""The guard against endless output, on texts as models write them."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from leafstream.decoder.runaway import Guard, Runaway

WINDOW = 64


def told(chunks: Iterable[str], guard: Guard | None = None) -> tuple[int, Runaway] | None:
    """After how many chunks, and what."""
    guard = guard or Guard()
    for number, chunk in enumerate(chunks, 1):
        if runaway := guard.feed(chunk, path="/title"):
            return number, runaway
    return None


def cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 10, 64])
@pytest.mark.parametrize(
    ("waste", "reason"),
    [
        (" ", "white_space"),
        ("\n", "white_space"),
        ("\n\n   \t", "white_space"),
        ("\\n", "white_space"),
        ("a", "character"),
        ("ㅋ", "character"),
        ("-", "character"),
        ("Rewind ", "cycle"),
        (", eco-friendly", "cycle"),
        ("2023 Eco Challenge ", "cycle"),
        ("텀블러를 사용하세요. ", "cycle"),
        ("nonono-", "cycle"),
    ],
)
def test_waste_is_told_with_its_reason_in_any_chunking(waste: str, reason: str, size: int) -> None:
    found = told(cut('{"title": "Eco ' + waste * 2_000, size))
    assert found is not None
    assert found[1].reason == reason
    assert found[0] * size <= 15 + 3 * len(waste) + 4 * WINDOW + 8 * size


@pytest.mark.parametrize("chunk", [" ", "\n", "\n\n", "  ", "\\n", "\\n\\n", "a", "ㅋㅋ", "==="])
def test_blanks_and_one_character_are_told_with_the_64th_token(chunk: str) -> None:
    found = told(["{", '"title', '": "', *[chunk] * 200])
    assert found is not None
    number, runaway = found
    assert number - 3 <= WINDOW
    assert runaway.tokens == number - 3
    if len(chunk) <= 2:
        assert number - 3 == WINDOW


@pytest.mark.parametrize("length", range(1, 65))
def test_a_cycle_is_told_64_tokens_after_it_was_there_three_times(length: int) -> None:
    cycle = [f" w{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(length)]
    found = told([*["Some", " text", ":"], *cycle * 200])
    assert found is not None
    number, runaway = found
    assert runaway.reason == "cycle"
    assert 3 * length < number - 3 <= 3 * length + WINDOW


@pytest.mark.parametrize("length", [1, 2, 5, 16, 17, 40, 63, 64])
def test_a_cycle_of_short_tokens_is_told_exactly_then(length: int) -> None:
    cycle = [chr(0xAC00 + 28 * n) + "나" for n in range(length)]
    found = told([*["Some", " text", ":"], *cycle * 200])
    assert found is not None
    assert found[0] - 3 == 3 * length + WINDOW
    assert found[1].tokens == 2 * length + WINDOW


@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_a_string_past_its_bound_is_told_within_64_tokens(size: int) -> None:
    guard = Guard()
    chunks = [f"{number:0{size}}"[-size:] for number in range(1_000)]
    for chunk in chunks[:100]:
        assert guard.feed(chunk, path="/a") is None
    waste = [guard.feed(c, path="/a", num_over=n * size) for n, c in enumerate(chunks[:WINDOW], 1)]
    first = next(runaway for runaway in waste if runaway is not None)
    assert first == Runaway("past_bound", "the string at /a goes on past its bound", first.tokens)
    assert first.tokens == waste.index(first) + 1 == min(WINDOW, -(-2 * WINDOW // size))


def test_the_bound_of_another_string_is_counted_anew() -> None:
    guard = Guard()
    for number in range(300):
        at = number % 20
        assert guard.feed(f" {number}", path=f"/{number // 20}", num_over=2 * at + 1) is None


@pytest.mark.parametrize("tokens", [2, 5, 16, 64])
@pytest.mark.parametrize("waste", [" ", "\n\n", "ㅋㅋ", " on and on", "abcdefg "])
def test_chunks_of_many_tokens_are_stopped_where_their_tokens_are(waste: str, tokens: int) -> None:
    pieces = [*["Some", " more", " text", ":"] * 4, *[waste] * 400]
    alone = told(pieces)
    assert alone is not None
    guard = Guard()
    for end in range(tokens, len(pieces), tokens):
        if guard.feed("".join(pieces[end - tokens : end]), tokens):
            break
    assert 0 <= end - alone[0] < tokens + 16


def test_a_character_of_many_tokens_is_not_waste_for_that() -> None:
    guard = Guard()
    assert [guard.feed("😂", tokens=4) for _ in range(60)] == [None] * 60


def test_the_message_shows_what_is_repeated_and_where() -> None:
    found = told(["Rewind "] * 100)
    assert found is not None
    assert found[1].message == "'Rewind ' 40 times in a row at /title"


def test_waste_is_told_again_for_as_long_as_it_goes_on() -> None:
    guard = Guard()
    chunks = [guard.feed(" on") for _ in range(70)]
    assert [chunk is not None for chunk in chunks] == [False] * 66 + [True] * 4
    assert guard.feed(" it ended") is None


def test_empty_chunks_are_nothing() -> None:
    assert told([""] * 1_000) is None


def test_the_window_is_a_setting() -> None:
    found = told([" "] * 100, Guard(window=20))
    assert found is not None
    assert found[0] == 20
    found = told(["하", "하", " "] * 100, Guard(window=20, repeats=12))
    assert found is not None
    assert found[0] == 56


def pretty(depth: int) -> str:
    return "".join(f'\n{" " * 2 * level}"k{level}": {{' for level in range(depth))


LEGITIMATE = {
    "a table's ruler": "| a | b |\n" + "|---" * 12 + "|\n| 1 | 2 |",
    "a ruler of dashes": "Title\n" + "-" * 60 + "\ntext",
    "indentation of 40": '{\n' + " " * 40 + '"a": 1,\n' + " " * 40 + '"b": 2\n}',
    "pretty JSON": pretty(20),
    "laughter": "ha " * 20 + "that was good",
    "Korean laughter": "ㅋ" * 30 + " 그러네 " + "ㅠ" * 30,
    "60 zeros": "[" + ", ".join(["0"] * 60) + "]",
    "60 zeros a line each": "[" + ",\n      ".join(["0"] * 60) + "]",
    "60 decimals": "[" + ", ".join(["0.0"] * 60) + "]",
    "60 truths": "[" + ",".join(["true"] * 60) + "]",
    "small numbers": "[" + ",".join(["1", "2"] * 40) + "]",
    "an identity matrix": "[" + ",".join(["[0,0,0,0,0,0,0,0,0,0]"] * 10) + "]",
    "40 equal labels": "[" + ", ".join(['"neutral"'] * 40) + "]",
    "equal objects": "[" + ", ".join(['{"x": 0, "label": "none"}'] * 20) + "]",
    "a refrain": "We will, we will rock you.\n" * 3 + "Buddy, you are a boy\n",
    "a verse of a round": "row row row your boat gently down the stream " * 4,
    "a paragraph three times": "Wash a cup, carry it; 하루 한 잔씩 줄입니다. " * 3,
    "indented JSON": json.dumps({"a": {"b": {"c": [1, {"d": None}]}}}, indent=8),
    "the same keys": "[" + ", ".join(f'{{"title": "t{n * 7919}", "description": "d{n}"}}'
                                     for n in range(60)) + "]",
    "a list": "".join(f"- Bring a cup, day {n}\n" for n in range(100)),
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 3, 4, 10])
@pytest.mark.parametrize("name", LEGITIMATE)
def test_repetition_that_is_meant_is_let_through(name: str, size: int) -> None:
    assert told(cut(LEGITIMATE[name] + " And then it ends.", size)) is None


@pytest.mark.parametrize("item", ["0, ", "0,", "true, ", "|---", '"a", ', '{"a": 0}, ', "😂🤣"])
def test_even_structure_is_told_in_the_end(item: str) -> None:
    found = told(cut("[" + item * 4_000, 3))
    assert found is not None
    seen = 3 * found[0]
    assert seen >= 80 * len(item)
    assert seen <= 1 + 3 * len(item) + 4 * 4 * WINDOW + 16 * 3
