"""What one text event holds, and what of a model's text is nobody's to read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from leafstream import Assistant
from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.errors import InvalidRequest, SetupError
from leafstream.events import Event, TextAppended, ValueSet
from tests.house import STREAM, house


class Note(BaseModel):
    title: str
    body: str
    number: int


FAMILY = "👩\u200d👩\u200d👧"
TITLE, BODY = "텀블러를 꼭 챙기자", f"그는 간다. 매일 온다! {FAMILY} cafe\u0301"
NOTE = {"title": TITLE, "body": BODY, "number": 3}
TOKENS = list(json.dumps(NOTE, ensure_ascii=False))
WORDS = (
    ["텀블러를 ", "꼭 ", "챙기자"],
    ["그는 ", "간다. ", "매일 ", "온다! ", f"{FAMILY} ", "cafe\u0301"],
)
SENTENCES = ([TITLE], ["그는 간다. ", "매일 온다! ", f"{FAMILY} cafe\u0301"])
CLUSTERS = ([*TITLE], [*"그는 간다. 매일 온다! ", FAMILY, *" caf", "e\u0301"])


async def told(
    folder: Path, assistant: Assistant, tokens: Sequence[str], delay: float = 0.01, **body: Any
) -> list[Event]:
    """The events that a reader gets who more or less keeps up."""
    engine = ScriptedEngine(tokens, Play(delay=delay, constrains=False))
    async with house(folder, engine, {"it": assistant}) as served:
        events = await served.stream({"assistant": "it", "input": "go", **body})
    return [event for _, event in events]


def inner_borders(events: list[Event], wanted: dict[str, list[str]]) -> int:
    """How many of the `wanted` borders the texts have, which have no others and are whole.

    Neighbours that came while the log was being written are one event, so some may lack.
    """
    num_found = 0
    for path, parts in wanted.items():
        texts = [e.text for e in events if isinstance(e, TextAppended) and e.path == path]
        found, allowed = (set(accumulate(map(len, all_of))) for all_of in (texts, parts))
        assert "".join(texts) == "".join(parts)
        assert found <= allowed, texts
        num_found += len(found) - 1
    return num_found


@pytest.mark.parametrize(
    ("grain", "wanted"), [("word", WORDS), ("sentence", SENTENCES), ("token", CLUSTERS)]
)
@pytest.mark.parametrize("whose", ["request", "assistant"])
async def test_a14_the_grain_is_a_setting_of_the_assistant_and_of_the_request(
    tmp_path: Path, whose: str, grain: str, wanted: tuple[list[str], list[str]]
) -> None:
    if whose == "request":
        events = await told(tmp_path, Assistant(Note, pace="sentence"), TOKENS, pace=grain)
    else:
        events = await told(tmp_path, Assistant(Note, pace=grain), TOKENS)
    assert inner_borders(events, {"/title": wanted[0], "/body": wanted[1]}) > 0


async def test_a14_each_field_can_have_a_grain_of_its_own(tmp_path: Path) -> None:
    pace = {"default": "sentence", "fields": {"/body": "word"}}
    events = await told(tmp_path, Assistant(Note), TOKENS, pace=pace)
    assert inner_borders(events, {"/title": SENTENCES[0], "/body": WORDS[1]}) > 0


@pytest.mark.parametrize("grain", ["token", "word", "sentence", {"ms": 10_000}])
async def test_a14_no_text_waits_longer_than_its_field_is_written(
    tmp_path: Path, grain: Any
) -> None:
    text = json.dumps(NOTE, ensure_ascii=False)
    engine = ScriptedEngine([text[:-2], *[" "] * 30, text[-2:]], Play(delay=0.01))
    async with house(tmp_path, engine, {"it": Assistant(Note, pace=grain)}) as served:
        body = {"assistant": "it", "input": "go"}
        async with served.http.stream("POST", "/v1/answers", json=body, headers=STREAM) as answer:
            seen = ""
            async for line in answer.aiter_lines():
                seen += line
                if "cafe\u0301" in seen:
                    break
    assert '"/number"' not in seen


def test_a14_a_grain_that_is_none_is_refused_when_it_is_declared() -> None:
    with pytest.raises(InvalidRequest, match="pace is"):
        Assistant(Note, pace="letter")


@pytest.mark.parametrize("answer", [Note, str])
async def test_a9_reasoning_is_not_shown_and_its_marks_are_a_setting_of_the_assistant(
    tmp_path: Path, answer: type
) -> None:
    said = json.dumps(NOTE) if answer is Note else "A cup."
    for reasoning, wrote in (
        ((("<think>", "</think>"),), f'<think>a {{"title": "no"}}</think>{said}'),
        ((("[THINK]", "[/THINK]"), ("<a>", "</a>")), f"<a>no</a>[THINK]no[/THINK]{said}"),
        ((("", "</think>"),), f'{{"title": "no"}}</think>{said}'),
    ):
        events = await told(tmp_path, Assistant(answer, reasoning=reasoning), [*wrote], delay=0)
        texts = [event.text for event in events if isinstance(event, TextAppended)]
        whole = TITLE + BODY if answer is Note else said
        assert "".join(texts) == whole
        assert not [e for e in events if isinstance(e, ValueSet) and e.value == "no"]


@pytest.mark.parametrize("reasoning", ["<think>", ("<think>", "</think>"), (("<think>", ""),)])
def test_a9_marks_of_reasoning_that_are_none_are_refused_when_they_are_declared(
    reasoning: Any,
) -> None:
    with pytest.raises(SetupError, match="reasoning is pairs"):
        Assistant(Note, reasoning=reasoning)
