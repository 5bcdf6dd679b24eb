"""The Python client: growing models, the door without async, and replies that are lost."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from pydantic import BaseModel, Field

from leafstream.client import Client, Partial, SyncClient, ask, connection
from leafstream.decoder.json import JsonDecoder
from leafstream.decoder.value import Fold
from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.errors import (
    Conflict,
    EngineUnavailable,
    InvalidRequest,
    LeafstreamError,
    RateLimited,
    Unauthorized,
)
from leafstream.events import KINDS, Event, Finished, ValueSet
from leafstream.keys import add_key
from leafstream.schema import Schema
from tests.house import PAIR_TEXT, Pair, house, kinds

GOLDEN = Path(__file__).parents[1] / "data" / "fold.jsonl"
CASES = [json.loads(line) for line in GOLDEN.read_text().splitlines()]


class Grade(Enum):
    GOOD = "good"
    POOR = "poor"


class Step(BaseModel):
    title: str = Field(min_length=3)
    minutes: int | None = None


class Report(BaseModel):
    day: date
    grade: Grade
    steps: list[Step] = Field(min_length=1)
    best: Step | None = None
    called: str = Field("", alias="class")


class Sheet(BaseModel):
    scores: dict[str, str]
    rows: list[dict[str, Any]]


REPORT = (
    '{"day":"2026-11-24","grade":"good","steps":[{"title":"Walk","minutes":5},'
    '{"title":"Rest"}],"best":{"title":"Walk"},"class":"A"}'
)


def _events(text: str, model: type[BaseModel], size: int = 3) -> list[Event]:
    decoder = JsonDecoder(Schema.parse(model.model_json_schema()))
    pieces = [text[i : i + size] for i in range(0, len(text), size)]
    return [*(event for piece in pieces for event in decoder.feed(piece)), *decoder.finish()]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_golden_events_fold_to_the_golden_values(case: dict[str, Any]) -> None:
    fold = Fold()
    for step in case["steps"]:
        raw = dict(step["event"])
        event = msgspec.convert(raw, KINDS[raw.pop("kind")])
        if "error" in step:
            with pytest.raises(ValueError, match=r".+"):
                fold.apply(event)
        else:
            fold.apply(event)
            assert fold.value == step["value"]


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_a_growing_model_ends_as_the_model_itself(size: int) -> None:
    partial = Partial(Report)
    for event in _events(REPORT, Report, size):
        partial.apply(event)
        # Building only what grew must come to the same as building everything.
        whole = Partial(Report)
        whole.apply(ValueSet("", partial._fold.value))
        assert partial.value == whole.value
    assert partial.value == Report.model_validate_json(REPORT)


def test_a_growing_model_is_typed_before_it_is_whole() -> None:
    partial = Partial(Report)
    assert partial.value.model_dump() == {
        "day": None,
        "grade": None,
        "steps": [],
        "best": None,
        "called": None,
    }
    for event in _events(REPORT[: REPORT.index("Rest") + 2], Report):
        partial.apply(event)
    assert partial.value.day == date(2026, 11, 24)
    assert partial.value.grade is Grade.GOOD
    assert partial.value.steps[0] == Step(title="Walk", minutes=5)
    assert partial.value.steps[1].title == "Re"


def test_a_snapshot_does_not_change_and_shares_what_did_not_grow() -> None:
    partial = Partial(Report)
    events = _events(REPORT, Report)
    split = next(i for i, e in enumerate(events) if getattr(e, "path", "") == "/steps/1/title")
    for event in events[:split]:
        partial.apply(event)
    before = partial.value
    partial.apply(events[split])
    assert (len(before.steps), len(partial.value.steps)) == (1, 2)
    assert partial.value.steps[0] is before.steps[0]


def test_a_snapshot_of_free_names_does_not_change_either() -> None:
    partial = Partial(Sheet)
    text = '{"scores": {"a": "xy", "b": "z"}, "rows": [{"a": ["p", "q"]}, {"b": {"c": "r"}}]}'
    taken = []
    for event in _events(text, Sheet, 1):
        partial.apply(event)
        taken.append((partial.value, partial.value.model_dump()))
    assert [snapshot.model_dump() for snapshot, _ in taken] == [then for _, then in taken]
    assert partial.value == Sheet.model_validate_json(text)


async def test_a_stream_yields_partials_and_then_the_result(tmp_path: Path) -> None:
    engine = ScriptedEngine(PAIR_TEXT, Play(delay=0.02))
    async with house(tmp_path, engine) as served, Client(served.url) as client:
        answer = client.stream("pair", {"message": "go"}, Pair)
        with pytest.raises(Conflict, match="not finished"):
            _ = answer.result
        titles: list[str | None] = [partial.title async for partial in answer]
    assert titles[0] is None
    grown = [title for title in titles if title]
    assert grown == sorted(grown, key=len)
    assert len(grown[0]) < len(grown[1]) < len("Bring a cup") == len(grown[-1])
    assert answer.result == Pair(title="Bring a cup", count=3)
    assert answer.started is not None
    assert answer.started.model == "scripted"


async def test_a_stream_raises_where_the_answer_fails(tmp_path: Path) -> None:
    engine = ScriptedEngine("no json at all", Play(constrains=False))
    async with house(tmp_path, engine) as served, Client(served.url) as client:
        answer = client.stream("pair", {"message": "go"}, Pair)
        with pytest.raises(LeafstreamError, match="no JSON"):
            _ = [partial async for partial in answer]


async def test_code_without_async_gets_the_same_events(tmp_path: Path) -> None:
    def read(url: str) -> list[str]:
        return [event.kind for event in ask("pair", {"message": "go"}, url=url)]

    async with house(tmp_path) as served:
        numbered = await served.stream({"assistant": "pair", "input": {"message": "go"}})
        assert sorted(set(await asyncio.to_thread(read, served.url))) == sorted(
            set(kinds(numbered))
        )


async def test_code_without_async_gets_a_growing_model_and_may_leave(tmp_path: Path) -> None:
    def read(url: str) -> tuple[Pair, Pair]:
        with SyncClient(url) as client:
            for _ in client.stream("pair", {"message": "go"}, Pair):
                break
            answer = client.stream("pair", {"message": "go"}, Pair)
            return list(answer)[-1], answer.result

    async with house(tmp_path) as served:
        last, result = await asyncio.to_thread(read, served.url)
    assert last == result == Pair(title="Bring a cup", count=3)


async def test_a_refusal_raises_in_code_without_async(tmp_path: Path) -> None:
    def read(url: str) -> None:
        list(ask("pair", {"massage": "go"}, url=url))

    async with house(tmp_path) as served:
        with pytest.raises(InvalidRequest, match="message"):
            await asyncio.to_thread(read, served.url)


class _Lossy(httpx2.AsyncBaseTransport):
    """A network that loses the first replies to what `loses` says, after the server had them."""

    def __init__(self, loses: Callable[[httpx2.Request], bool], times: int) -> None:
        self._inner = httpx2.AsyncHTTPTransport()
        self._loses = loses
        self.times = times
        self.seen: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(request)
        response = await self._inner.handle_async_request(request)
        if self._loses(request) and self.times:
            self.times -= 1
            await response.aclose()
            raise httpx2.ReadError("lost")
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


async def test_a_lost_reply_is_asked_for_again_and_is_one_answer(tmp_path: Path) -> None:
    engine = ScriptedEngine(PAIR_TEXT)
    lossy = _Lossy(lambda request: request.method == "POST", 2)
    async with house(tmp_path, engine) as served, Client(served.url, transport=lossy) as client:
        events = [event async for event in client.ask("pair", {"message": "go"})]
    assert isinstance(events[-1], Finished)
    assert (len(engine.generations), len(lossy.seen)) == (1, 3)


class _Breaking(httpx2.AsyncBaseTransport):
    """A network on which the stream of a POST breaks, and whose `refusals` meet who comes back."""

    def __init__(self, refusals: list[tuple[int, str]]) -> None:
        self._inner = httpx2.AsyncHTTPTransport()
        self._refusals = refusals
        self.times: list[float] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.times.append(time.monotonic())
        if request.method == "GET" and self._refusals:
            status, after = self._refusals.pop(0)
            return httpx2.Response(status, headers={"Retry-After": after}, content=b"{}")
        response = await self._inner.handle_async_request(request)
        if request.method == "GET":
            return response
        await response.aclose()
        return httpx2.Response(response.status_code, headers=response.headers, content=b"")

    async def aclose(self) -> None:
        await self._inner.aclose()


@pytest.mark.parametrize("refusal", [(429, "1"), (503, "1.0")])
async def test_who_comes_back_too_often_waits_as_long_as_told_and_misses_nothing(
    tmp_path: Path, refusal: tuple[int, str]
) -> None:
    network = _Breaking([refusal])
    async with house(tmp_path) as served, Client(served.url, transport=network) as client:
        events = [event async for event in client.ask("pair", {"message": "go"})]
    assert isinstance(events[-1], Finished)
    _, refused, taken = network.times
    assert taken - refused >= 1


async def test_a_failed_answer_raises_with_when_to_ask_again(tmp_path: Path) -> None:
    away = Play(fail_after=4, failure=EngineUnavailable("busy", retry_after=60))
    engine = ScriptedEngine(PAIR_TEXT, away)
    async with house(tmp_path, engine) as served, Client(served.url) as client:
        with pytest.raises(LeafstreamError) as raised:
            _ = [pair async for pair in client.stream("pair", {"message": "go"}, Pair)]
    assert raised.value.retry_after == 60


@pytest.mark.parametrize("body", [b"<html></html>", b"\xff", b'["ok"]', b""])
async def test_what_answers_and_is_no_leafstream_server_is_not_alive(body: bytes) -> None:
    page = httpx2.MockTransport(lambda _: httpx2.Response(200, content=body))
    async with Client(transport=page) as client:
        assert not await client.alive()


async def test_a_server_that_only_takes_connections_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "MAX_RECONNECTS", 2)
    seen: list[httpx2.Request] = []

    async def hang_up(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, headers={"Content-Type": "text/event-stream"}, content=b"")

    async with Client(transport=httpx2.MockTransport(hang_up)) as client:
        with pytest.raises(EngineUnavailable, match="hangs up again and again"):
            _ = [event async for event in client.follow("a")]
    assert len(seen) == 3


async def _ask_without_end(client: Client) -> None:
    while True:
        await client.assistant("pair")


async def test_a_key_that_has_asked_often_follows_its_answer_over_a_line_that_breaks(
    tmp_path: Path,
) -> None:
    file = tmp_path / "keys.json"
    key = add_key(file, "me", per_minute=60)
    async with (
        house(tmp_path, keys_file=file) as served,
        Client(served.url, key=key, transport=_Breaking([])) as client,
    ):
        with pytest.raises(RateLimited) as refused:
            await _ask_without_end(client)
        assert refused.value.retry_after is not None
        await asyncio.sleep(refused.value.retry_after)
        events = [event async for event in client.ask("pair", {"message": "go"})]
    assert isinstance(events[-1], Finished)


async def test_replies_that_are_always_lost_end_in_a_sentence(tmp_path: Path) -> None:
    lossy = _Lossy(lambda _: True, 100)
    async with house(tmp_path) as served, Client(served.url, transport=lossy) as client:
        with pytest.raises(EngineUnavailable, match="no server answers at http"):
            _ = [event async for event in client.ask("pair", {"message": "go"})]
    assert len(lossy.seen) == 3


async def test_a_key_is_sent_as_a_bearer_token(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key = add_key(file, "me")
    async with house(tmp_path, keys_file=file) as served:
        async with Client(served.url, key=key) as client:
            events = [event async for event in client.ask("pair", {"message": "go"})]
        async with Client(served.url) as client:
            with pytest.raises(Unauthorized, match="wants a key"):
                await client.assistant("pair")
    assert isinstance(events[-1], Finished)
