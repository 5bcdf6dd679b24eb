"""`/v1/responses` as the official client sees it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.errors import EngineError
from leafstream.events import Started
from tests.api.openai_client import DELTA, events_of, numbers, openai_house, text_of
from tests.house import PAIR_TEXT, Pair, kinds

ASK: dict[str, Any] = {"model": "chat", "input": "go"}
LIFE = ["response.created", "response.in_progress"]
OPENED = ["response.output_item.added", "response.content_part.added"]
CLOSED = [
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
]


def order(events: list[ResponseStreamEvent]) -> list[str]:
    """The types, with deltas in a row as one."""
    types = [event.type for event in events]
    return [kind for n, kind in enumerate(types) if kind != DELTA or types[n - 1] != DELTA]


async def test_a_response_has_its_text_status_and_usage(tmp_path: Path) -> None:
    async with openai_house(tmp_path, ScriptedEngine("Use a cup.")) as (_, client):
        response = await client.responses.create(
            **ASK, instructions="Be nice.", metadata={"a": "b"}, temperature=0.5, user="jo"
        )
    assert response.id.startswith("resp_")
    assert response.status == "completed"
    assert response.output_text == "Use a cup."
    assert response.instructions == "Be nice."
    assert response.metadata == {"a": "b"}
    assert response.temperature == 0.5
    assert response.user == "jo"
    assert response.usage
    assert response.usage.output_tokens == 3
    assert response.usage.total_tokens == response.usage.input_tokens + 3


async def test_a_stream_has_the_typed_events_of_the_official_schema_in_order(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine("Use a cup.", Play(delay=0.001))
    async with openai_house(tmp_path, engine) as (served, client):
        events = await events_of(await client.responses.create(**ASK, stream=True))
        raw = await served.http.post("/v1/responses", json={**ASK, "stream": True})
    assert order(events) == [*LIFE, *OPENED, DELTA, *CLOSED, "response.completed"]
    assert text_of(events) == "Use a cup."
    assert numbers(events) == sorted(set(numbers(events)))
    # Deltas that come as one bear the last's number.
    others = [event for event in events if event.type != DELTA]
    last = max(event.sequence_number for event in events if event.type == DELTA)
    assert numbers(others) == [0, 1, 2, 3, *range(last + 1, last + 5)]
    assert 4 <= last <= 6
    for frame in raw.text.split("\n\n"):
        if frame.startswith("event:"):
            kind, data = frame.split("\n")
            typed = TypeAdapter[Any](ResponseStreamEvent).validate_json(
                data.removeprefix("data: "), strict=True
            )
            assert kind == f"event: {typed.type}"
    end = events[-1]
    assert end.type == "response.completed"
    assert end.response.output_text == "Use a cup."


async def test_a_pydantic_type_is_streamed_as_its_json_and_parsed_by_the_client(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine(PAIR_TEXT, Play(delay=0.001))
    async with openai_house(tmp_path, engine) as (_, client):
        async with client.responses.stream(**ASK, text_format=Pair) as stream:
            events = await events_of(stream)
            final = await stream.get_final_response()
        parsed = await client.responses.parse(**ASK, text_format=Pair)
    assert text_of(events) == '{"title":"Bring a cup","count":3}'
    assert final.output_parsed == parsed.output_parsed == Pair(title="Bring a cup", count=3)
    assert final.text
    assert final.text.format
    assert final.text.format.type == "json_schema"


async def test_a_cut_response_is_incomplete_says_why_and_is_valid(tmp_path: Path) -> None:
    async with openai_house(tmp_path) as (_, client):
        ask: dict[str, Any] = {"model": "pair", "input": "go", "max_output_tokens": 7}
        events = await events_of(await client.responses.create(**ask, stream=True))
        whole = await client.responses.create(**ask)
    last = events[-1]
    assert last.type == "response.incomplete"
    assert last.response.status == whole.status == "incomplete"
    assert whole.incomplete_details
    assert whole.incomplete_details.reason == "max_output_tokens"
    assert json.loads(text_of(events)) == json.loads(whole.output_text)
    assert json.loads(whole.output_text).keys() == {"title", "count"}
    assert whole.output[0].status == "incomplete"


async def test_a_failure_ends_the_stream_with_failed_and_a_waiting_caller_with_an_error(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine("word " * 9, Play(fail_after=3, failure=EngineError("it broke")))
    async with openai_house(tmp_path, engine) as (_, client):
        events = await events_of(await client.responses.create(**ASK, stream=True))
        with pytest.raises(openai.InternalServerError, match="it broke"):
            await client.responses.create(**ASK)
        last = events[-1]
        assert last.type == "response.failed"
        again = await client.responses.retrieve(last.response.id)
    assert order(events) == [*LIFE, *OPENED, DELTA, "response.failed"]
    assert last.response.error
    assert last.response.error.code == "server_error"
    assert "it broke" in last.response.error.message
    assert again.status == "failed"
    assert again.error == last.response.error
    assert again.output_text == "word word wo"


async def test_a_background_response_goes_on_unread_and_is_retrieved_while_it_grows(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine(PAIR_TEXT, Play(delay=0.03))
    async with openai_house(tmp_path, engine, grace_seconds=0) as (_, client):
        response = await client.responses.create(model="pair", input="go", background=True)
        assert response.status in ("queued", "in_progress")
        seen = set()
        while response.status != "completed":
            await asyncio.sleep(0.01)
            response = await client.responses.retrieve(response.id)
            seen.add((response.status, response.output_text))
    whole = '{"title":"Bring a cup","count":3}'
    assert ("completed", whole) in seen
    partial = {text for status, text in seen if status == "in_progress" and text}
    assert partial
    assert all(whole.startswith(text) for text in partial)


async def test_a_finished_response_is_not_cancelled(tmp_path: Path) -> None:
    async with openai_house(tmp_path) as (_, client):
        response = await client.responses.create(**ASK)
        with pytest.raises(openai.ConflictError):
            await client.responses.cancel(response.id)


async def test_previous_response_id_brings_the_turns_but_not_the_instructions(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine("an answer")
    async with openai_house(tmp_path, engine) as (_, client):
        first = await client.responses.create(**ASK, instructions="Be nice.")
        second = await client.responses.create(
            model="chat", input="and then", previous_response_id=first.id
        )
        await client.responses.create(
            model="scripted", input="last", previous_response_id=second.id
        )
    assert second.previous_response_id == first.id
    prompts = [
        [(turn.role, turn.content) for turn in generation.prompt.messages]
        for generation in engine.generations
    ]
    assert prompts[0] == [("system", "Be brief.\n\nBe nice."), ("user", "go")]
    assert prompts[1] == [
        ("system", "Be brief."),
        ("user", "go"),
        ("assistant", "an answer"),
        ("user", "and then"),
    ]
    assert prompts[2][1:] == [
        ("assistant", "an answer"),
        ("user", "and then"),
        ("assistant", "an answer"),
        ("user", "last"),
    ]


async def test_the_output_of_a_response_can_be_sent_back_as_input(tmp_path: Path) -> None:
    engine = ScriptedEngine(PAIR_TEXT)
    async with openai_house(tmp_path, engine) as (_, client):
        first = await client.responses.create(model="pair", input="go")
        turns: Any = [
            {"role": "developer", "content": "Be nice."},
            {"role": "user", "content": [{"type": "input_text", "text": "go"}]},
            *first.output,
            {"type": "message", "role": "user", "content": "more"},
        ]
        await client.responses.create(model="pair", input=turns)
    assert [(turn.role, turn.content) for turn in engine.generations[1].prompt.messages] == [
        ("system", "Answer with a title and a count.\n\nBe nice."),
        ("user", "go"),
        ("assistant", '{"title":"Bring a cup","count":3}'),
        ("user", "more"),
    ]


@pytest.mark.parametrize("as_object", [True, False])
async def test_a_conversation_brings_its_turns_and_keeps_the_new_ones(
    tmp_path: Path, as_object: bool
) -> None:
    engine = ScriptedEngine("an answer")
    async with openai_house(tmp_path, engine) as (served, client):
        made = await client.conversations.create(extra_body={"assistant": "chat"})
        place: Any = {"id": made.id} if as_object else made.id
        first = await client.responses.create(**ASK, conversation=place)
        await client.responses.create(model="chat", input="more", conversation=place)
        kept = (await served.http.get(f"/v1/conversations/{made.id}")).json()
        with pytest.raises(openai.BadRequestError) as raised:
            await client.responses.create(**ASK, previous_response_id=first.id)
        assert raised.value.param == "previous_response_id"
        with pytest.raises(openai.NotFoundError) as missing:
            await client.responses.create(**ASK, conversation="conv_none")
        assert missing.value.param == "conversation"
    assert first.conversation
    assert first.conversation.id == made.id
    assert [turn["content"] for turn in kept["turns"]] == ["go", "an answer", "more", "an answer"]
    assert [turn.content for turn in engine.generations[1].prompt.messages] == [
        "Be brief.",
        "go",
        "an answer",
        "more",
    ]


async def test_a_response_that_is_not_stored_is_not_found_again(tmp_path: Path) -> None:
    async with openai_house(tmp_path) as (_, client):
        response = await client.responses.create(**ASK, store=False)
        assert response.store is False
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(response.id)
        with pytest.raises(openai.BadRequestError):
            await client.responses.create(**ASK, previous_response_id=response.id)


async def test_answers_of_other_faces_are_no_responses(tmp_path: Path) -> None:
    async with openai_house(tmp_path) as (served, client):
        native = (await served.stream({"assistant": "chat", "input": "go"}))[0][1]
        assert isinstance(native, Started)
        for name in (native.id, native.id.replace("ans_", "resp_"), "resp_", "x"):
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(name)


async def test_a_response_is_an_answer_of_the_native_protocol_too(tmp_path: Path) -> None:
    async with openai_house(tmp_path) as (served, client):
        response = await client.responses.create(model="pair", input="go")
        events = await served.replay(response.id.replace("resp_", "ans_"))
    assert kinds(events)[-1] == "finished"


async def test_a_response_that_waits_for_a_slot_says_so_before_it_is_in_progress(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine("word " * 20, Play(delay=0.005, slots=1))
    async with openai_house(tmp_path, engine) as (_, client):
        first = await client.responses.create(**ASK, stream=True)
        await anext(first)
        second = await client.responses.create(**ASK, background=True)
        while second.status == "in_progress":  # between its start and its wait
            second = await client.responses.retrieve(second.id)
        assert second.status == "queued"
        third = await client.responses.create(**ASK, stream=True)
        events, _ = await asyncio.gather(events_of(third), events_of(first))
    assert order(events)[:3] == ["response.created", "response.queued", "response.in_progress"]
    assert numbers(events) == sorted(set(numbers(events)))
    assert text_of(events) == "word " * 20


async def test_the_same_idempotency_key_gives_the_same_response(tmp_path: Path) -> None:
    engine = ScriptedEngine(PAIR_TEXT)
    headers = {"Idempotency-Key": "k1"}
    async with openai_house(tmp_path, engine) as (_, client):
        first = await client.responses.create(**ASK, extra_headers=headers)
        second = await client.responses.create(**ASK, extra_headers=headers)
        with pytest.raises(openai.ConflictError):
            await client.responses.create(model="chat", input="x", extra_headers=headers)
    assert first == second
    assert len(engine.generations) == 1
