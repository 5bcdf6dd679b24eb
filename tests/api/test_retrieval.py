"""What an assistant's `retrieve` finds: in the prompt, in `started`, and kept with the answer."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from leafstream import Assistant, Grounds
from leafstream.engines.scripted import ScriptedEngine
from leafstream.errors import SetupError
from leafstream.events import Started
from leafstream.messages import Message
from tests.api.openai_client import openai_house
from tests.house import House, house

EXAMPLE = (Message("user", "an example"), Message("assistant", "its answer"))
ASK = {"assistant": "docs", "input": "Where is it?"}


class Shelf:
    """Finds another text each time it is asked."""

    def __init__(self, seconds: float = 0) -> None:
        self.asked: list[str] = []
        self._seconds = seconds

    def find(self, question: str) -> Grounds:
        time.sleep(self._seconds)
        self.asked.append(question)
        found = f"text {len(self.asked)}"
        return Grounds(f"Known: {found}", EXAMPLE, [{"title": found}])


def serving(shelf: Shelf) -> dict[str, Assistant]:
    docs = Assistant(instructions="Be brief.", retrieve=shelf.find)
    return {"docs": docs, "chat": Assistant()}


async def begun(served: House, answer: str) -> Started:
    event = (await served.replay(answer))[0][1]
    assert isinstance(event, Started)
    return event


async def test_what_is_found_ends_the_system_turn_and_is_told_as_sources(tmp_path: Path) -> None:
    engine, shelf = ScriptedEngine("There."), Shelf()
    async with house(tmp_path, engine, serving(shelf)) as served:
        events = await served.stream(ASK)
    started = events[0][1]
    assert isinstance(started, Started)
    assert started.sources == [{"title": "text 1"}]
    assert shelf.asked == ["Where is it?"]
    assert engine.generations[0].prompt.messages == (
        Message("system", "Be brief.\n\nKnown: text 1"),
        *EXAMPLE,
        Message("user", "Where is it?"),
    )


async def test_a_later_turn_brings_its_own_and_the_earlier_ones_stay_as_they_were(
    tmp_path: Path,
) -> None:
    engine, shelf = ScriptedEngine("There."), Shelf()
    async with house(tmp_path, engine, serving(shelf)) as served:
        made = (await served.http.post("/v1/conversations", json={"assistant": "docs"})).json()
        for _ in range(2):
            await served.stream({**ASK, "conversation": made["id"]})
    assert engine.generations[1].prompt.messages == (
        Message("system", "Be brief.\n\nKnown: text 2"),
        *EXAMPLE,
        Message("user", "Where is it?"),
        Message("assistant", "There."),
        Message("user", "Where is it?"),
    )


async def test_the_same_idempotency_key_finds_the_same_answer_and_looks_for_nothing(
    tmp_path: Path,
) -> None:
    shelf = Shelf()
    async with house(tmp_path, ScriptedEngine("There."), serving(shelf)) as served:
        first = await served.stream(ASK, **{"Idempotency-Key": "k"})
        again = await served.stream(ASK, **{"Idempotency-Key": "k"})
    assert first[0] == again[0]
    assert first[-1] == again[-1]
    assert len(shelf.asked) == 1


async def test_what_was_found_is_kept_for_the_process_that_goes_on(tmp_path: Path) -> None:
    async with house(tmp_path, ScriptedEngine("There."), serving(Shelf())) as served:
        answer = await served.begin(ASK)
        kept = (await served.app.log.opening(answer)).ask.grounds
    assert kept == Grounds("Known: text 1", EXAMPLE, [{"title": "text 1"}])


async def test_an_answer_of_another_type_is_written_from_what_is_found_too(tmp_path: Path) -> None:
    engine, shelf = ScriptedEngine('{"place":"here"}'), Shelf()
    schema = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
    form: Any = {"format": {"type": "json_schema", "name": "place", "schema": schema}}
    async with openai_house(tmp_path, engine, assistants=serving(shelf)) as (served, client):
        made = await client.responses.create(model="docs", input="Where is it?", text=form)
        started = await begun(served, made.id.replace("resp_", "ans_"))
    assert made.output_text == '{"place":"here"}'
    assert started.sources == [{"title": "text 1"}]
    assert engine.generations[0].prompt.messages[0].content == "Be brief.\n\nKnown: text 1"


async def test_a_slow_search_holds_nobody_else_up(tmp_path: Path) -> None:
    async with house(tmp_path, ScriptedEngine("There."), serving(Shelf(1.0))) as served:
        slow = asyncio.create_task(served.stream(ASK))
        await asyncio.sleep(0.1)
        await served.stream({"assistant": "chat", "input": "go"})
        assert not slow.done()
        await slow


def test_a_coroutine_function_is_refused_where_it_is_declared() -> None:
    async def find(question: str) -> Grounds:
        return Grounds(question)

    wrong: Any = find
    with pytest.raises(SetupError, match="plain function"):
        Assistant(retrieve=wrong)


async def test_a_search_that_gives_something_else_is_named_for_it(tmp_path: Path) -> None:
    wrong: Any = str.upper
    docs = {"docs": Assistant(retrieve=wrong)}
    async with house(tmp_path, ScriptedEngine("There."), docs) as served:
        refused = await served.http.post("/v1/answers", json=ASK)
    assert refused.status_code == 500
    assert refused.json()["error"]["message"] == "an assistant's retrieve gives Grounds, not str"
