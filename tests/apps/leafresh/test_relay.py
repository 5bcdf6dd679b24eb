"""A relay that forwards each event by its name, as the Spring server before the chatbot does."""

from __future__ import annotations

from pathlib import Path

import httpx2

from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.errors import EngineError
from tests.apps.leafresh.between import relay
from tests.apps.leafresh.chatbot import ANSWER, OFF_TOPIC, READ, SOMEBODY, chatbot, text, told

BASE_INFO = "/chatbot/recommendation/base-info"
FREE_TEXT = "/chatbot/recommendation/free-text"


async def test_a_relay_passes_on_the_text_and_the_close_by_name(tmp_path: Path) -> None:
    async with (
        chatbot(tmp_path, heartbeat_seconds=0.05) as served,
        relay(served.url) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        events = await told(http, BASE_INFO, SOMEBODY)
        other = await told(http, FREE_TEXT, {"sessionId": "s1", "message": "오늘 날씨 어때?"})
    assert text(events) == READ
    assert [sent.event for sent in events[-2:]] == ["challenge", "close"]
    assert events[-1].data["data"]["challenges"][2]["label"] == "제로웨이스트"
    assert text(other) == OFF_TOPIC


async def test_a_relay_passes_on_an_error_and_a_refusal(tmp_path: Path) -> None:
    play = Play(fail_after=8, failure=EngineError("it broke"), context_window=4096)
    async with (
        chatbot(tmp_path, ScriptedEngine(ANSWER, play)) as served,
        relay(served.url) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        events = await told(http, BASE_INFO, SOMEBODY)
        refused = await http.get(BASE_INFO, params={"sessionId": "s1"})
    assert events[-1].event == "error"
    assert events[-1].data["status"] == 502
    assert refused.status_code == 400
    assert refused.json()["message"] == "location, workType, category은 필수입니다."


async def test_a_relay_that_is_left_lets_the_answer_go(tmp_path: Path) -> None:
    engine = ScriptedEngine(ANSWER, Play(delay=0.02, context_window=4096))
    async with (
        chatbot(tmp_path, engine, grace_seconds=0.1) as served,
        relay(served.url) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        async with http.stream("GET", BASE_INFO, params=SOMEBODY) as response:
            await anext(response.aiter_bytes())
        async with http.stream("GET", BASE_INFO, params=SOMEBODY) as response:
            async for _ in response.aiter_bytes():
                pass
    assert engine.running == 0
    assert len(engine.generations) == 2
