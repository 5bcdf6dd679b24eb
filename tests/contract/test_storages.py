"""What every storage of the log keeps: in memory, in SQLite, in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from leafstream.ask import Ask
from leafstream.events import Cancelled, Event, Queued, TextAppended
from leafstream.log.memory import MemoryStorage
from leafstream.log.records import Opening, Record, encode_record
from leafstream.log.redis import RedisStorage
from leafstream.log.sqlite import SqliteStorage
from leafstream.log.storage import Retention, Storage, Write
from leafstream.messages import Message
from leafstream.piece import Piece
from tests.redis import redis_server

Open = Callable[[], Awaitable[Storage]]


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens the storage as one more process would."""
    if request.param == "memory":
        yield lambda: asyncio.sleep(0, MemoryStorage())
    elif request.param == "sqlite":
        yield lambda: SqliteStorage.open(tmp_path / "answers.db")
    else:
        async with redis_server(tmp_path) as server:
            yield lambda: RedisStorage.open(server.url)


@pytest.fixture
async def storage(opened: Open) -> AsyncIterator[Storage]:
    made = await opened()
    yield made
    await made.close()


@pytest.fixture
async def other(opened: Open, storage: Storage) -> AsyncIterator[Storage]:
    """A second process over the same storage."""
    if not storage.durable:
        pytest.skip("nobody shares a log in memory")
    made = await opened()
    yield made
    await made.close()


def opening(
    answer: str = "ans_a", key: str | None = None, conversation: str | None = None
) -> Opening:
    ask = Ask((Message("user", "안녕"),), conversation=conversation, owner="me")
    return Opening(answer, ask, 1234.5, key)


def write(last: int, *events: Event, answer: str = "ans_a", epoch: int = 1) -> Write:
    ended = bool(events) and isinstance(events[-1], Cancelled)
    body = encode_record(Record(last, list(events), [Piece("raw", 1, (7,))]))
    return Write(answer, epoch, last, ended, body)


async def test_what_is_written_is_read_again_with_its_numbers_and_raw_text(
    storage: Storage,
) -> None:
    assert await storage.create(opening()) == opening()
    await storage.write([write(2, Queued(1), TextAppended("/a", "텀"))])
    await storage.write([write(3, TextAppended("/a", "블러"))])
    first, second = await storage.records("ans_a")
    assert (first.first, first.last) == (1, 2)
    assert first.events == [Queued(1), TextAppended("/a", "텀")]
    assert second.pieces == [Piece("raw", 1, (7,))]
    assert [record.last for record in await storage.records("ans_a", 2)] == [3]
    assert [record.last for record in await storage.records("ans_a", 1, 1)] == [2]
    head = await storage.head("ans_a")
    assert head is not None
    assert (head.opening, head.last, head.ended, head.mine) == (opening(), 3, False, True)


async def test_what_is_not_there_is_none_or_empty(storage: Storage) -> None:
    assert await storage.head("ans_x") is None
    assert await storage.records("ans_x") == []
    assert await storage.claim("ans_x") is None
    assert await storage.earlier("me", "k") is None
    assert await storage.unfinished("conv_x") == []


async def test_a_key_brings_back_the_answer_it_was_first_used_for(storage: Storage) -> None:
    await storage.create(opening("ans_a", key="k"))
    assert (await storage.create(opening("ans_b", key="k"))).id == "ans_a"
    assert await storage.earlier("me", "k") == opening("ans_a", key="k")
    assert await storage.earlier("you", "k") is None
    assert await storage.head("ans_b") is None
    assert (await storage.create(opening("ans_c"))).id == "ans_c"


async def test_a_conversations_unfinished_answers_come_in_their_order(storage: Storage) -> None:
    for answer in ("ans_a", "ans_b"):
        await storage.create(opening(answer, conversation="c"))
    assert await storage.unfinished("c") == ["ans_a", "ans_b"]
    await storage.write([write(1, Cancelled("x"))])
    assert await storage.unfinished("c") == ["ans_b"]


