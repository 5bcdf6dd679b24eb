"""Limits are planned, told and kept, and an answer ends valid at each of them."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.errors import EngineUnavailable
from leafstream.events import Failed, Finished, Noticed, Started
from tests.house import ASK_PAIR, PAIR_TEXT, STREAM, house, kinds
from tests.promises.declared import ASSISTANTS, ask


@pytest.mark.parametrize("limit", range(20, 60, 3))
async def test_a3_an_answer_cut_by_its_limit_is_valid_and_says_what_is_cut_and_missing(
    tmp_path: Path, limit: int
) -> None:
    value = {"intro": "Three things to say", "items": [{"said": f"thing {n}"} for n in range(3)]}
    engine = ScriptedEngine(json.dumps(value))
    async with house(tmp_path, engine, ASSISTANTS, soft_landing=False) as served:
        events = await served.stream(ask("many", max_tokens=limit))
    finished = events[-1][1]
    assert isinstance(finished, Finished)
    assert ASSISTANTS["many"].errors(finished.value) == []
    whole = finished.value == value
    assert finished.complete == whole
    assert whole or finished.finish == "length"
    assert bool(finished.cut or finished.missing) == (not whole)


async def test_a4_b10_a_limit_beyond_the_context_is_clamped_and_told(tmp_path: Path) -> None:
    async with house(tmp_path, assistants=None) as served:
        events = await served.stream({**ASK_PAIR, "max_tokens": 99_999})
    started = events[0][1]
    assert isinstance(started, Started)
    plan = started.plan
    assert plan.clamped_from == 99_999
    assert plan.max_tokens + plan.prompt_tokens == plan.context_window


async def test_a4_a_prompt_that_cannot_fit_is_422_with_the_numbers(tmp_path: Path) -> None:
    async with house(tmp_path) as served:
        body = {"assistant": "pair", "input": "x" * 20_000}
        response = await served.http.post("/v1/answers", json=body, headers=STREAM)
    assert response.status_code == 422
    error = response.json()["error"]
    assert error["code"] == "prompt_too_long"
    assert error["context_window"] == 2048
    assert error["prompt_tokens"] > 5000


async def test_a3_an_engine_with_a_cap_of_its_own_is_continued_to_one_unbroken_answer(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine(PAIR_TEXT, Play(cap=2))
    async with house(tmp_path, engine) as served:
        events = await served.stream(ASK_PAIR)
    finished = events[-1][1]
    assert isinstance(finished, Finished)
    assert finished.value == {"title": "Bring a cup", "count": 3}
    assert finished.complete
    assert {e.code for _, e in events if isinstance(e, Noticed)} == {"continued"}


async def test_a_lost_engine_is_waited_for_from_its_last_token_on(tmp_path: Path) -> None:
    lost = Play(delay=0.1, fail_after=4, failure=EngineUnavailable("connection lost"))
    engine = ScriptedEngine(PAIR_TEXT, lost)
    async with house(tmp_path, engine, engine_patience_seconds=0.2) as served:
        events = await served.stream(ASK_PAIR)
    assert isinstance(events[-1][1], Finished)


async def test_an_engine_that_says_when_it_is_back_is_not_asked_before(tmp_path: Path) -> None:
    away = Play(fail_after=4, failure=EngineUnavailable("busy", retry_after=1))
    begun = time.monotonic()
    async with house(tmp_path, ScriptedEngine(PAIR_TEXT, away)) as served:
        events = await served.stream(ASK_PAIR)
    assert isinstance(events[-1][1], Finished)
    assert time.monotonic() - begun >= kinds(events).count("notice")


async def test_an_engine_that_is_away_for_longer_than_the_patience_is_not_waited_for(
    tmp_path: Path,
) -> None:
    away = Play(fail_after=4, failure=EngineUnavailable("busy", retry_after=60))
    async with house(tmp_path, ScriptedEngine(PAIR_TEXT, away)) as served:
        events = await asyncio.wait_for(served.stream(ASK_PAIR), 5)
    assert events[-1][1] == Failed(
        "engine_unavailable", 503, "busy", retryable=True, retry_after=60
    )


async def test_a_lost_engine_that_comes_back_is_continued(tmp_path: Path) -> None:
    lost = Play(fail_after=3, failure=EngineUnavailable("connection lost"))
    async with house(tmp_path, ScriptedEngine(PAIR_TEXT, lost)) as served:
        events = await served.stream(ASK_PAIR)
    finished = events[-1][1]
    assert isinstance(finished, Finished)
    assert finished.value == {"title": "Bring a cup", "count": 3}
