"""What a client reads is clean text, whatever the model wraps it in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.events import Failed, Finished
from tests.house import STREAM, house, texts
from tests.promises.declared import ASSISTANTS, ask

SAID = '그는 "텀블러"를 {꼭} 챙긴다, 매일\n한 번 더 😀'


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
