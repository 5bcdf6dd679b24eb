"""Conversations: kept, listed, renamed, deleted, put in order, durable before anybody is told."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import UTC, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert

from leafstream.engines.base import Generation
from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.errors import NotFound, SetupError, StoreUnavailable
from leafstream.events import Finished, Started
from leafstream.keys import add_key
from leafstream.store.conversations import Conversations
from leafstream.store.database import database_errors, open_engine, probe
from leafstream.store.tables import REVISION, metadata
from tests.house import STREAM, House, house
from tests.postgresql import postgres_server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a real PostgreSQL of our own."""
    with postgres_server() as server:
        yield server.url


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'conversations.db'}"
        return
    url: str = request.getfixturevalue("postgresql")
    yield url
    store = await Conversations.open(url)
    for kept in await store.recent(200):
        await store.delete(kept.id)
    await store.close()


def echo(generation: Generation) -> str:
    """Says how many turns it was shown, and the last one."""
    messages = generation.prompt.messages
    return f"{len(messages)}: {messages[-1].content}"


async def new(served: House) -> str:
    response = await served.http.post("/v1/conversations", json={"assistant": "chat"})
    assert response.status_code == 201
    return str(response.json()["id"])


async def test_a_conversation_is_kept_with_its_plan_and_usage_and_goes_on_after_a_restart(
    tmp_path: Path, database: str
) -> None:
    async with house(tmp_path, ScriptedEngine(echo), database_url=database) as served:
        id_ = await new(served)
        await served.stream({"assistant": "chat", "input": "one", "conversation": id_})
    async with house(tmp_path, ScriptedEngine(echo), database_url=database) as served:
        events = await served.stream({"assistant": "chat", "input": "two", "conversation": id_})
        whole = (await served.http.get(f"/v1/conversations/{id_}")).json()
    finished = events[-1][1]
    assert isinstance(finished, Finished)
    assert finished.value == "4: two"
    assert whole["title"] == "one"
    assert [turn["content"] for turn in whole["turns"]] == ["one", "2: one", "two", "4: two"]
    assert whole["turns"][3]["plan"]["context_window"] == 2048
    assert whole["turns"][3]["usage"]["completion_tokens"] == 2


async def test_conversations_are_listed_renamed_exported_and_deleted(
    tmp_path: Path, database: str
) -> None:
    async with house(tmp_path, ScriptedEngine(echo), database_url=database) as served:
        first, second = await new(served), await new(served)
        body = {"assistant": "chat", "input": "hello", "conversation": first}
        await served.stream(body)
        listed = (await served.http.get("/v1/conversations")).json()["data"]
        assert [item["id"] for item in listed] == [first, second]
        path = f"/v1/conversations/{first}"
        renamed = await served.http.patch(path, json={"title": "컵 이야기"})
        assert renamed.json()["title"] == "컵 이야기"
        exported = await served.http.get(f"{path}/export")
        assert "attachment" in exported.headers["Content-Disposition"]
        assert len(exported.json()["turns"]) == 2
        assert (await served.http.delete(path)).status_code == 204
        assert (await served.http.get(path)).status_code == 404
        assert (await served.http.post("/v1/answers", json=body)).status_code == 404


async def test_a_moment_to_list_before_may_be_told_in_any_zone(
    tmp_path: Path, database: str
) -> None:
    zones = [UTC, timezone(timedelta(hours=9)), timezone(timedelta(hours=-9))]
    async with house(tmp_path, database_url=database) as served:

        async def found(before: str) -> int:
            told = await served.http.get("/v1/conversations", params={"before": before})
            return len(told.json()["data"])

        id_ = await new(served)
        made = (await served.app.store.read(id_)).updated
        later, earlier = made + timedelta(minutes=1), made - timedelta(minutes=1)
        assert [await found(later.astimezone(zone).isoformat()) for zone in zones] == [1, 1, 1]
        assert [await found(earlier.astimezone(zone).isoformat()) for zone in zones] == [0, 0, 0]
        assert await found(later.replace(tzinfo=None).isoformat()) == 1
        beyond = {"before": "0001-01-01T00:00:00+09:00"}
        refused = await served.http.get("/v1/conversations", params=beyond)
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "before")


