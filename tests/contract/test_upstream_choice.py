"""Which of several upstreams is asked, which are out, and when they are back."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import Counter
from pathlib import Path

import pytest

from leafstream.engines.base import Generation
from leafstream.engines.openai import pool
from leafstream.engines.openai.connection import Client, target_of
from leafstream.engines.upstream import Timeouts, UpstreamEngine
from leafstream.errors import EngineMisconfigured, EngineUnavailable
from leafstream.sampling import Sampling
from tests.contract.upstreams import JSON, TURN, asked, collect, opened, said, until
from tests.llama_server import KEY, llama_server
from tests.rude_server import (
    CHAT,
    GOOD,
    Answer,
    RudeServer,
    rude_server,
    serving,
    token,
)


@pytest.fixture(autouse=True)
def looked_after_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "OUT_SECONDS", 0.1)


async def ask_until_the_first_is_out(engine: UpstreamEngine) -> None:
    """Every answer is a good one; which upstream a key comes to first is as its port falls."""
    async with asyncio.timeout(20):
        for number in itertools.count():
            assert said(await asked(engine, key=str(number))) == "Good day"
            if engine.standings[0].out:
                return


async def test_an_upstream_that_is_down_at_the_start_is_told_and_joins_when_it_is_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    late = RudeServer()
    async with serving(late):
        pass  # it has a port now, and nobody listens
    async with rude_server() as server:
        engine = await opened(server.url, late.url)
        assert f"upstream {late.url} is out" in caplog.text
        assert [standing.out for standing in engine.standings] == [False, True]
        async with serving(late):
            await until(lambda: not engine.standings[1].out, seconds=5.0)
            await engine.close()


async def test_the_least_busy_upstream_is_asked() -> None:
    slow = Answer((token("a"),) * 100, pause=0.05)
    async with rude_server(slow, slow) as first:
        second = RudeServer({CHAT: [GOOD]})
        async with serving(second):
            engine = await opened(first.url, second.url)
            streams = [
                engine.generate(Generation(await engine.prompt(TURN), 50, key="same"))
                for _ in range(2)
            ]
            for stream in streams:
                await anext(stream)
            busy = sorted(standing.busy for standing in engine.standings)
            for stream in streams:
                await stream.aclose()
            await engine.close()
    assert busy == [1, 1]


async def test_keys_are_spread_evenly_over_upstreams_that_are_idle() -> None:
    async def nothing(_: pool.Upstream) -> None: ...

    urls = [f"http://10.0.0.{number}:8000" for number in range(3)]
    upstreams = [pool.Upstream(Client(target_of(url), None, 1.0)) for url in urls]
    idle = pool.Pool(upstreams, "/health", nothing)
    chosen = Counter([(await idle.choose(str(key), 0.0)).url for key in range(900)])
    assert set(chosen) == set(urls)
    assert min(chosen.values()) > 250


async def test_a_circuit_opens_and_closes_again_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "leafstream.engines.openai")
    ill = RudeServer({CHAT: [GOOD, Answer(status=500, kind=JSON)]})
    well = RudeServer()
    async with serving(ill), serving(well):
        engine = await opened(ill.url, well.url)
        await ask_until_the_first_is_out(engine)
        assert ill.num_asked(CHAT) == 4  # at the start, and until the circuit opened
        assert not engine.outage
        assert said(await asked(engine)) == "Good day"
        assert [standing.out for standing in engine.standings] == [True, False]
        assert "answers 500" in engine.standings[0].reason
        assert f"upstream {ill.url} is out" in caplog.text
        ill.answers[CHAT] = [GOOD]
        await until(lambda: not engine.standings[0].out, seconds=5.0)
        assert f"upstream {ill.url} is back" in caplog.text
        await engine.close()


async def test_while_every_upstream_is_out_counting_fails_at_once_and_a_stream_waits(
    model_path: Path,
) -> None:
    with llama_server(model_path) as server:
        engine = await opened(server.url, key=KEY, context_window=None, timeouts=Timeouts())
        whole = Generation(await engine.prompt(TURN), 8, Sampling(temperature=0.0))
        expected = said(await collect(engine, whole))
        server.kill()
        waiting = asyncio.create_task(collect(engine, whole))
        await until(lambda: bool(engine.outage))
        begun = time.monotonic()
        with pytest.raises(EngineUnavailable, match=r"no upstream is in: .*nothing listens there"):
            await engine.prompt(TURN)
        assert time.monotonic() - begun < 0.1
        assert not waiting.done()
        await asyncio.to_thread(server.start)
        assert said(await waiting) == expected
        assert not engine.outage
        await engine.close()


async def test_an_upstream_whose_key_is_wrong_is_left_for_one_whose_key_is_right() -> None:
    refusing = RudeServer({CHAT: [GOOD, Answer(status=401, kind=JSON)]})
    well = RudeServer()
    async with serving(refusing), serving(well):
        engine = await opened(refusing.url, well.url)
        await ask_until_the_first_is_out(engine)
        assert not engine.outage
        assert said(await asked(engine)) == "Good day"
        assert [standing.out for standing in engine.standings] == [True, False]
        refusing.answers[CHAT] = [GOOD]  # its operator has mended it
        await until(lambda: not engine.standings[0].out, seconds=5.0)
        await engine.close()


async def test_of_several_upstreams_a_client_is_told_the_place_and_the_log_the_url(
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrong = [GOOD, Answer(status=401, kind=JSON)]
    first, second = RudeServer({CHAT: [*wrong]}), RudeServer({CHAT: [*wrong]})
    async with serving(first), serving(second):
        engine = await opened(first.url, second.url)
        first.answers[CHAT] = second.answers[CHAT] = wrong[1:]
        with pytest.raises(EngineMisconfigured) as raised:
            await asked(engine)
        await engine.close()
    says = "refuses this server's key (401: no reason given)"
    assert raised.value.message == f"upstream 1 of 2 {says}; upstream 2 of 2 {says}"
    for url in (first.url, second.url):
        assert f"upstream {url} is out: {url} {says}; set LEAFSTREAM_UPSTREAM_KEY" in caplog.text
