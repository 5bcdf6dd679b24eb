"""POST /v1/answers and what can be asked of an answer afterwards."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import httpx2
import pytest

from leafstream.client import Client
from leafstream.decoder.value import fold
from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.errors import EngineError
from leafstream.events import Cancelled, Event, Failed, Finished, Started
from tests.house import ASK_PAIR, PAIR_TEXT, STREAM, House, house, kinds, numbered, texts

VARIED = " ".join(f"line {number} says {number * 7919 % 1000}." for number in range(400))


async def test_a_stream_starts_sends_clean_text_by_path_and_finishes_once(tmp_path: Path) -> None:
    async with house(tmp_path) as served:
        events = await served.stream(ASK_PAIR)
    assert kinds(events)[0] == "started"
    assert kinds(events).count("finished") == 1
    assert kinds(events)[-1] == "finished"
    assert [number for number, _ in events] == sorted({number for number, _ in events})
    assert texts(events) == {"/title": "Bring a cup"}
    finished = events[-1][1]
    assert isinstance(finished, Finished)
    assert finished.value == {"title": "Bring a cup", "count": 3}
    assert finished.complete
    assert fold([event for _, event in events]) == finished.value


async def test_the_first_event_tells_the_plan(tmp_path: Path) -> None:
    async with house(tmp_path) as served:
        events = await served.stream({**ASK_PAIR, "max_tokens": 100})
    started = events[0][1]
    assert isinstance(started, Started)
    assert started.plan.max_tokens == 100
    assert started.plan.context_window == 2048
    assert started.plan.prompt_tokens > 0


async def test_a_caller_that_accepts_json_waits_and_gets_the_finished_answer(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as served:
        response = await served.http.post(
            "/v1/answers", json=ASK_PAIR, headers={"Accept": "application/json"}
        )
    assert response.status_code == 200
    answer = response.json()
    assert answer["state"] == "finished"
    assert answer["value"] == {"title": "Bring a cup", "count": 3}
    assert answer["complete"] is True


async def test_an_answer_shows_its_state_and_the_value_so_far(tmp_path: Path) -> None:
    engine = ScriptedEngine(PAIR_TEXT, Play(delay=0.1))
    async with house(tmp_path, engine) as served:
        answer = await served.begin(ASK_PAIR)
        seen = set()
        while True:
            state = (await served.http.get(f"/v1/answers/{answer}")).json()
            seen.add((state["state"], state["value"] and state["value"].get("title")))
            if state["state"] == "finished":
                break
            await asyncio.sleep(0.02)
    partial = {title for state, title in seen if state == "writing" and title}
    assert any(title != "Bring a cup" and "Bring a cup".startswith(title) for title in partial)
    assert ("finished", "Bring a cup") in seen


async def test_an_integer_of_any_size_comes_through_and_holds_nobody_up(tmp_path: Path) -> None:
    engine = ScriptedEngine('{"title":"x","count":' + "9" * 40 + "}")
    async with house(tmp_path, engine) as served:
        events = await served.stream(ASK_PAIR)
        plain = await served.stream({"assistant": "chat", "input": "go"})
    finished = events[-1][1]
    assert isinstance(finished, Finished)
    assert finished.value == {"title": "x", "count": int("9" * 40)}
    assert plain[-1][1].kind == "finished"


@pytest.mark.parametrize("way", ["after", "Last-Event-ID"])
async def test_events_are_replayed_after_any_number_and_followed_to_the_end(
    tmp_path: Path, way: str
) -> None:
    engine = ScriptedEngine(PAIR_TEXT, Play(delay=0.01))
    async with house(tmp_path, engine) as served:
        answer = await served.begin(ASK_PAIR)
        whole = await served.replay(answer)
        for number, _ in whole[:-1]:
            if way == "after":
                rest = await served.replay(answer, number)
            else:
                rest = await _resumed(served, answer, number)
            assert rest[0][0] > number
            assert texts([*whole[: number_index(whole, number) + 1], *rest]) == texts(whole)
            assert rest[-1] == whole[-1]


def number_index(events: list[tuple[int, Event]], number: int) -> int:
    return [n for n, _ in events].index(number)


async def _resumed(served: House, answer: str, number: int) -> list[tuple[int, Event]]:
    path = f"/v1/answers/{answer}/events"
    headers = {"Last-Event-ID": str(number)}
    async with served.http.stream("GET", path, headers=headers) as response:
        return await numbered(response)


async def test_a_reader_that_comes_after_the_end_gets_everything_and_then_the_stream_closes(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as served:
        first = await served.stream(ASK_PAIR)
        started = first[0][1]
        assert isinstance(started, Started)
        again = await served.replay(started.id)
        assert texts(again) == texts(first)


@pytest.mark.parametrize("beyond", [0, 1000])
async def test_nothing_follows_the_end_and_a_browser_is_told_to_stop_asking(
    tmp_path: Path, beyond: int
) -> None:
    async with house(tmp_path) as served:
        events = await served.stream(ASK_PAIR)
        started = events[0][1]
        assert isinstance(started, Started)
        after = events[-1][0] + beyond
        path = f"/v1/answers/{started.id}/events"
        told = [
            await served.http.get(path, params={"after": after}),
            await served.http.get(path, headers={"Last-Event-ID": str(after)}),
        ]
        async with Client(served.url) as client, asyncio.timeout(2):
            assert [event async for event in client.follow(started.id, after)] == []
    assert [response.status_code for response in told] == [204, 204]


async def test_a_stream_that_a_stopping_server_closes_is_not_told_to_be_over(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine(VARIED, Play(delay=0.01))
    async with house(tmp_path, engine) as served:
        answer = await served.begin({"assistant": "chat", "input": "go"})
        await served.app.runs.drain(0)
        served.app.log.let_readers_go()
        path = f"/v1/answers/{answer}/events"
        closed = await served.http.get(path, headers={"Last-Event-ID": "10000"})
    assert closed.status_code == 200


@pytest.mark.parametrize("number", ["9" * 16, "9" * 30, "9" * 5000, "-1", "²", "one"])
async def test_a_number_that_no_event_can_have_is_refused(tmp_path: Path, number: str) -> None:
    async with house(tmp_path) as served:
        answer = await served.begin(ASK_PAIR)
        path = f"/v1/answers/{answer}/events"
        header = {b"Last-Event-ID": number.encode("latin-1")}
        told = [
            await served.http.get(path, headers=header),
            await served.http.get(path, params={"after": number}),
        ]
    assert [response.status_code for response in told] == [422, 422]
    assert [response.json()["error"]["param"] for response in told] == ["Last-Event-ID", "after"]


async def test_b5_a_caller_that_waits_for_json_and_hangs_up_frees_its_slot_after_the_grace_period(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine(VARIED, Play(delay=0.01))
    async with house(tmp_path, engine, grace_seconds=0.2) as served:
        body, key = {"assistant": "chat", "input": "go"}, {"Idempotency-Key": "once"}
        with pytest.raises(httpx2.ReadTimeout):
            await served.http.post("/v1/answers", json=body, headers=key, timeout=0.3)
        left = time.monotonic()
        async with asyncio.timeout(3):
            while engine.running or served.app.runs.num_free_slots < 4:
                await asyncio.sleep(0.005)
        assert 0.15 < time.monotonic() - left < 1
        again = await served.http.post("/v1/answers", json=body, headers=key)
    assert "nobody read it for 0.2 seconds" in again.json()["error"]["message"]


async def test_a_caller_that_waits_for_json_at_a_stopping_server_is_told_to_ask_again(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine(VARIED, Play(delay=0.01))
    async with house(tmp_path, engine) as served:
        body = {"assistant": "chat", "input": "go"}
        asking = asyncio.create_task(served.http.post("/v1/answers", json=body))
        while not engine.running:
            await asyncio.sleep(0.005)
        await served.app.runs.drain(0)
        served.app.log.let_readers_go()
        response = await asking
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    error = response.json()["error"]
    assert error["code"] == "interrupted"
    assert error["id"].startswith("ans_")


async def test_an_engine_that_fails_in_the_middle_ends_the_stream_with_one_failed_event(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine(PAIR_TEXT, Play(fail_after=3, failure=EngineError("it broke")))
    async with house(tmp_path, engine) as served:
        events = await served.stream(ASK_PAIR)
        response = await served.http.post("/v1/answers", json=ASK_PAIR)
    failed = events[-1][1]
    assert failed == Failed("engine_failed", 502, "it broke", retryable=True)
    assert kinds(events).count("failed") == 1
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "engine_failed"


async def test_a_running_answer_is_cancelled_and_its_slot_is_free_when_the_call_returns(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine("word " * 500, Play(delay=0.01))
    async with house(tmp_path, engine) as served:
        answer = await served.begin({"assistant": "chat", "input": "go"})
        await asyncio.sleep(0.1)
        assert engine.running == 1
        state = (await served.http.post(f"/v1/answers/{answer}/cancel")).json()
        assert state["state"] == "cancelled"
        assert engine.running == 0
        assert served.app.runs.num_free_slots == 4
        again = await served.http.post(f"/v1/answers/{answer}/cancel")
        assert again.status_code == 409
        events = await served.replay(answer)
    assert events[-1][1] == Cancelled("cancelled by the client")


async def test_an_answer_that_nobody_reads_is_cancelled_after_the_grace_period(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine("word " * 500, Play(delay=0.01))
    async with house(tmp_path, engine, grace_seconds=0.2) as served:
        body = {"assistant": "chat", "input": "go"}
        async with served.http.stream("POST", "/v1/answers", json=body, headers=STREAM) as open_:
            answer = open_.headers["Leafstream-Answer"]
            await anext(open_.aiter_bytes())
        left = time.monotonic()
        while engine.running:
            await asyncio.sleep(0.005)
        assert 0.15 < time.monotonic() - left < 1
        events = await served.replay(answer)
    assert events[-1][1] == Cancelled("nobody read it for 0.2 seconds")


@pytest.mark.parametrize("answers", ["memory:", ""])
async def test_without_a_grace_period_an_answer_lives_as_long_as_it_is_read(
    tmp_path: Path, answers: str
) -> None:
    engine = ScriptedEngine("word " * 100, Play(delay=0.002))
    async with house(tmp_path, engine, grace_seconds=0, answers_url=answers or None) as served:
        body = {"assistant": "chat", "input": "go"}
        events = await served.stream(body)
        whole = await served.http.post("/v1/answers", json=body)
        chat = {"model": "chat", "messages": [{"role": "user", "content": "go"}]}
        other = await served.http.post("/v1/chat/completions", json=chat)
    assert isinstance(events[-1][1], Finished)
    assert whole.status_code == other.status_code == 200


async def test_a_client_that_comes_back_within_the_grace_period_finds_its_answer_going_on(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine(PAIR_TEXT, Play(delay=0.05))
    async with house(tmp_path, engine, grace_seconds=0.4) as served:
        async with served.http.stream(
            "POST", "/v1/answers", json=ASK_PAIR, headers=STREAM
        ) as open_:
            answer = open_.headers["Leafstream-Answer"]
            await anext(open_.aiter_bytes())
        await asyncio.sleep(0.1)
        events = await served.replay(answer)
    assert isinstance(events[-1][1], Finished)


async def test_the_same_idempotency_key_gives_the_same_answer_and_another_request_is_refused(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine(PAIR_TEXT)
    async with house(tmp_path, engine) as served:
        first = await served.stream(ASK_PAIR, **{"Idempotency-Key": "k1"})
        second = await served.stream(ASK_PAIR, **{"Idempotency-Key": "k1"})
        other = await served.http.post(
            "/v1/answers",
            json={**ASK_PAIR, "max_tokens": 50},
            headers={"Idempotency-Key": "k1"},
        )
    assert texts(first) == texts(second)
    assert first[0] == second[0]
    assert len(engine.generations) == 1
    assert other.status_code == 409


async def test_a_full_house_queues_tells_the_position_and_refuses_beyond_the_queue(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine(PAIR_TEXT, Play(delay=0.03, slots=1))
    async with house(tmp_path, engine, queue=2) as served:
        running = [await served.begin(ASK_PAIR) for _ in range(3)]
        refused = await served.http.post("/v1/answers", json=ASK_PAIR)
        all_events = [await served.replay(answer) for answer in running]
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "overloaded"
    assert int(refused.headers["Retry-After"]) > 0
    positions = [
        [event.position for _, event in events if event.kind == "queued"]  # type: ignore[union-attr]
        for events in all_events
    ]
    assert positions == [[], [1], [2, 1]]
    assert all(isinstance(events[-1][1], Finished) for events in all_events)


async def test_a_stream_names_no_buffering_and_beats_while_the_model_is_silent(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine(PAIR_TEXT, Play(delay=0.1))
    async with house(tmp_path, engine, heartbeat_seconds=0.02) as served:
        response = await served.http.post("/v1/answers", json=ASK_PAIR, headers=STREAM)
        raw = response.text
    assert response.headers["Cache-Control"] == "no-cache, no-transform"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert raw.startswith("retry: 1000\n")
    assert raw.count(": still here\n\n") > 3
