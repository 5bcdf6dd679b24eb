"""Promises about the one end that every answer has, while its storage is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.log.sqlite import SqliteStorage
from leafstream.log.storage import Outcome, Write
from tests.house import ASK_PAIR, STREAM, House, house, kinds

ENDS = ("finished", "failed", "cancelled")


@pytest.fixture
def slow_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every commit takes 60 ms, as on a busy disk."""
    quick = SqliteStorage.write

    async def slow(self: SqliteStorage, writes: Sequence[Write]) -> list[Outcome]:
        await asyncio.sleep(0.06)
        return await quick(self, writes)

    monkeypatch.setattr(SqliteStorage, "write", slow)


async def ends_of(served: House, answer: str) -> list[str]:
    async with asyncio.timeout(5):
        return [kind for kind in kinds(await served.replay(answer)) if kind in ENDS]


@pytest.mark.usefixtures("slow_commits")
async def test_a6_a_cancel_that_comes_with_the_end_adds_no_second_end(tmp_path: Path) -> None:
    async with house(tmp_path, ScriptedEngine('{"title":"x","count":3}')) as served:
        for wait in range(8):
            answer = await served.begin(ASK_PAIR)
            await asyncio.sleep(wait * 0.02)
            await served.http.post(f"/v1/answers/{answer}/cancel")
            assert len(await ends_of(served, answer)) == 1
        assert served.app.runs.num_running == 0


@pytest.mark.usefixtures("slow_commits")
async def test_a6_cancelling_twice_ends_once_and_loses_nothing(tmp_path: Path) -> None:
    engine = ScriptedEngine('{"title":"' + "x" * 400, Play(delay=0.01))
    async with house(tmp_path, engine) as served:
        for gap in (0.0, 0.01, 0.03, 0.06):
            answer = await served.begin(ASK_PAIR)
            await asyncio.sleep(0.05)
            first = asyncio.create_task(served.http.post(f"/v1/answers/{answer}/cancel"))
            await asyncio.sleep(gap)
            await served.http.post(f"/v1/answers/{answer}/cancel")
            await first
            assert await ends_of(served, answer) == ["cancelled"]
        assert served.app.runs.num_free_slots == 4


async def test_an_engines_own_timeout_is_failed_and_not_silence(tmp_path: Path) -> None:
    engine = ScriptedEngine('{"title":"x"', Play(fail_after=1, failure=TimeoutError()))
    async with house(tmp_path, engine) as served:
        events = await served.stream(ASK_PAIR)
    assert kinds(events)[-1] == "failed"


async def test_a21_answers_that_begin_at_once_are_all_counted(tmp_path: Path) -> None:
    slow = ScriptedEngine("again and " * 200, Play(delay=0.05))
    async with house(tmp_path, slow, share=2, slots=8) as served:
        body = {"assistant": "chat", "input": "go", "background": True}
        begun = [served.http.build_request("POST", "/v1/answers", json=body, headers=STREAM)]
        begun *= 6
        told = await asyncio.gather(*(served.http.send(one, stream=True) for one in begun))
        statuses = sorted(response.status_code for response in told)
        for response in told:
            await response.aclose()
    assert statuses == [200, 200, 429, 429, 429, 429]


async def test_an_answer_asked_for_again_under_its_key_takes_no_place(tmp_path: Path) -> None:
    slow = ScriptedEngine("again and " * 50, Play(delay=0.02))
    async with house(tmp_path, slow, share=1) as served:
        body = {"assistant": "chat", "input": "go", "background": True}
        names = []
        for _ in range(3):
            request = served.http.build_request(
                "POST", "/v1/answers", json=body, headers={**STREAM, "Idempotency-Key": "k"}
            )
            response = await served.http.send(request, stream=True)
            assert response.status_code == 200
            names.append(response.headers["leafstream-answer"])
            await response.aclose()
    assert len(set(names)) == 1
