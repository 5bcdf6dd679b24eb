"""Conversations live in a database: they outlast processes, are shared, and are forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from leafstream import rounds
from leafstream.decoder.value import fold
from leafstream.engines.base import Generation
from leafstream.engines.scripted import ScriptedEngine
from leafstream.events import Finished, Plan, Usage
from leafstream.store.conversations import Conversations, Exchange
from tests.house import ASK_PAIR, STREAM, House, house, kinds

CHAT = {"assistant": "chat", "input": "one"}


def count_turns(generation: Generation) -> str:
    return f"{len(generation.prompt.messages)} turns"


async def begun(served: House, assistant: str = "chat") -> str:
    created = await served.http.post("/v1/conversations", json={"assistant": assistant})
    return str(created.json()["id"])


async def contents(served: House, conversation: str) -> list[str]:
    whole = (await served.http.get(f"/v1/conversations/{conversation}")).json()
    return [turn["content"] for turn in whole["turns"]]


async def test_a17_conversations_outlast_the_process_and_are_shared_by_replicas(
    tmp_path: Path,
) -> None:
    async with house(tmp_path, ScriptedEngine(count_turns)) as served:
        conversation = await begun(served)
        await served.stream({**CHAT, "conversation": conversation})
    async with (
        house(tmp_path, ScriptedEngine(count_turns)) as one,
        house(tmp_path, ScriptedEngine(count_turns)) as other,
    ):
        await one.stream({**CHAT, "conversation": conversation})
        await other.stream({**CHAT, "conversation": conversation})
        assert await contents(one, conversation) == await contents(other, conversation)
        assert (await contents(one, conversation))[1::2] == ["2 turns", "4 turns", "6 turns"]


async def test_a17_a_conversation_unused_for_the_retention_is_deleted_while_the_server_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "CLEANING_ROUNDS", 1)
    monkeypatch.setattr(rounds, "ROUND_SECONDS", 0.1)
    async with house(tmp_path, retention_days=1.0 / 86_400) as served:
        conversation = await begun(served)
        path = f"/v1/conversations/{conversation}"
        assert (await served.http.get(path)).status_code == 200
        async with asyncio.timeout(10):
            while (await served.http.get(path)).status_code == 200:
                await asyncio.sleep(0.05)
        assert (await served.http.get(path)).status_code == 404


async def test_a17_an_exchange_that_is_kept_again_is_there_once(tmp_path: Path) -> None:
    store = await Conversations.open(f"sqlite:///{tmp_path / 'c.db'}")
    conversation = (await store.create("chat")).id
    exchange = Exchange("ans_1", "one", "two", Plan(1, 1, 2), Usage(1, 1))
    await asyncio.gather(*(store.add(conversation, exchange) for _ in range(3)))
    assert [turn.content for turn in await store.turns(conversation)] == ["one", "two"]
    await store.close()


@pytest.mark.parametrize(("moment", "kept"), [("before", 0), ("after", 2), ("never", 2)])
async def test_a17_a_crash_loses_nothing_that_a_client_was_told_is_finished(
    tmp_path: Path, moment: str, kept: int
) -> None:
    conversation, _, told = await killed(tmp_path, moment, ASK_PAIR)
    assert ("event: finished" in told) == (moment == "never")
    async with house(tmp_path) as served:
        assert len(await contents(served, conversation)) >= kept
        async with asyncio.timeout(10):
            answered = await served.stream({**ASK_PAIR, "conversation": conversation})
        assert answered[-1][1].kind == "finished"


@pytest.mark.parametrize("ask", [ASK_PAIR, CHAT], ids=["typed", "plain"])
async def test_a17_b7_an_answer_whose_exchange_is_kept_ends_as_kept_when_its_process_dies(
    tmp_path: Path, ask: dict[str, Any]
) -> None:
    conversation, answer, _ = await killed(tmp_path, "after", ask)
    engine = ScriptedEngine("something else altogether")
    # However long ago that was: there is nothing to go on with, only an end to tell.
    async with house(tmp_path, engine, takeover_seconds=0) as served:
        async with asyncio.timeout(10):
            events = await served.replay(answer)
        (turn,) = (await served.http.get(f"/v1/conversations/{conversation}")).json()["turns"][1:]
    finished = events[-1][1]
    assert isinstance(finished, Finished)
    assert finished.value == fold([event for _, event in events]) == turn["value"]
    assert finished.complete
    assert msgspec.to_builtins(finished.usage) == turn["usage"]
    assert kinds(events).count("finished") == 1
    assert engine.generations == []


async def killed(folder: Path, moment: str, ask: dict[str, Any]) -> tuple[str, str, str]:
    """Conversation, answer and all that was told of it, of a server that died at a moment."""
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.promises.dying", str(folder), moment, ask["assistant"]),
        stdout=-1,
    )
    assert server.stdout is not None
    url, conversation = (await server.stdout.readline()).decode().split()
    answer, told = await _asked(url, {**ask, "conversation": conversation})
    if moment == "never":
        server.kill()
    await server.wait()
    return conversation, answer, told


async def _asked(url: str, body: dict[str, Any]) -> tuple[str, str]:
    """The answer and all that a client hears of it, up to its end or the server's."""
    answer, told = "", ""
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as http:
        with contextlib.suppress(httpx2.TransportError):
            async with http.stream("POST", "/v1/answers", json=body, headers=STREAM) as response:
                answer = response.headers["Leafstream-Answer"]
                async for piece in response.aiter_text():
                    told += piece
                    if "event: finished" in told:
                        break
    return answer, told


async def test_a_database_that_fails_is_told_with_a_status_and_the_server_goes_on(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as served:
        conversation = await begun(served)
        await served.app.store.close()  # its connections hold the file, and open again
        (tmp_path / "test.db").rename(tmp_path / "away.db")
        response = await served.http.get(f"/v1/conversations/{conversation}")
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "store_unavailable"
        await served.app.store.close()
        for name in ("test.db", "test.db-wal", "test.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / "away.db").rename(tmp_path / "test.db")
        assert (await served.http.get(f"/v1/conversations/{conversation}")).status_code == 200
