"""Promises about conversations and the log: both say the same of how an answer ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from leafstream import rounds
from leafstream.decoder.value import fold
from leafstream.engines.scripted import ScriptedEngine
from leafstream.errors import LogUnavailable, StoreUnavailable
from leafstream.events import Finished, Plan, Usage
from leafstream.log.sqlite import SqliteStorage
from leafstream.log.storage import Outcome, Write
from leafstream.store.conversations import Conversations, Exchange, Turn
from tests.house import House, house

TEXT = "One cup. And another one"
Add = Callable[[Conversations, str, Exchange], Awaitable[Turn | None]]


async def begun(served: House, **more: Any) -> dict[str, Any]:
    """A question to a new conversation."""
    created = await served.http.post("/v1/conversations", json={"assistant": "chat"})
    return {"assistant": "chat", "input": "go", "conversation": created.json()["id"], **more}


async def turns(served: House, body: dict[str, Any]) -> list[str]:
    whole = (await served.http.get(f"/v1/conversations/{body['conversation']}")).json()
    return [turn["content"] for turn in whole["turns"]]


def replaced(monkeypatch: pytest.MonkeyPatch, add: Callable[[Add], Add]) -> None:
    monkeypatch.setattr(Conversations, "add", add(Conversations.add))


async def test_a17_a_cancel_that_comes_while_the_exchange_is_kept_comes_too_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping = asyncio.Event()

    def slowly(add: Add) -> Add:
        async def adding(
            store: Conversations, conversation: str, exchange: Exchange
        ) -> Turn | None:
            kept = await add(store, conversation, exchange)
            keeping.set()
            await asyncio.sleep(0.3)
            return kept

        return adding

    replaced(monkeypatch, slowly)
    async with house(tmp_path, ScriptedEngine(TEXT)) as served:
        body = await begun(served)
        answer = await served.begin(body)
        await keeping.wait()
        state = (await served.http.post(f"/v1/answers/{answer}/cancel")).json()
        assert (state["state"], state["value"]) == ("finished", TEXT)
        assert await turns(served, body) == ["go", TEXT]
        assert served.app.runs.num_free_slots == 4


async def test_a_cancel_while_the_database_is_away_ends_the_answer_and_keeps_no_exchange(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trying = asyncio.Event()

    def never(_: Add) -> Add:
        async def adding(*_: object) -> Turn | None:
            trying.set()
            raise StoreUnavailable("away")

        return adding

    replaced(monkeypatch, never)
    async with house(tmp_path, ScriptedEngine(TEXT)) as served:
        body = await begun(served)
        answer = await served.begin(body)
        await trying.wait()
        async with asyncio.timeout(3):
            state = (await served.http.post(f"/v1/answers/{answer}/cancel")).json()
        assert state["state"] == "cancelled"
        assert await turns(served, body) == []


async def test_b7_the_text_of_an_answer_is_in_the_log_before_its_exchange_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[str] = []

    def looking(add: Add) -> Add:
        async def adding(
            store: Conversations, conversation: str, exchange: Exchange
        ) -> Turn | None:
            _, pieces = await served.app.log.history(exchange.answer)
            logged.append("".join(piece.text for piece in pieces))
            return await add(store, conversation, exchange)

        return adding

    replaced(monkeypatch, looking)
    async with house(tmp_path, ScriptedEngine(TEXT)) as served:
        for pace in ("token", "sentence"):
            await served.stream(await begun(served, pace=pace))
    assert logged == [TEXT, TEXT]


async def test_a17_an_answer_that_another_process_kept_ends_with_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice(add: Add) -> Add:
        async def adding(
            store: Conversations, conversation: str, exchange: Exchange
        ) -> Turn | None:
            other = Exchange(exchange.answer, "go", "other", Plan(1, 9, 9), Usage(1, 2))
            await add(store, conversation, other)
            return await add(store, conversation, exchange)

        return adding

    replaced(monkeypatch, twice)
    async with house(tmp_path, ScriptedEngine(TEXT)) as served:
        body = await begun(served)
        events = [event for _, event in await served.stream(body)]
        assert await turns(served, body) == ["go", "other"]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.value == fold(events) == "other"
    assert finished.usage == Usage(1, 2)


@pytest.mark.parametrize("settled", ["by the rounds", "by the next question"])
async def test_who_asks_again_as_the_log_was_away_does_not_get_the_exchange_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settled: str
) -> None:
    monkeypatch.setattr(rounds, "ROUND_SECONDS", 60)
    write = SqliteStorage.write
    away = True

    async def refusing(self: SqliteStorage, writes: Sequence[Write]) -> list[Outcome]:
        if away and any(one.ended for one in writes):
            raise LogUnavailable("away")
        return await write(self, writes)

    monkeypatch.setattr(SqliteStorage, "write", refusing)
    engine = ScriptedEngine(TEXT)
    async with house(tmp_path, engine, log_patience_seconds=0.1) as served:
        body = await begun(served)
        told = await served.http.post("/v1/answers", json=body)
        assert (told.status_code, told.json()["error"]["code"]) == (503, "log_unavailable")
        away = False
        path = f"/v1/answers/{told.json()['error']['id']}"
        async with asyncio.timeout(5):
            while (await served.http.get(path)).json()["state"] != "failed":
                await asyncio.sleep(0.05)
        if settled == "by the rounds":
            await served.app.runs.settle()
            assert await turns(served, body) == []
        assert (await served.http.post("/v1/answers", json=body)).status_code == 200
        assert await turns(served, body) == ["go", TEXT]
    assert [message.role for message in engine.generations[-1].prompt.messages] == [
        "system",
        "user",
    ]