async def test_ended_answers_are_forgotten_by_age_and_by_size(storage: Storage) -> None:
    for answer in ("ans_a", "ans_b", "ans_c"):
        await storage.create(opening(answer, key=answer))
        await storage.write([write(1, Cancelled("x"), answer=answer)])
    await storage.create(opening("ans_d"))
    assert await storage.forget(Retention(age=60)) == 0
    size = len(write(1, Cancelled("x")).body)
    assert await storage.forget(Retention(age=60, size=size)) == 2
    assert await storage.head("ans_c") is not None
    await asyncio.sleep(1.1)
    assert await storage.forget(Retention(age=0.5)) == 1
    assert await storage.head("ans_d") is not None
    assert (await storage.create(opening("ans_e", key="ans_a"))).id == "ans_e"


async def test_one_answer_is_deleted_for_good_once_it_has_ended(storage: Storage) -> None:
    for answer in ("ans_a", "ans_b"):
        await storage.create(opening(answer, key=answer))
        await storage.write([write(1, Queued(1), answer=answer)])
    assert not await storage.delete("ans_a")
    await storage.write([write(2, Cancelled("x"), answer="ans_a")])
    await storage.write([write(2, Cancelled("x"), answer="ans_b")])
    assert await storage.delete("ans_a")
    assert await storage.head("ans_a") is None
    assert await storage.records("ans_a") == []
    assert not await storage.delete("ans_a")
    assert len(await storage.records("ans_b")) == 2
    assert (await storage.create(opening("ans_c", key="ans_a"))).id == "ans_c"
    size = sum(len(write(n, event).body) for n, event in ((1, Queued(1)), (2, Cancelled("x"))))
    assert await storage.forget(Retention(age=60, size=size)) == 0


async def test_another_process_reads_the_same_and_hears_of_news(
    storage: Storage, other: Storage
) -> None:
    await storage.create(opening())
    await other.grown()
    await asyncio.sleep(0.05)
    await other.grown()
    await storage.write([write(1, Queued(1))])
    heard = [await other.grown() for _ in range(2)]
    assert any(news is None or "ans_a" in news for news in heard)
    assert [record.events for record in await other.records("ans_a")] == [[Queued(1)]]
    head = await other.head("ans_a")
    assert head is not None
    assert not head.mine


async def test_an_answer_is_claimed_only_when_its_holder_is_gone_and_the_old_one_is_fenced(
    storage: Storage, other: Storage
) -> None:
    await storage.create(opening())
    await storage.write([write(1, Queued(1))])
    assert await other.orphans() == []
    assert await other.claim("ans_a") is None
    await storage.release()
    assert await other.orphans() == ["ans_a"]
    assert await other.claim("ans_a") == 2
    assert await other.claim("ans_a") == 3  # what is its own it may claim anew
    assert await storage.write([write(2, Queued(2))]) == ["fenced"]
    assert await other.orphans() == ["ans_a"]  # its own, which it is asked to run
    assert await other.write([write(2, Queued(3), epoch=3)]) == ["kept"]
    assert [record.events for record in await other.records("ans_a")] == [[Queued(1)], [Queued(3)]]


async def test_a_cancel_that_another_process_was_asked_for_reaches_the_holder(
    storage: Storage, other: Storage
) -> None:
    await storage.create(opening())
    assert await storage.wanted_cancels() == []
    await other.want_cancel("ans_a")
    assert await storage.wanted_cancels() == ["ans_a"]
    assert await other.wanted_cancels() == []
    assert await storage.write([write(1, Queued(1))]) == ["cancel"]


async def test_a_reader_elsewhere_is_seen_for_a_while(storage: Storage, other: Storage) -> None:
    await storage.create(opening())
    assert not await storage.seen("ans_a", 5)
    await other.see(["ans_a"])
    assert await storage.seen("ans_a", 5)
    await asyncio.sleep(0.2)
    assert not await storage.seen("ans_a", 0.1)
