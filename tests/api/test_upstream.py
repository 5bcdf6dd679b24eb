"""The whole server in front of another server, which dies and comes back."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel, Field
from rich.console import Console

from leafstream import Assistant, Sampling
from leafstream.engines.upstream import UpstreamEngine, UpstreamOptions
from leafstream.events import Event, Failed, Finished, Started, decode
from leafstream.top import Server, Span, drawn
from tests.house import STREAM, House, house, kinds, texts
from tests.llama_server import KEY, LlamaServer, llama_server
from tests.nursery import command
from tests.rude_server import CHAT, GOOD, Answer, RudeServer, rude_server, serving

REFUSING = Answer((b'{"error": {"message": "no"}}',), status=401, kind="application/json")
TOKENIZE = "/tokenize"
TOKENS = Answer((b'{"tokens": [1, 2, 3]}',), kind="application/json")
GREEDY = Sampling(temperature=0.0)


class Trip(BaseModel):
    city: str = Field(min_length=3, max_length=30)
    sights: list[str] = Field(min_length=3, max_length=3)
    days: int = Field(ge=1, le=30)


ASSISTANTS = {
    "story": Assistant(instructions="Tell a story.", sampling=GREEDY),
    "trip": Assistant(Trip, instructions="Plan a trip.", sampling=GREEDY),
}
STORY = {"assistant": "story", "input": "A story about a cup.", "max_tokens": 64}
TRIP = {"assistant": "trip", "input": "Italy, please."}


@pytest.fixture(name="shared", scope="module")
def _shared(model_path: Path) -> Iterator[LlamaServer]:
    with llama_server(model_path) as started:
        yield started


@pytest.fixture(name="server")
def _server(shared: LlamaServer) -> LlamaServer:
    """One that is up, whatever the test before did to it."""
    if not shared.is_up:
        shared.start()
    return shared


@asynccontextmanager
async def served(folder: Path, *urls: str) -> AsyncIterator[House]:
    engine = await UpstreamEngine.open(UpstreamOptions(urls, KEY, context_window=1024))
    async with house(folder, engine, ASSISTANTS, soft_landing=False) as running:
        yield running


async def events(running: House, body: dict[str, Any]) -> AsyncGenerator[tuple[int, Event], None]:
    """The events of an answer as they come."""
    async with running.http.stream("POST", "/v1/answers", json=body, headers=STREAM) as response:
        assert response.status_code == 200, await response.aread()
        async for sent in httpx2.EventSource(response):
            if sent.data:
                yield int(sent.id), decode(sent.event, sent.data.encode())


async def broken_off(
    running: House, body: dict[str, Any], server: LlamaServer, kills: tuple[int, ...]
) -> list[tuple[int, Event]]:
    """The answer while the server is killed after so many events, and started again."""
    seen: list[tuple[int, Event]] = []
    async with aclosing(events(running, body)) as stream:
        async for number, event in stream:
            seen.append((number, event))
            if len(seen) in kills:
                server.kill()
                await asyncio.to_thread(server.start)
    return seen


@pytest.mark.parametrize(("body", "kills"), [(STORY, (3, 8)), (TRIP, (8,))], ids=["text", "fields"])
async def test_an_answer_goes_on_where_it_was_when_the_upstream_dies_and_comes_back(
    tmp_path: Path, server: LlamaServer, body: dict[str, Any], kills: tuple[int, ...]
) -> None:
    async with served(tmp_path, server.url) as running:
        whole = await running.stream(body)
        broken = await broken_off(running, body, server, kills)
    assert kinds(whole).count("text") > 5
    assert texts(broken) == texts(whole)
    finished, expected = broken[-1][1], whole[-1][1]
    assert isinstance(finished, Finished)
    assert isinstance(expected, Finished)
    assert finished.value == expected.value
    assert (finished.finish, finished.complete) == (expected.finish, expected.complete)
    assert [number for number, _ in broken] == sorted({number for number, _ in broken})
    assert kinds(broken).count("finished") == 1


async def test_an_answer_goes_on_at_another_upstream_when_its_own_dies(
    tmp_path: Path, model_path: Path, server: LlamaServer
) -> None:
    with llama_server(model_path) as second:
        async with served(tmp_path, server.url, second.url) as running:
            whole = await running.stream(STORY)
            assert isinstance(running.app.engine, UpstreamEngine)
            seen: list[tuple[int, Event]] = []
            async with aclosing(events(running, STORY)) as stream:
                async for number, event in stream:
                    seen.append((number, event))
                    if len(seen) == 10:
                        standings = running.app.engine.standings
                        (busy,) = (s.url for s in standings if s.busy)
                        (server if busy == server.url else second).kill()
    assert texts(seen) == texts(whole)


async def test_a_server_is_not_ready_while_every_upstream_is_out_and_says_so(
    tmp_path: Path,
) -> None:
    first, second = RudeServer(), RudeServer()
    says = "none of 2 upstreams is in; the log says why"
    async with serving(first), serving(second), served(tmp_path, first.url, second.url) as running:
        await ready(running, 200, "", [False, False])
        first.answers[CHAT] = second.answers[CHAT] = [REFUSING]
        await running.stream(STORY)
        await ready(running, 503, says, [True, True])
        shown = await asyncio.to_thread(top, running.url)
        assert f"{first.url} out, {second.url} out" in shown
        assert says in shown
        first.answers[CHAT] = [GOOD]
        await ready(running, 200, "", [False, True])
        metrics = (await running.http.get("/metrics")).text
        assert f'leafstream_upstream_out{{url="{first.url}"}} 0.0' in metrics
        assert f'leafstream_upstream_out{{url="{second.url}"}} 1.0' in metrics
        assert f'leafstream_upstream_busy{{url="{second.url}"}} 0.0' in metrics


async def ready(running: House, status: int, reason: str, out: list[bool]) -> None:
    """Wait until /readyz says this."""
    async with asyncio.timeout(20):
        while True:
            response = await running.http.get("/readyz")
            told = response.json()
            if [one["out"] for one in told["upstreams"]] == out:
                break
            await asyncio.sleep(0.05)
    assert (response.status_code, told["reason"]) == (status, reason)
    assert told["status"] == ("engine_unavailable" if reason else "ready")
    assert "127.0.0.1" not in response.text  # anybody may ask


def top(url: str) -> str:
    """What `leafstream top` shows of a server."""
    server = Server(url)
    try:
        sample = server.sample()
        console = Console(width=250, record=True, file=io.StringIO())
        console.print(drawn(server.ready(), Span(sample, sample)))
        return console.export_text()
    finally:
        server.close()


async def test_what_an_upstream_says_of_when_to_ask_again_reaches_the_client(
    tmp_path: Path,
) -> None:
    busy = Answer(status=429, kind="application/json", headers=("Retry-After: 7.5",))
    async with rude_server(**{TOKENIZE: [TOKENS, TOKENS, busy]}) as server:
        options = UpstreamOptions((server.url,), vendor="sglang", context_window=1024)
        engine = await UpstreamEngine.open(options)
        async with house(tmp_path, engine, ASSISTANTS) as running:
            response = await running.http.post("/v1/answers", json=STORY)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "8")


async def test_what_it_says_of_that_once_the_stream_is_open_reaches_the_client_too(
    tmp_path: Path,
) -> None:
    busy = Answer(status=429, kind="application/json", headers=("Retry-After: 60",))
    async with rude_server(busy) as server:
        engine = await UpstreamEngine.open(UpstreamOptions((server.url,), context_window=1024))
        async with house(tmp_path, engine, ASSISTANTS) as running:
            seen = await running.stream(STORY)
            response = await running.http.post("/v1/answers", json=STORY)
        num_asked = server.num_asked(CHAT)
    failed = seen[-1][1]
    assert isinstance(failed, Failed)
    assert (failed.code, failed.retry_after) == ("engine_unavailable", 60.0)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "60")
    assert num_asked == 3  # once at the start, and once for each


async def test_a_wrong_key_is_told_to_the_client_as_the_servers_fault(tmp_path: Path) -> None:
    async with rude_server(REFUSING) as server:
        options = UpstreamOptions((server.url,), "sesame", context_window=1024)
        engine = await UpstreamEngine.open(options)
        async with house(tmp_path, engine, ASSISTANTS, soft_landing=False) as running:
            events = await running.stream(STORY)
    failed = events[-1][1]
    assert isinstance(failed, Failed)
    assert (failed.code, failed.status) == ("engine_misconfigured", 502)
    assert not failed.retryable
    assert failed.message == "the upstream refuses this server's key (401: no)"


async def test_b5_an_answer_that_is_cancelled_frees_the_upstreams_slots(
    tmp_path: Path, server: LlamaServer
) -> None:
    async with served(tmp_path, server.url) as running:
        assert isinstance(running.app.engine, UpstreamEngine)
        slots = running.app.engine.slots
        for _ in range(2):
            answers = [await running.begin(STORY | {"max_tokens": 900}) for _ in range(slots)]
            while sum(one.busy for one in running.app.engine.standings) < slots:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            for answer in answers:
                await running.http.post(f"/v1/answers/{answer}/cancel")
        async with asyncio.timeout(10):
            short = await running.stream(STORY | {"max_tokens": 3})
    assert isinstance(short[-1][1], Finished)


async def test_a4_prompts_are_counted_by_the_upstreams_own_tokenizer(
    tmp_path: Path, server: LlamaServer
) -> None:
    async with served(tmp_path, server.url) as running:
        seen = await running.stream(STORY | {"max_tokens": 4})
        response = await running.http.post(
            "/v1/answers", json=STORY | {"input": "cup " * 2000}, headers=STREAM
        )
    started, finished = seen[0][1], seen[-1][1]
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    assert not started.plan.estimated
    assert started.plan.context_window == 1024
    assert response.status_code == 422
    assert response.json()["error"]["code"] == "prompt_too_long"


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"LEAFSTREAM_UPSTREAM": "http://127.0.0.1:9"}, "nothing listens there; start the server"),
        ({"LEAFSTREAM_UPSTREAM": "gopher://x"}, "is no http(s) URL; give http://host:port"),
        ({"LEAFSTREAM_UPSTREAM": " , "}, "names no URL"),
        (
            {"LEAFSTREAM_UPSTREAM": "http://127.0.0.1:9", "LEAFSTREAM_THREADS": "2"},
            "LEAFSTREAM_THREADS has no effect with LEAFSTREAM_UPSTREAM",
        ),
        (
            {"LEAFSTREAM_UPSTREAM": "http://127.0.0.1:9", "LEAFSTREAM_UPSTREAM_IGNORE": "top_q"},
            "LEAFSTREAM_UPSTREAM_IGNORE names top_q; it takes: temperature",
        ),
        (
            {"LEAFSTREAM_UPSTREAM": "http://127.0.0.1:9", "LEAFSTREAM_UPSTREAM_VENDOR": "vlm"},
            "LEAFSTREAM_UPSTREAM_VENDOR='vlm' is none of: auto, vllm",
        ),
    ],
)
def test_an_upstream_that_cannot_be_served_is_told_before_the_port_opens(
    tmp_path: Path, environment: dict[str, str], says: str
) -> None:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    told = {**kept, "HOME": str(tmp_path), "LEAFSTREAM_PORT": "0", **environment}
    done = command("serve", environment=told, folder=tmp_path)
    assert done.code == 2, done.err
    assert says in done.sentence
