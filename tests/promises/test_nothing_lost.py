"""Promises about processes that die and connections that break, each against real processes."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from leafstream.events import Finished, Noticed
from tests.house import texts
from tests.serving import Reading, Replicas, Serving, client, replicas, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SAID = " ".join(f'{n}번째 컵은 "다시" 쓴다.' for n in range(18))
SCRIPT = json.dumps({"said": SAID}, ensure_ascii=False)
SCHEMA = {
    "type": "object",
    "properties": {"said": {"type": "string"}},
    "required": ["said"],
}
ASK = {"schema": SCHEMA, "input": "go"}


def whole(reading: Reading) -> None:
    """Every event once, none missing, the whole text, one end."""
    assert isinstance(reading.events[-1][1], Finished), reading.events[-1]
    assert reading.events[-1][1].value == {"said": SAID}
    assert texts(reading.events) == {"/said": SAID}
    numbers = [number for number, _ in reading.events]
    assert numbers == sorted(set(numbers))
    ends = [e for _, e in reading.events if e.kind in ("finished", "failed", "cancelled")]
    assert len(ends) == 1


def notices(reading: Reading) -> list[str]:
    return [event.code for _, event in reading.events if isinstance(event, Noticed)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def over_sqlite(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Replicas]:
    folder = tmp_path_factory.mktemp("sqlite")
    async with replicas(folder, SCRIPT, "sqlite", drain_seconds=0.2) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def over_redis(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Replicas]:
    async with replicas(tmp_path_factory.mktemp("redis"), SCRIPT, "redis") as made:
        yield made


@pytest.fixture(params=["redis", "sqlite"])
def over_either(request: pytest.FixtureRequest) -> Replicas:
    made: Replicas = request.getfixturevalue(f"over_{request.param}")
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def slow(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Replicas]:
    """Their answers take longer than any test waits for what ends them before."""
    folder = tmp_path_factory.mktemp("slow")
    async with replicas(folder, SCRIPT, "sqlite", delay=0.15, grace_seconds=1.5) as made:
        yield made


async def test_a_cancel_reaches_the_process_that_writes(slow: Replicas) -> None:
    first, second = await slow.both()
    reading = Reading()
    await reading.begin(first.url, {**ASK, "background": True}, upto=3)
    async with client() as http:
        cancelled = await http.post(f"{second.url}/v1/answers/{reading.answer}/cancel")
        assert cancelled.json()["state"] == "cancelled"
        assert (await http.get(first.url + "/readyz")).json()["free_slots"] == 4


async def test_b5_an_answer_is_read_elsewhere_and_lives_and_dies_when_nobody_reads_it(
    slow: Replicas,
) -> None:
    first, second = await slow.both()
    reading = Reading()
    await reading.begin(first.url, ASK, upto=5)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2.5):
            await reading.go_on(second.url)
    assert await state(first, reading.answer) == "writing"
    async with asyncio.timeout(10):
        while await state(second, reading.answer) == "writing":
            await asyncio.sleep(0.1)
    assert await state(first, reading.answer) == "cancelled"


async def test_b6_a_reader_that_comes_back_anywhere_gets_every_event_once(
    over_sqlite: Replicas,
) -> None:
    first, second = await over_sqlite.both()
    reading = Reading()
    await reading.begin(first.url, ASK, upto=5)
    servers = [second, first]
    while not reading.is_over:
        servers.reverse()
        await reading.go_on(servers[0].url, upto=reading.last + 9)
    whole(reading)
    assert notices(reading) == []
    again = Reading()
    again.answer = reading.answer
    await again.go_on(second.url)
    whole(again)


async def test_b7_a_process_that_wakes_up_late_cannot_write_and_its_readers_go_on(
    over_redis: Replicas,
) -> None:
    first, second = await over_redis.both()
    reading, other = Reading(), Reading()
    await reading.begin(first.url, {**ASK, "background": True}, upto=5)
    other.answer = reading.answer
    staying = asyncio.create_task(other.go_on(first.url))
    await until(lambda: other.last > reading.last)
    first.signal(signal.SIGSTOP)
    try:
        following = asyncio.create_task(reading.go_on(second.url))
        await until(lambda: "taken_over" in notices(reading))
    finally:
        first.signal(signal.SIGCONT)
    await asyncio.gather(following, staying)
    whole(reading)
    whole(other)
    assert notices(reading) == notices(other) == ["taken_over"]


async def test_b6_b7_a_reader_at_another_replica_does_not_notice_that_the_first_one_died(
    over_either: Replicas,
) -> None:
    first, second = await over_either.both()
    reading, other = Reading(), Reading()
    await reading.begin(first.url, {**ASK, "background": True}, upto=8)
    other.answer = reading.answer
    following = asyncio.create_task(other.go_on(second.url))
    await until(lambda: other.last > reading.last)
    await first.kill()
    await following
    await reading.go_on(second.url)
    whole(other)
    whole(reading)


async def test_b7_a_killed_process_goes_on_with_its_answers_when_it_is_started_again(
    over_sqlite: Replicas,
) -> None:
    server = await over_sqlite.alone()
    reading = Reading()
    await reading.begin(server.url, ASK, upto=12)
    await server.kill()
    await server.start()
    await reading.go_on(server.url)
    whole(reading)
    assert notices(reading) == ["taken_over"]


async def test_a_stopped_server_closes_its_streams_and_goes_on_when_it_is_back(
    over_sqlite: Replicas,
) -> None:
    server = await over_sqlite.alone()
    reading = Reading()
    begun = asyncio.create_task(reading.begin(server.url, ASK))
    await until(lambda: reading.last >= 8)
    assert await server.stop(signal.SIGTERM) in (0, -signal.SIGTERM)
    await begun
    assert not reading.is_over
    await server.start()
    await reading.go_on(server.url)
    whole(reading)


async def state(server: Serving, answer: str) -> str:
    async with client() as http:
        return str((await http.get(f"{server.url}/v1/answers/{answer}")).json()["state"])
