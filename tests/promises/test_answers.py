"""Promises about what a client reads, each against the running server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field, field_validator

from leafstream import Assistant
from leafstream.engines.base import Generation
from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.errors import EngineUnavailable
from leafstream.events import Failed, Finished, Noticed, Started
from tests.house import ASK_PAIR, PAIR_TEXT, STREAM, house, kinds, texts

SAID = '그는 "텀블러"를 {꼭} 챙긴다, 매일\n한 번 더 😀'


class Said(BaseModel):
    said: str


class Many(BaseModel):
    intro: str
    items: list[Said] = Field(min_length=3, max_length=3)


class Odd(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("the number is even")
        return value


ASSISTANTS = {"said": Assistant(Said), "many": Assistant(Many), "odd": Assistant(Odd)}


def ask(assistant: str, **more: Any) -> dict[str, Any]:
    return {"assistant": assistant, "input": "go", **more}


async def test_a1_a_field_arrives_as_text_with_its_own_quotes_braces_and_commas(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine(json.dumps({"said": SAID}, ensure_ascii=False))
    async with house(tmp_path, engine, ASSISTANTS) as served:
        events = await served.stream(ask("said"))
    assert texts(events) == {"/said": SAID}


@pytest.mark.parametrize("size", [1, 2, 3, 5])
async def test_a2_a8_escapes_and_characters_split_over_tokens_come_out_whole(
    tmp_path: Path, size: int
) -> None:
    raw = json.dumps({"said": SAID})
    tokens = [raw[i : i + size] for i in range(0, len(raw), size)]
    async with house(tmp_path, ScriptedEngine(tokens), ASSISTANTS) as served:
        events = await served.stream(ask("said"))
    assert texts(events) == {"/said": SAID}
    assert not any("\ufffd" in json.dumps(texts(events), ensure_ascii=False) for _ in events)


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


async def test_a5_a6_whatever_the_engine_raises_is_one_failed_event_at_the_end(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine(PAIR_TEXT, Play(fail_after=2, failure=RuntimeError("inf or nan")))
    async with house(tmp_path, engine) as served:
        events = await served.stream(ASK_PAIR)
        assert served.app.runs.num_free_slots == 4
    assert kinds(events)[-1] == "failed"
    assert sum(kind in ("finished", "failed", "cancelled") for kind in kinds(events)) == 1


@pytest.mark.parametrize(
    "raw",
    [
        '```json\n{"said": "cup"}\n```',
        'Sure! Here it is:\n{"said": "cup"} Have a nice day {you}!',
        '{"said": "cup",}',
        "{'said': 'cup'}",
        'json{"said": "cup"}',
        '<think>{"said": "no"}</think>{"said": "cup"}',
        '{"said": "cup"}{"said": "second"}',
    ],
)
async def test_a9_an_answer_in_a_wrapping_streams_the_same_text(tmp_path: Path, raw: str) -> None:
    engine = ScriptedEngine(raw, Play(constrains=False))
    async with house(tmp_path, engine, ASSISTANTS) as served:
        events = await served.stream(ask("said"))
    assert texts(events) == {"/said": "cup"}
    assert isinstance(events[-1][1], Finished)


async def test_a9_an_answer_that_is_no_json_is_failed_with_its_text(tmp_path: Path) -> None:
    engine = ScriptedEngine("I would rather not.", Play(constrains=False))
    async with house(tmp_path, engine, ASSISTANTS) as served:
        events = await served.stream(ask("said"))
    failed = events[-1][1]
    assert isinstance(failed, Failed)
    assert failed.code == "invalid_answer"
    assert failed.details["text"] == "I would rather not."


async def test_a18_a_text_that_the_model_goes_round_in_ends_early_valid_and_told(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine('{"said": "' + "eco-friendly, " * 500)
    async with house(tmp_path, engine, ASSISTANTS) as served:
        events = await served.stream(ask("said"))
    finished = events[-1][1]
    assert isinstance(finished, Finished)
    assert finished.finish == "runaway"
    assert any(isinstance(e, Noticed) and e.code == "runaway_stopped" for _, e in events)
    assert finished.usage.completion_tokens < 150


async def test_b2_a_wrong_value_is_written_again_once_from_before_it(tmp_path: Path) -> None:
    def script(generation: Generation) -> str:
        return '{"number":7}' if engine.generations[1:] else '{"number":4}'

    engine = ScriptedEngine(script)
    async with house(tmp_path, engine, ASSISTANTS) as served:
        events = await served.stream(ask("odd"))
    finished = events[-1][1]
    assert isinstance(finished, Finished)
    assert finished.value == {"number": 7}
    assert [e.code for _, e in events if isinstance(e, Noticed)] == ["retried"]


async def test_b2_a_value_that_stays_wrong_is_failed_with_its_errors_by_path(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine('{"number":4}')
    async with house(tmp_path, engine, ASSISTANTS) as served:
        events = await served.stream(ask("odd"))
    failed = events[-1][1]
    assert isinstance(failed, Failed)
    assert failed.code == "invalid_answer"
    assert failed.details["value"] == {"number": 4}
    assert failed.details["errors"][0]["path"] == "/number"  # type: ignore[index,call-overload]
    assert len(engine.generations) == 2


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


async def test_a_lost_engine_that_comes_back_is_continued(tmp_path: Path) -> None:
    lost = Play(fail_after=3, failure=EngineUnavailable("connection lost"))
    async with house(tmp_path, ScriptedEngine(PAIR_TEXT, lost)) as served:
        events = await served.stream(ASK_PAIR)
    finished = events[-1][1]
    assert isinstance(finished, Finished)
    assert finished.value == {"title": "Bring a cup", "count": 3}


async def test_b12_no_line_reader_can_split_a_frame(tmp_path: Path) -> None:
    said = "a\u2028b\u2029c\u0085d\ne\r\nf\x0bg\x1ch: i\n\ndata: forged"
    engine = ScriptedEngine(json.dumps({"said": said}, ensure_ascii=False))
    async with house(tmp_path, engine, ASSISTANTS) as served:
        raw = (await served.http.post("/v1/answers", json=ask("said"), headers=STREAM)).content
    for frame in raw.decode().split("\n\n")[1:-1]:
        lines = frame.splitlines()
        assert [line.split(":")[0] for line in lines] == ["id", "event", "data"]
    async with house(tmp_path, engine, ASSISTANTS) as served:
        assert texts(await served.stream(ask("said"))) == {"/said": said}


@pytest.mark.parametrize(
    ("setting", "param"),
    [
        ({"do_sample": False, "temperature": 0.7}, "temperature"),
        ({"do_sample": True, "temperature": 0}, "do_sample"),
        ({"num_beams": 4}, "num_beams"),
        ({"early_stopping": True}, "early_stopping"),
        ({"use_cache": False}, "use_cache"),
        ({"max_tokens": 50, "max_new_tokens": 60}, "max_new_tokens"),
    ],
)
async def test_a12_a_setting_without_effect_is_refused_by_name(
    tmp_path: Path, setting: dict[str, Any], param: str
) -> None:
    async with house(tmp_path) as served:
        response = await served.http.post("/v1/answers", json={**ASK_PAIR, **setting})
    assert response.status_code == 422
    assert response.json()["error"]["param"] == param
