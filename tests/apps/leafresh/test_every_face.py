"""The chatbot's assistant answers from what is found, whichever face it is asked through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from leafstream.engines.scripted import ScriptedEngine
from leafstream.events import Event, Started
from tests.apps.leafresh.chatbot import ANSWER, FREE_TEXT, chatbot
from tests.house import House

MESSAGE = "헌 옷으로 만들 수 있는 거 알려줘"
BEST = "헌 티셔츠로 장바구니"


async def route(served: House) -> list[Event]:
    given = {"sessionId": "s1", "message": MESSAGE}
    response = await served.http.get(FREE_TEXT, params=given)
    return [event for _, event in await served.replay(response.headers["Leafstream-Answer"])]


async def native(served: House, **given: str) -> list[Event]:
    body = {"assistant": "leafresh", "input": {"message": MESSAGE, **given}}
    return [event for _, event in await served.stream(body)]


async def chat(served: House) -> list[Event]:
    async with AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none") as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="leafresh", messages=[{"role": "user", "content": MESSAGE}]
        )
    return [event for _, event in await served.replay(raw.headers["Leafstream-Answer"])]


async def responses(served: House) -> list[Event]:
    async with AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none") as client:
        made = await client.responses.create(model="leafresh", input=MESSAGE)
    answer = made.id.replace("resp_", "ans_")
    return [event for _, event in await served.replay(answer)]


def sources(events: list[Event]) -> list[dict[str, Any]]:
    started = events[0]
    assert isinstance(started, Started)
    return [source for source in started.sources or [] if isinstance(source, dict)]


@pytest.mark.parametrize("ask", [native, chat, responses])
async def test_each_face_finds_and_asks_what_the_chatbots_own_does(
    tmp_path: Path, ask: Any
) -> None:
    engine = ScriptedEngine(ANSWER)
    async with chatbot(tmp_path, engine) as served:
        found = sources(await route(served))
        other = sources(await ask(served))
    assert found == other
    assert len(found) == 5
    assert found[0]["title"] == BEST
    one, two = (generation.prompt.messages for generation in engine.generations)
    assert one == two


async def test_a_category_that_is_given_counts_more_than_the_words_of_the_message(
    tmp_path: Path,
) -> None:
    async with chatbot(tmp_path) as served:
        found = sources(await native(served, category="비건"))
    assert {source["category"] for source in found} == {"VEGAN"}
