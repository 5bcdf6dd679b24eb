"""What OpenAI's routes refuse: by name, with the status that makes the client's own error."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, get_type_hints

import openai
import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming

from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.faces.openai.bodies import ChatRequest, ResponsesRequest
from leafstream.faces.openai.refusals import CHAT, RESPONSES
from leafstream.keys import add_key
from tests.api.openai_client import openai_house
from tests.house import ASK_PAIR, Pair

CHAT_PATH, RESPONSES_PATH = "/v1/chat/completions", "/v1/responses"
TURN = {"role": "user", "content": "go"}
ASKS: dict[str, dict[str, Any]] = {
    CHAT_PATH: {"model": "chat", "messages": [TURN]},
    RESPONSES_PATH: {"model": "chat", "input": "go"},
}
FORM = {"type": "json_schema", "name": "p", "schema": Pair.model_json_schema()}
ODD = {"type": "json_schema", "name": "p", "schema": {"not": {}}}
IMAGE = {"type": "input_image", "image_url": "x"}

WRONG: list[tuple[str, dict[str, Any], str]] = [
    *((CHAT_PATH, {name: "x"}, name) for name in CHAT),
    *((RESPONSES_PATH, {name: "x"}, name) for name in RESPONSES),
    (CHAT_PATH, {"n": 2}, "n"),
    (CHAT_PATH, {"logprobs": True}, "logprobs"),
    (CHAT_PATH, {"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    (CHAT_PATH, {"temperature": 3}, "temperature"),
    (CHAT_PATH, {"top_p": 0}, "top_p"),
    (CHAT_PATH, {"seed": -1}, "seed"),
    (CHAT_PATH, {"max_tokens": 0}, "max_tokens"),
    (CHAT_PATH, {"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
    (CHAT_PATH, {"unheard_of": 1}, "unheard_of"),
    (CHAT_PATH, {"messages": []}, "messages"),
    (CHAT_PATH, {"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
    (CHAT_PATH, {"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
    (CHAT_PATH, {"messages": [TURN, {**TURN, "name": "Jo"}]}, "messages[1].name"),
    (CHAT_PATH, {"messages": [{**TURN, "content": [IMAGE]}]}, "messages[0].content[0].type"),
    (CHAT_PATH, {"messages": [{**TURN, "content": None}]}, "messages[0].content"),
    (CHAT_PATH, {"messages": ["go"]}, "messages[0]"),
    (CHAT_PATH, {"stream_options": {"include_usage": True}}, "stream_options"),
    (CHAT_PATH, {"response_format": {"type": "grammar"}}, "response_format.type"),
    (CHAT_PATH, {"response_format": {"type": "json_schema"}}, "response_format"),
    (CHAT_PATH, {"response_format": ODD}, "response_format"),
    (CHAT_PATH, {"response_format": FORM, "max_tokens": 1}, "max_tokens"),
    (CHAT_PATH, {"model": "pair", "response_format": FORM}, "response_format"),
    (CHAT_PATH, {"model": None}, "model"),
    (RESPONSES_PATH, {"input": []}, "input"),
    (RESPONSES_PATH, {"input": [{"type": "function_call_output"}]}, "input[0].type"),
    (RESPONSES_PATH, {"input": [{**TURN, "content": [IMAGE]}]}, "input[0].content[0].type"),
    (RESPONSES_PATH, {"text": {"format": ODD}}, "text.format"),
    (RESPONSES_PATH, {"text": {"verbosity": "low"}}, "text.verbosity"),
    (RESPONSES_PATH, {"include": ["reasoning.encrypted_content"]}, "include"),
    (RESPONSES_PATH, {"background": True, "store": False}, "store"),
    (RESPONSES_PATH, {"previous_response_id": "resp_x"}, "previous_response_id"),
    (
        RESPONSES_PATH,
        {"previous_response_id": "resp_x", "conversation": "conv_x"},
        "previous_response_id",
    ),
    (RESPONSES_PATH, {"metadata": {"a": 1}}, "metadata.a"),
    (RESPONSES_PATH, {"stop": "x"}, "stop"),
    (RESPONSES_PATH, {"max_output_tokens": 0}, "max_output_tokens"),
]


async def test_what_is_not_served_is_refused_by_name(tmp_path: Path) -> None:
    engine = ScriptedEngine("hi")
    async with openai_house(tmp_path, engine) as (served, _):
        for path, wrong, param in WRONG:
            response = await served.http.post(path, json={**ASKS[path], **wrong})
            assert response.status_code == 400, (path, wrong, response.text)
            error = response.json()["error"]
            assert error.keys() == {"message", "type", "param", "code"}
            assert error["param"] == param, (path, wrong, error)
            assert error["type"] == "invalid_request_error"
            assert error["message"]
    assert engine.generations == []


def test_every_parameter_of_the_official_client_is_either_served_or_refused_with_a_reason() -> None:
    chat = get_type_hints(CompletionCreateParamsStreaming)
    responses = get_type_hints(ResponseCreateParamsStreaming)
    assert len(chat) > 30
    assert set(chat) <= {*ChatRequest.model_fields, *CHAT}
    assert set(responses) <= {*ResponsesRequest.model_fields, *RESPONSES}


async def test_the_clients_own_errors_arise(tmp_path: Path) -> None:
    turns: Any = [TURN]
    async with openai_house(tmp_path, max_body_bytes=2000) as (_, client):
        chat = client.chat.completions
        with pytest.raises(openai.BadRequestError) as bad:
            await chat.create(model="chat", messages=turns, n=2)
        assert (bad.value.param, bad.value.code) == ("n", "unsupported_parameter")
        with pytest.raises(openai.NotFoundError) as missing:
            await chat.create(model="gpt-5", messages=turns)
        assert (missing.value.param, missing.value.code) == ("model", "model_not_found")
        assert "scripted, pair, chat" in missing.value.message
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve("resp_none")
        with pytest.raises(openai.APIStatusError) as large:
            await client.responses.create(model="chat", input="x" * 3000)
        assert large.value.status_code == 413


async def test_a_prompt_that_does_not_fit_is_refused_with_the_code_that_clients_know(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine("hi", Play(context_window=64))
    turns: Any = [TURN, {"role": "assistant", "content": "long " * 100}, TURN]
    async with openai_house(tmp_path, engine) as (_, client):
        with pytest.raises(openai.BadRequestError) as chat:
            await client.chat.completions.create(model="chat", messages=turns)
        with pytest.raises(openai.BadRequestError) as response:
            await client.responses.create(model="chat", input=turns)
        cut = await client.responses.create(model="chat", input=turns, truncation="auto")
    assert chat.value.code == "context_length_exceeded"
    assert response.value.code == "context_length_exceeded"
    assert cut.output_text == "hi"
    assert cut.truncation == "auto"
    assert [m.role for m in engine.generations[0].prompt.messages] == ["system", "user"]


async def test_a_full_queue_is_a_rate_limit_error_that_says_when_to_come_back(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine("word " * 100, Play(delay=0.02, slots=1))
    async with openai_house(tmp_path, engine, queue=0) as (served, client):
        await served.begin({"assistant": "chat", "input": "go"})
        await asyncio.sleep(0.05)
        with pytest.raises(openai.RateLimitError) as full:
            await client.chat.completions.create(model="chat", messages=[TURN])  # type: ignore[list-item]
    assert full.value.code == "rate_limit_exceeded"
    assert int(full.value.response.headers["Retry-After"]) > 0


async def test_a_server_that_takes_no_schemas_says_so(tmp_path: Path) -> None:
    async with openai_house(tmp_path, inline_schemas=False) as (_, client):
        with pytest.raises(openai.BadRequestError) as raised:
            await client.responses.parse(model="chat", input="go", text_format=Pair)
    assert raised.value.param == "text.format"


async def test_the_native_routes_keep_their_own_shape(tmp_path: Path) -> None:
    async with openai_house(tmp_path) as (served, _):
        response = await served.http.post("/v1/answers", json={**ASK_PAIR, "seed": -1})
    assert response.status_code == 422
    assert response.json()["error"].keys() == {"code", "message", "param"}


async def test_a_key_is_the_clients_api_key_and_keeps_responses_apart(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    mine, yours = add_key(file, "mine", per_minute=9), add_key(file, "yours")
    async with openai_house(tmp_path, keys_file=file) as (_, nobody):
        with pytest.raises(openai.AuthenticationError) as unknown:
            await nobody.models.list()
        assert unknown.value.type == "invalid_request_error"
        my, your = nobody.with_options(api_key=mine), nobody.with_options(api_key=yours)
        response = await my.responses.create(model="chat", input="go")
        assert await my.responses.retrieve(response.id) == response
        with pytest.raises(openai.NotFoundError):
            await your.responses.retrieve(response.id)
        with pytest.raises(openai.NotFoundError):
            await your.responses.cancel(response.id)
        with pytest.raises(openai.BadRequestError):
            await your.responses.create(model="chat", input="x", previous_response_id=response.id)
        with pytest.raises(openai.RateLimitError) as limited:
            await asyncio.gather(*(my.models.list() for _ in range(9)))
    assert limited.value.code == "rate_limit_exceeded"
