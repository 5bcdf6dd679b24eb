"""Output without end, each kind against the running server: it ends early, valid and told."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from leafstream import Assistant
from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.events import Event, Finished, Noticed
from tests.house import house, texts

WINDOW = 64


class Card(BaseModel):
    title: str = Field(max_length=40)
    kind: Literal["WASTE", "WATER"] = "WASTE"
    tips: list[str]


card = Assistant(Card)
ASSISTANTS = {"card": card, "chat": Assistant()}
ASK = {"assistant": "card", "input": "go"}


async def stopped(folder: Path, tokens: list[str]) -> tuple[Finished, Noticed, dict[str, str]]:
    """How an answer of `tokens` ends, what is said of it, and the text of its fields."""
    engine = ScriptedEngine(tokens, Play(delay=None, constrains=False, context_window=8_192))
    async with house(folder, engine, ASSISTANTS) as served:
        events = await served.stream(ASK)
    finished, notices = events[-1][1], [event for _, event in events if isinstance(event, Noticed)]
    assert isinstance(finished, Finished)
    assert finished.finish == "runaway"
    assert card.errors(finished.value) == []
    assert [notice.code for notice in notices] == ["runaway_stopped"]
    assert is_told(events, finished)
    return finished, notices[0], texts(events)


def is_told(events: list[tuple[int, Event]], finished: Finished) -> bool:
    """Whether each field's text is what is in the value: nothing of it was taken back."""
    said = texts(events)
    value = finished.value
    assert isinstance(value, dict)
    return said.get("/title", "") == value["title"]


@pytest.mark.parametrize("blank", [" ", "\n", "\t\n  ", "\r\n"])
@pytest.mark.parametrize(
    "begun", ['{"title": "cup"', '{"title": "cup",', '{"title": "cup", "tips": [']
)
async def test_b1_endless_white_space_ends_the_answer_within_64_tokens(
    tmp_path: Path, begun: str, blank: str
) -> None:
    finished, notice, _ = await stopped(tmp_path, [begun, *[blank] * 3_000])
    assert finished.usage.completion_tokens <= 1 + WINDOW
    assert "white space" in notice.message
    assert finished.value == {"title": "cup", "tips": []}


@pytest.mark.parametrize("blank", [" ", "\\n", "\\t"])
async def test_b1_endless_white_space_in_a_string_ends_it_within_64_tokens(
    tmp_path: Path, blank: str
) -> None:
    finished, notice, _ = await stopped(tmp_path, ['{"tips": ["cup', *[blank] * 3_000])
    assert finished.usage.completion_tokens <= 1 + WINDOW
    assert "white space" in notice.message
    assert notice.path == "/tips/0"


@pytest.mark.parametrize("char", ["a", "ㅋ", "-", "👍"])
async def test_b1_one_character_without_end_ends_the_answer_within_64_tokens(
    tmp_path: Path, char: str
) -> None:
    finished, notice, said = await stopped(tmp_path, ['{"tips": ["so ', *[char] * 3_000])
    assert finished.usage.completion_tokens <= 1 + WINDOW
    assert notice.message == f"the character {char!r} without end at /tips/0"
    assert said["/tips/0"] == "so " + char * (finished.usage.completion_tokens - 1)


@pytest.mark.parametrize("length", [2, 3, 7, 16, 33, 64])
async def test_b1_a_cycle_of_up_to_64_tokens_ends_the_answer_64_tokens_after_three_times(
    tmp_path: Path, length: int
) -> None:
    words = [f" {chr(97 + n % 26)}{chr(97 + n // 26)}e" for n in range(length)]
    finished, notice, _ = await stopped(tmp_path, ['{"tips": ["', *words * 60])
    assert finished.usage.completion_tokens <= 1 + 3 * length + WINDOW
    assert "times in a row at /tips/0" in notice.message


async def test_b1_a_string_past_its_bound_is_cut_there_within_64_tokens(tmp_path: Path) -> None:
    draw = random.Random(7)
    words = [" " + "".join(draw.choices("etaoinshrdlu", k=3)) for _ in range(2_000)]
    finished, notice, said = await stopped(tmp_path, ['{"title": "', *words])
    assert finished.usage.completion_tokens <= 1 + 10 + WINDOW
    assert notice.message == "the string at /title goes on past its bound"
    assert notice.path == "/title"
    assert finished.cut == ("/title",)
    assert finished.missing == ("/tips",)
    assert said["/title"] == "".join(words)[:40]


async def test_b1_a_word_that_is_none_of_those_allowed_is_past_its_bound(tmp_path: Path) -> None:
    draw = random.Random(7)
    words = [" " + "".join(draw.choices("etaoinshrdlu", k=3)) for _ in range(2_000)]
    finished, notice, said = await stopped(tmp_path, ['{"title": "cup", "kind": "', *words])
    assert finished.usage.completion_tokens <= 1 + 2 + WINDOW
    assert notice.path == "/kind"
    assert said == {"/title": "cup"}


async def test_b1_a_long_answer_that_does_not_repeat_itself_is_let_through(tmp_path: Path) -> None:
    draw = random.Random(7)
    tips = [" ".join("".join(draw.choices("etaoin", k=4)) for _ in range(60)) for _ in range(12)]
    text = json.dumps({"title": "cup", "tips": tips}, indent=4)
    engine = ScriptedEngine(text, Play(delay=None, context_window=8_192))
    async with house(tmp_path, engine, ASSISTANTS) as served:
        events = await served.stream(ASK)
    assert isinstance(finished := events[-1][1], Finished)
    assert (finished.finish, finished.complete) == ("stop", True)


async def test_b1_plain_text_that_goes_in_circles_ends_with_what_was_said(tmp_path: Path) -> None:
    engine = ScriptedEngine(["So", *[" be", " it"] * 900], Play(delay=None, context_window=8_192))
    async with house(tmp_path, engine, ASSISTANTS) as served:
        events = await served.stream({"assistant": "chat", "input": "go"})
    assert isinstance(finished := events[-1][1], Finished)
    assert finished.finish == "runaway"
    assert finished.usage.completion_tokens <= 1 + 6 + WINDOW
    assert finished.value == texts(events)[""]


async def test_b1_an_assistant_may_be_declared_to_go_in_circles(tmp_path: Path) -> None:
    chant = Assistant(guard=False)
    engine = ScriptedEngine([" be", " it"] * 300, Play(delay=None))
    async with house(tmp_path, engine, {"chant": chant}) as served:
        events = await served.stream({"assistant": "chant", "input": "go"})
    assert isinstance(finished := events[-1][1], Finished)
    assert (finished.finish, finished.value) == ("stop", " be it" * 300)
