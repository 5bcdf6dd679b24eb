"""A response's stream, followed again: by the same client, another one, from another server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import ResponseStreamEvent

from leafstream.engines.scripted import Play, ScriptedEngine
from tests.api.openai_client import DELTA, events_of, numbers, openai_house, text_of
from tests.house import PAIR_TEXT

ASK: dict[str, Any] = {"model": "chat", "input": "go"}


async def test_a_stream_goes_on_after_every_sequence_number_with_the_same_numbers(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine(PAIR_TEXT, Play(delay=0.002))
    async with openai_house(tmp_path, engine) as (_, client):
        whole = await events_of(
            await client.responses.create(model="pair", input="go", stream=True, background=True)
        )
        first = whole[0]
        assert first.type == "response.created"
        for number in numbers(whole):
            rest = await follow(client, first.response.id, number)
            assert min(numbers(rest), default=99) > number
            seen = [event for event in whole if event.sequence_number <= number]
            assert text_of(seen) + text_of(rest) == text_of(whole)
            told = {event.sequence_number: event for event in whole}
            for event in rest:
                if event.type != DELTA:
                    assert event == told[event.sequence_number]
        assert await follow(client, first.response.id, 999) == []


async def follow(client: AsyncOpenAI, response: str, after: int) -> list[ResponseStreamEvent]:
    stream = await client.responses.retrieve(response, stream=True, starting_after=after)
    return await events_of(stream)


async def test_a_client_that_lost_its_connection_goes_on_while_the_answer_is_written(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine("word " * 40, Play(delay=0.005))
    async with openai_house(tmp_path, engine) as (_, client):
        stream = await client.responses.create(**ASK, stream=True)
        had = [await anext(stream) for _ in range(9)]
        await stream.close()
        first = had[0]
        assert first.type == "response.created"
        rest = await follow(client, first.response.id, had[-1].sequence_number)
        async with client.responses.stream(
            response_id=first.response.id, starting_after=had[-1].sequence_number
        ) as again:
            final = await again.get_final_response()
    assert text_of(had) + text_of(rest) == "word " * 40
    assert final.output_text == "word " * 40
    assert len(engine.generations) == 1


async def test_a_response_that_was_not_streamed_is_not_followed(tmp_path: Path) -> None:
    async with openai_house(tmp_path) as (_, client):
        response = await client.responses.create(**ASK)
        with pytest.raises(openai.BadRequestError) as raised:
            await client.responses.retrieve(response.id, stream=True)
        assert raised.value.param == "stream"
        with pytest.raises(openai.BadRequestError) as raised:
            await client.responses.retrieve(
                response.id, extra_query={"include_obfuscation": "true"}
            )
        assert raised.value.param == "include_obfuscation"


async def test_cancelling_ends_the_answer_frees_the_slot_and_tells_every_reader(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine("word " * 500, Play(delay=0.01))
    async with openai_house(tmp_path, engine) as (_, client):
        stream = await client.responses.create(**ASK, stream=True, background=True)
        had = [await anext(stream) for _ in range(6)]
        first = had[0]
        assert first.type == "response.created"
        cancelled = await client.responses.cancel(first.response.id)
        assert engine.running == 0
        assert cancelled.status == "cancelled"
        rest = await events_of(stream)
        again = await client.responses.cancel(first.response.id)
    assert again == cancelled
    assert cancelled.output_text == text_of([*had, *rest])
    last = rest[-1]
    assert last.type == "response.failed"
    assert last.response.status == "cancelled"


async def test_a_server_that_stops_without_a_durable_log_ends_its_streams_with_a_reason(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine("word " * 500, Play(delay=0.01))
    async with openai_house(tmp_path, engine, answers_url="memory:") as (served, client):
        stream = await client.responses.create(**ASK, stream=True)
        await anext(stream)
        await served.app.runs.drain(0)
        events = await events_of(stream)
    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.error
    assert "the server is stopping" in last.response.error.message


async def test_another_server_goes_on_with_the_stream_and_its_numbers(tmp_path: Path) -> None:
    script = json.dumps({"title": "word " * 15, "count": 3})
    ask: dict[str, Any] = {"model": "pair", "input": "go", "stream": True, "background": True}
    engine = ScriptedEngine(script, Play(delay=0.01))
    async with openai_house(tmp_path, engine) as (_, client):
        stream = await client.responses.create(**ask)
        had = [await anext(stream) for _ in range(9)]
        first, last = had[0], had[-1].sequence_number
        assert first.type == "response.created"
    async with openai_house(tmp_path, ScriptedEngine(script)) as (_, client):
        rest = await follow(client, first.response.id, last)
        whole = await events_of(await client.responses.retrieve(first.response.id, stream=True))
    assert len(engine.generations) == 1
    assert text_of([*had, *rest]) == text_of(whole)
    assert json.loads(text_of(whole)) == json.loads(script)
    assert min(numbers(rest)) > last
    assert rest[-1] == whole[-1]
    assert rest[-1].type == "response.completed"