async def test_two_requests_for_one_conversation_at_once_are_put_in_order(
    tmp_path: Path, database: str
) -> None:
    engine = ScriptedEngine(echo, Play(delay=0.02))
    async with house(tmp_path, engine, database_url=database) as served:
        id_ = await new(served)
        asks = [{"assistant": "chat", "input": f"q{n}", "conversation": id_} for n in range(4)]
        streams = await asyncio.gather(*map(served.stream, asks))
        whole = (await served.http.get(f"/v1/conversations/{id_}")).json()
    contents = [turn["content"] for turn in whole["turns"]]
    assert len(contents) == 8
    for number in range(4):
        asked, answered = contents[2 * number : 2 * number + 2]
        assert answered == f"{2 * number + 2}: {asked}"
    assert all(isinstance(events[-1][1], Finished) for events in streams)


async def test_what_a_client_was_told_is_finished_is_in_the_database_by_then(
    tmp_path: Path,
) -> None:
    async with house(tmp_path, ScriptedEngine(echo)) as served:
        id_ = await new(served)
        added: list[str] = []
        keep = served.app.store.add

        async def slow_add(conversation: str, exchange: object) -> None:
            await asyncio.sleep(0.2)
            await keep(conversation, exchange)  # type: ignore[arg-type]
            added.append(conversation)

        served.app.store.add = slow_add  # type: ignore[method-assign]
        body = {"assistant": "chat", "input": "one", "conversation": id_}
        events = await served.stream(body)
        assert added == [id_]
        assert isinstance(events[-1][1], Finished)


async def test_the_character_that_postgresql_cannot_hold_ends_nothing_and_names_nothing(
    tmp_path: Path, database: str
) -> None:
    engine = ScriptedEngine("a\0b")
    async with house(tmp_path, engine, database_url=database, engine_patience_seconds=0) as served:
        id_ = await new(served)
        body = {"assistant": "chat", "input": "go", "conversation": id_}
        events = await served.stream(body)
        path = f"/v1/conversations/{id_}"
        whole = (await served.http.get(path)).json()
        there = f"{path[:-4]}%00{path[-3:]}"
        lost = [
            await served.http.get(there),
            await served.http.get(f"{there}/export"),
            await served.http.patch(there, json={"title": "t"}),
            await served.http.delete(there),
        ]
    assert isinstance(events[-1][1], Finished)
    assert events[-1][1].value == "a\0b"
    assert [turn["content"] for turn in whole["turns"]] == ["go", "a\ufffdb"]
    assert whole["turns"][1]["value"] == "a\0b"
    assert [response.status_code for response in lost] == [404] * 4


async def test_the_oldest_turns_are_dropped_whole_and_the_client_is_told(tmp_path: Path) -> None:
    engine = ScriptedEngine(echo, Play(context_window=120))
    async with house(tmp_path, engine) as served:
        id_ = await new(served)
        for number in range(6):
            question = f"question {number} " + "x" * 40
            events = await served.stream(
                {"assistant": "chat", "input": question, "conversation": id_}
            )
    started = events[0][1]
    assert isinstance(started, Started)
    assert started.plan.dropped_turns > 0
    assert started.plan.dropped_turns % 2 == 0
    assert started.plan.prompt_tokens + started.plan.max_tokens <= 120
    shown = engine.generations[-1].prompt.messages
    assert shown[0].role == "system"
    assert shown[1].role == "user"
    assert shown[-1].content == question
    assert [event for _, event in events if event.kind == "notice"]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("nonsense", "is no URL"),
        ("postgresql://nobody@127.0.0.1:1/none", "check LEAFSTREAM_DATABASE_URL"),
        (
            "postgresql://127.0.0.1:1/none?user=me&password=hidden",
            r"password=\*\*\*&user=me cannot",
        ),
    ],
)
async def test_a_database_that_cannot_be_used_is_told_in_a_sentence(url: str, says: str) -> None:
    with pytest.raises(SetupError, match=says) as told:
        await Conversations.open(url)
    assert "hidden" not in told.value.message


async def test_conversations_in_a_file_are_their_owners_alone_also_those_kept_before(
    tmp_path: Path,
) -> None:
    file = tmp_path / "test.db"
    files = [tmp_path / f"test.db{end}" for end in ("", "-wal", "-shm")]
    with closing(sqlite3.connect(file)) as before:  # while another process has it open
        before.execute("PRAGMA journal_mode = WAL")
        before.execute("CREATE TABLE something (value)")
        for each in files:
            each.chmod(0o644)
        store = await Conversations.open(f"sqlite:///{file}")
        await store.create("chat")
        for_others = [each.stat().st_mode & 0o077 for each in files]
        await store.close()
    assert for_others == [0, 0, 0]


