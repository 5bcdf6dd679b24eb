"""`/v1/chat/completions` and `/v1/models` as the official client sees them."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncStream
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel, Field

from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.errors import EngineError
from leafstream.schema import Schema
from tests.api.openai_client import openai_house
from tests.house import PAIR_TEXT, Pair, kinds

ASK: dict[str, Any] = {"model": "chat", "messages": [{"role": "user", "content": "go"}]}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "p", "schema": Pair.model_json_schema()}}


async def test_a_completion_has_the_text_the_reason_and_the_usage(tmp_path: Path) -> None:
    async with openai_house(tmp_path, ScriptedEngine("Use a cup.")) as (_, client):
        completion = await client.chat.completions.create(**ASK)
    assert completion.choices[0].message.content == "Use a cup."
    assert completion.choices[0].message.role == "assistant"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == "chat"
    assert completion.id.startswith("chatcmpl-")
    assert completion.usage
    assert completion.usage.completion_tokens == 3
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + 3
    assert abs(completion.created - time.time()) < 30


async def chunks(stream: AsyncStream[ChatCompletionChunk]) -> list[ChatCompletionChunk]:
    found: list[ChatCompletionChunk] = []
    await collect(stream, found)
    return found


async def collect(
    stream: AsyncStream[ChatCompletionChunk], found: list[ChatCompletionChunk]
) -> None:
    """Into `found`, so that what came before an error is there."""
    async for chunk in stream:
        found.append(chunk)  # noqa: PERF401


def text_of(found: list[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in found if chunk.choices)


async def test_a_stream_begins_with_the_role_grows_by_deltas_and_ends_with_the_reason(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine("Use a cup.", Play(delay=0.001))
    async with openai_house(tmp_path, engine) as (_, client):
        found = await chunks(await client.chat.completions.create(**ASK, stream=True))
    assert found[0].choices[0].delta.role == "assistant"
    assert text_of(found) == "Use a cup."
    assert len(found) > 3
    assert [c.choices[0].finish_reason for c in found if c.choices[0].finish_reason] == ["stop"]
    assert found[-1].choices[0].finish_reason == "stop"
    assert len({chunk.id for chunk in found}) == 1


async def test_usage_comes_in_a_last_chunk_without_choices_where_it_was_asked_for(
    tmp_path: Path,
) -> None:
    async with openai_house(tmp_path) as (_, client):
        stream = await client.chat.completions.create(
            **ASK, stream=True, stream_options={"include_usage": True}
        )
        found = await chunks(stream)
    assert found[-1].choices == []
    assert found[-1].usage
    assert found[-1].usage.completion_tokens == 9
    assert all("usage" in chunk.model_fields_set for chunk in found)
    assert all(chunk.usage is None for chunk in found[:-1])


async def test_the_wire_is_data_lines_only_and_ends_with_done(tmp_path: Path) -> None:
    async with openai_house(tmp_path) as (served, _):
        response = await served.http.post("/v1/chat/completions", json={**ASK, "stream": True})
    assert "usage" not in response.text
    lines = [line for line in response.text.split("\n") if line]
    assert all(line.startswith((": ", "data: ")) for line in lines)
    assert lines[-1] == "data: [DONE]"
    assert response.headers["content-type"].startswith("text/event-stream")


async def test_a_schema_of_the_request_types_the_answer_and_the_stream_is_its_json(
    tmp_path: Path,
) -> None:
    script = '  {"title" : "A \\"cup\\"\\n", "count" : 3}  and more'
    async with openai_house(tmp_path, ScriptedEngine(script, Play(delay=0.001))) as (_, client):
        ask = {**ASK, "response_format": SCHEMA}
        found = await chunks(await client.chat.completions.create(**ask, stream=True))
        whole = await client.chat.completions.create(**ask)
    assert text_of(found) == '{"title":"A \\"cup\\"\\n","count":3}'
    assert whole.choices[0].message.content == text_of(found)


async def test_parse_and_stream_of_the_client_give_the_pydantic_model(tmp_path: Path) -> None:
    async with openai_house(tmp_path) as (_, client):
        parsed = await client.chat.completions.parse(**ASK, response_format=Pair)
        assert parsed.choices[0].message.parsed == Pair(title="Bring a cup", count=3)
        async with client.chat.completions.stream(**ASK, response_format=Pair) as stream:
            kinds_seen = [event.type async for event in stream]
            final = await stream.get_final_completion()
    assert final.choices[0].message.parsed == Pair(title="Bring a cup", count=3)
    assert "content.delta" in kinds_seen
    assert "content.done" in kinds_seen


async def test_json_object_gives_an_object(tmp_path: Path) -> None:
    script = 'Sure: {"a": [1, {"0": "x"}], "b": null}'
    async with openai_house(tmp_path, ScriptedEngine(script)) as (_, client):
        ask = {**ASK, "response_format": {"type": "json_object"}}
        found = await chunks(await client.chat.completions.create(**ask, stream=True))
    assert text_of(found) == '{"a":[1,{"0":"x"}],"b":null}'


class Trip(BaseModel):
    place: str = Field(min_length=2, max_length=40)
    days: list[str] = Field(min_length=1, max_length=4)
    by: str = Field(pattern="^(bus|train)$")


TRIP_TEXT = '{"place": "Jeju \\u1112\\u1161", "days": ["walk", "rest"], "by": "train"}'


@pytest.mark.parametrize("limit", range(12, 24))
async def test_at_every_limit_the_streamed_text_is_valid_json_of_the_schema(
    tmp_path: Path, limit: int
) -> None:
    schema = Schema.parse(Trip.model_json_schema())
    form = {"type": "json_schema", "json_schema": {"name": "t", "schema": schema.source}}
    ask = {**ASK, "response_format": form, "max_completion_tokens": limit}
    async with openai_house(tmp_path, ScriptedEngine(TRIP_TEXT)) as (served, client):
        stream = await client.chat.completions.create(**ask, stream=True)
        found = await chunks(stream)
        answer = stream.response.headers["Leafstream-Answer"]
        state = (await served.http.get(f"/v1/answers/{answer}")).json()
        whole = await client.chat.completions.create(**ask)
    value = json.loads(text_of(found))
    assert schema.is_valid(value)
    assert value == state["value"]
    assert found[-1].choices[0].finish_reason == ("stop" if limit >= 18 else "length")
    assert whole.choices[0].message.content == text_of(found)


async def test_an_assistants_name_brings_its_instructions_and_its_type(tmp_path: Path) -> None:
    engine = ScriptedEngine(PAIR_TEXT)
    async with openai_house(tmp_path, engine) as (_, client):
        turns: Any = [
            {"role": "developer", "content": "In short."},
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
            {"role": "assistant", "content": "b", "refusal": None},
            {"role": "user", "content": "c"},
        ]
        completion = await client.chat.completions.create(model="pair", messages=turns)
    assert completion.choices[0].message.content == '{"title":"Bring a cup","count":3}'
    assert [(turn.role, turn.content) for turn in engine.generations[0].prompt.messages] == [
        ("system", "Answer with a title and a count.\n\nIn short."),
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c"),
    ]


async def test_the_models_name_alone_brings_no_instructions(tmp_path: Path) -> None:
    engine = ScriptedEngine("hi")
    async with openai_house(tmp_path, engine) as (_, client):
        await client.chat.completions.create(**{**ASK, "model": "scripted"})
    assert [turn.role for turn in engine.generations[0].prompt.messages] == ["user"]


async def test_the_description_of_a_schema_is_told_to_the_model(tmp_path: Path) -> None:
    engine = ScriptedEngine(PAIR_TEXT)
    form = {"name": "p", "description": "A habit.", "schema": Pair.model_json_schema()}
    async with openai_house(tmp_path, engine) as (_, client):
        ask = {**ASK, "response_format": {"type": "json_schema", "json_schema": form}}
        await client.chat.completions.create(**ask)
    assert engine.generations[0].prompt.messages[0].content == "Be brief.\n\nA habit."


async def test_sampling_settings_reach_the_engine(tmp_path: Path) -> None:
    engine = ScriptedEngine("hi")
    async with openai_house(tmp_path, engine) as (_, client):
        await client.chat.completions.create(
            **ASK,
            temperature=0.3,
            top_p=0.9,
            seed=7,
            stop=["X", "Y"],
            max_tokens=5,
            extra_body={"top_k": 4, "repetition_penalty": 1.1},
        )
    asked = engine.generations[0]
    assert asked.max_tokens == 5
    assert asked.sampling.temperature == 0.3
    assert asked.sampling.top_p == 0.9
    assert asked.sampling.seed == 7
    assert asked.sampling.stop == ("X", "Y")
    assert asked.sampling.top_k == 4
    assert asked.sampling.repetition_penalty == 1.1


async def test_what_asks_for_nothing_may_be_sent(tmp_path: Path) -> None:
    neutral = {
        "n": 1, "logprobs": False, "top_logprobs": 0, "tools": [], "tool_choice": "none",
        "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "store": False,
        "metadata": None, "service_tier": "auto", "modalities": ["text"], "stop": None,
    }  # fmt: skip
    async with openai_house(tmp_path, ScriptedEngine("hi")) as (_, client):
        completion = await client.chat.completions.create(**ASK, extra_body=neutral)
    assert completion.choices[0].message.content == "hi"


async def test_a_failure_in_the_middle_of_a_stream_is_an_error_and_not_an_end(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine("word " * 9, Play(fail_after=3, failure=EngineError("it broke")))
    async with openai_house(tmp_path, engine) as (_, client):
        stream = await client.chat.completions.create(**ASK, stream=True)
        found: list[ChatCompletionChunk] = []
        with pytest.raises(openai.APIError, match="it broke") as raised:
            await collect(stream, found)
        assert raised.value.code == "engine_failed"
        assert text_of(found) == "word word wo"
        assert not any(chunk.choices[0].finish_reason for chunk in found)
        with pytest.raises(openai.InternalServerError, match="it broke"):
            await client.chat.completions.create(**ASK)


async def test_a_part_that_is_not_valid_is_written_again_only_where_nothing_was_sent(
    tmp_path: Path,
) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}},
        "required": ["n"],
    }
    texts = iter(['{"n": [1, 1]}', '{"n": [1, 2]}', '{"n": [1, 1]}'])
    engine = ScriptedEngine(lambda _: next(texts))
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    async with openai_house(tmp_path, engine) as (_, client):
        ask = {**ASK, "response_format": form}
        whole = await client.chat.completions.create(**ask)
        assert whole.choices[0].message.content == '{"n":[1,2]}'
        stream = await client.chat.completions.create(**ask, stream=True)
        with pytest.raises(openai.APIError) as raised:
            await chunks(stream)
    assert raised.value.code == "invalid_answer"
    assert len(engine.generations) == 3


async def test_a_server_that_stops_in_the_middle_of_a_stream_says_so(tmp_path: Path) -> None:
    engine = ScriptedEngine("word " * 500, Play(delay=0.01))
    async with openai_house(tmp_path, engine) as (served, client):
        stream = await client.chat.completions.create(**ASK, stream=True)
        await anext(stream)
        await served.app.runs.drain(0)
        served.app.log.let_readers_go()
        with pytest.raises(openai.APIError, match="stopping") as raised:
            await chunks(stream)
    assert raised.value.code == "interrupted"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_frees_the_slot(tmp_path: Path, stream: bool) -> None:
    engine = ScriptedEngine("word " * 500, Play(delay=0.01))
    async with openai_house(tmp_path, engine, grace_seconds=0.1) as (_, client):
        asking = client.with_options(timeout=0.3).chat.completions
        if stream:
            response = await asking.create(**ASK, stream=True)
            await anext(response)
            await response.close()
        else:
            with pytest.raises(openai.APITimeoutError):
                await asking.create(**ASK)
        async with asyncio.timeout(3):
            while engine.running:
                await asyncio.sleep(0.01)


async def test_the_native_protocol_reads_the_same_answer(tmp_path: Path) -> None:
    async with openai_house(tmp_path) as (served, client):
        stream = await client.chat.completions.create(**ASK, stream=True)
        answer = stream.response.headers["Leafstream-Answer"]
        await chunks(stream)
        assert kinds(await served.replay(answer))[-1] == "finished"


async def test_the_models_are_the_served_model_and_the_assistants(tmp_path: Path) -> None:
    async with openai_house(tmp_path) as (_, client):
        names = [model.id async for model in client.models.list()]
        assert names == ["scripted", "pair", "chat"]
        assert (await client.models.retrieve("pair")).owned_by == "leafstream"
        with pytest.raises(openai.NotFoundError) as raised:
            await client.models.retrieve("none")
    assert raised.value.code == "model_not_found"


async def test_the_face_can_be_switched_off(tmp_path: Path) -> None:
    async with openai_house(tmp_path, openai=False) as (served, client):
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(**ASK)
        response: httpx2.Response = await served.http.get("/v1/models")
    assert response.status_code == 404


async def test_the_description_of_the_api_has_no_reference_that_leads_nowhere(
    tmp_path: Path,
) -> None:
    async with openai_house(tmp_path) as (served, _):
        text = (await served.http.get("/openapi.json")).text
    assert '"/v1/responses/{response}"' in text
    assert "#/$defs/" not in text
