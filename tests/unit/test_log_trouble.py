"""The log when its storage is away, its disk is slow, or another process was the writer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from leafstream.ask import Ask
from leafstream.errors import LogUnavailable
from leafstream.events import Cancelled, Event, Failed, TextAppended
from leafstream.log import Claim, retention
from leafstream.log.log import Log
from leafstream.log.records import Opening, Record, encode_record
from leafstream.log.sqlite import SqliteStorage
from leafstream.log.storage import Outcome, Retention, Write

END = Cancelled("enough")


class Trouble(SqliteStorage):
    """Away where it is told so; `slow` answers are read when they are let."""

    is_away = is_stuck = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.slow = ""
        self.held, self.let = asyncio.Event(), asyncio.Event()
        self.written = 0.0

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        if self.is_away:
            raise LogUnavailable("the disk is full")
        outcomes = await super().write(writes)
        await asyncio.sleep(self.written)
        return outcomes

    async def sync(self) -> None:
        if self.is_stuck:
            raise LogUnavailable("the disk does not answer")
        await super().sync()

    async def records(self, answer: str, after: int = 0, limit: int | None = None) -> list[Record]:
        found = await super().records(answer, after, limit)
        if answer == self.slow and not self.let.is_set():
            self.held.set()
            await self.let.wait()
        return found


@asynccontextmanager
async def opened(path: Path, patience: float = 0.05) -> AsyncIterator[tuple[Log, Trouble]]:
    storage = Trouble(path)
    log = Log(storage, patience)
    log.start()
    try:
        yield log, storage
    finally:
        storage.is_away = storage.is_stuck = False
        storage.let.set()
        await log.close()


async def begun(log: Log, answer: str, *texts: str) -> Claim:
    claim = await log.open(Opening(answer, Ask(()), 0.0))
    await log.append(claim, [TextAppended("", text) for text in texts])
    await log.flush(claim)
    return claim


async def heard(log: Log, answer: str, after: int = 0) -> list[tuple[int, Event]]:
    async with aclosing(log.read(answer, after)) as batches:
        return [(entry.number, entry.event) async for batch in batches for entry in batch]


async def test_b9_an_answer_that_was_told_failed_is_not_taken_up_again(tmp_path: Path) -> None:
    async with asyncio.timeout(20), opened(tmp_path / "answers.db") as (log, storage):
        claim = await begun(log, "a", "one")
        reading = asyncio.create_task(heard(log, "a"))
        storage.is_away = True
        await log.append(claim, [TextAppended("", "two")])
        number, end = (await reading)[-1]
        assert isinstance(end, Failed)
        log.ended(claim)
        assert await log.orphans() == []
        storage.is_away = False
        while not (head := await storage.head("a")) or not head.ended:
            assert await log.orphans() == []
            await asyncio.sleep(0.05)
        assert (number, end) == (await heard(log, "a"))[-1]


async def test_b9_an_end_that_the_disk_does_not_confirm_is_the_one_that_is_kept(
    tmp_path: Path,
) -> None:
    async with asyncio.timeout(20), opened(tmp_path / "answers.db") as (log, storage):
        claim = await begun(log, "a", "one")
        storage.is_stuck = True
        await log.append(claim, [END])
        assert (await heard(log, "a"))[-1] == (2, END)
        assert (await log.events("a"))[-1] == END


async def test_b6_a_reader_stays_where_another_comes_and_goes_before_it(tmp_path: Path) -> None:
    path = tmp_path / "answers.db"
    async with asyncio.timeout(20), opened(path) as (here, _), opened(path) as (there, storage):
        claim = await begun(here, "a", "one")
        storage.slow = "a"
        first = asyncio.create_task(heard(there, "a", after=1))
        await storage.held.wait()
        storage.slow = ""
        async with aclosing(there.read("a")) as batches:
            await anext(batches)
        storage.let.set()
        await here.append(claim, [END])
        assert await first == [(2, END)]


async def test_b6_what_is_claimed_while_it_is_followed_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "answers.db"
    async with asyncio.timeout(20), opened(path) as (here, mine), opened(path) as (there, storage):
        slow = await begun(here, "slow", "one")
        await begun(here, "a", "one")
        reading = [asyncio.create_task(heard(there, answer)) for answer in ("slow", "a")]
        await asyncio.sleep(0.2)
        storage.slow = "slow"
        await here.append(slow, [END])  # who follows is held there, with the other one to come
        await storage.held.wait()
        await mine.release()
        claim = await there.claim("a")
        assert claim is not None
        storage.written = 0.1
        await there.append(claim, [TextAppended("", "two")])
        await asyncio.sleep(0.05)
        storage.let.set()
        await asyncio.sleep(0.1)
        await there.append(claim, [END])
        assert (await reading[1])[-1] == (3, END)
        assert [record.last for record in await storage.records("a")] == [1, 2, 3]


async def test_a_process_that_was_fenced_off_may_take_the_answer_over_later(
    tmp_path: Path,
) -> None:
    path = tmp_path / "answers.db"
    async with asyncio.timeout(20), opened(path) as (here, mine), opened(path) as (there, other):
        old = await begun(here, "a", "one")
        reading = asyncio.create_task(heard(here, "a"))
        await mine.release()
        taken = await there.claim("a")
        assert taken is not None
        await there.append(taken, [TextAppended("", "two")])
        await there.flush(taken)
        await here.append(old, [TextAppended("", "never")])
        while here._tails["a"].fenced is None:
            await asyncio.sleep(0.01)
        here.ended(old)
        await other.release()
        claim = await here.claim("a")
        assert claim is not None
        await here.append(claim, [END])
        assert (await reading)[-1] == (3, END)


async def test_b14_much_that_is_old_goes_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PART_BYTES", 10_000)
    async with asyncio.timeout(20), opened(tmp_path / "answers.db") as (log, storage):
        body = encode_record(Record(1, [END], []))
        for number in range(100):
            await log.open(Opening(f"a{number}", Ask(()), 0.0))
            await SqliteStorage.write(storage, [Write(f"a{number}", 1, 1, True, body)])
        parts = await storage._reader.look(
            lambda db: retention.beyond(db, Retention(age=-1.0, size=None))
        )
        assert max(map(len, parts)) <= 10
        assert await log.forget(Retention(age=-1.0, size=None)) == 100
        assert await storage.head("a7") is None