async def test_an_app_finds_the_newest_conversation_of_a_session_and_what_it_noted(
    database: str,
) -> None:
    store = await Conversations.open(database)
    assert await store.newest("s") is None
    await store.create("chat", session="s", metadata={"first": 1})
    newer = await store.create("chat", session="s", metadata={"first": 2, "said": "비건"})
    await store.create("chat", session="other")
    assert await store.newest("s") == newer
    await store.note(newer.id, {"first": 3})
    assert (await store.read(newer.id)).metadata == {"first": 3}
    await store.delete(newer.id)
    older = await store.newest("s")
    assert older is not None
    assert older.metadata == {"first": 1}
    with pytest.raises(NotFound):
        await store.note(newer.id, {})
    await store.close()


async def test_the_migrations_make_the_tables_that_the_code_speaks_of(database: str) -> None:
    engine = await open_engine(database)
    async with engine.connect() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), metadata)
        )
        last = await connection.run_sync(
            lambda sync: MigrationContext.configure(sync).get_current_revision()
        )
    await engine.dispose()
    assert differences == []
    assert last == REVISION


async def test_what_the_database_refuses_is_logged_without_what_people_wrote(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = await open_engine(database)
    lacking = insert(metadata.tables["turns"]).values(conversation="c", number=1, content="hush")
    with pytest.raises(StoreUnavailable) as raised, database_errors():
        async with engine.begin() as connection:
            await connection.execute(lacking)
    await engine.dispose()
    assert "role" in caplog.text
    assert "hush" not in caplog.text
    assert "parameters: " not in str(raised.value.__cause__)


async def test_a_conversation_goes_on_with_its_own_assistant_and_with_no_other(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as served:
        id_ = await new(served)
        other = {"assistant": "pair", "input": "go", "conversation": id_}
        refused = await served.http.post("/v1/answers", json=other)
        events = await served.stream({**other, "assistant": "chat"})
        kept = (await served.http.get(f"/v1/conversations/{id_}")).json()
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (
        409,
        "conflict",
        "conversation",
    )
    assert "'chat'" in error["message"]
    assert "'pair'" in error["message"]
    assert isinstance(events[-1][1], Finished)
    assert len(kept["turns"]) == 2


async def test_a_turn_of_a_conversation_may_have_a_type_of_the_callers_own(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string"}}}
    async with house(tmp_path) as served:
        body = {"schema": schema, "input": "go", "conversation": await new(served)}
        events = await served.stream(body)
    assert isinstance(events[-1][1], Finished)


async def test_a_busy_conversation_of_somebody_else_is_not_found_either(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    keys = [{"Authorization": f"Bearer {add_key(file, name)}"} for name in ("one", "two")]
    engine = ScriptedEngine("word " * 200, Play(delay=0.01))
    async with house(tmp_path, engine, keys_file=file) as served:
        made = await served.http.post(
            "/v1/conversations", json={"assistant": "chat"}, headers=keys[0]
        )
        body = {"assistant": "chat", "input": "go", "conversation": made.json()["id"]}
        async with served.http.stream(
            "POST", "/v1/answers", json=body, headers={**STREAM, **keys[0]}
        ):
            refused = await served.http.post("/v1/answers", json=body, headers=keys[1])
    assert refused.status_code == 404


async def test_a_database_of_a_newer_version_is_left_alone_with_a_sentence_that_says_what_to_do(
    tmp_path: Path,
) -> None:
    file = tmp_path / "test.db"
    store = await Conversations.open(f"sqlite:///{file}")
    await store.close()
    with closing(sqlite3.connect(file)) as newer, newer:
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SetupError, match=r"newer leafstream.*9999.*start the newer version"):
        await Conversations.open(f"sqlite:///{file}")
    with pytest.raises(SetupError, match=r"newer leafstream.*9999"):
        await probe(f"sqlite:///{file}")  # as `leafstream doctor` does
    with closing(sqlite3.connect(file)) as kept:
        assert kept.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]


OPEN = """
import asyncio, sys
from leafstream.store.conversations import Conversations

async def main():
    store = await Conversations.open(sys.argv[1])
    await store.close()

asyncio.run(main())
print("alembic" in sys.modules)
"""


def test_a_start_whose_tables_are_there_waits_for_no_migrations(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    starts = [
        subprocess.run(
            [sys.executable, "-c", OPEN, url], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert starts == ["True\n", "False\n"]
