"""The log in SQLite: what its one writer does together."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from leafstream.ask import Ask
from leafstream.errors import Fenced, LogUnavailable
from leafstream.events import TextAppended
from leafstream.log import Log
from leafstream.log.records import Opening, Record, encode_record
from leafstream.log.sqlite import SqliteStorage
from leafstream.log.storage import Write


async def test_answers_that_begin_together_are_all_kept_in_few_transactions(
    tmp_path: Path,
) -> None:
    storage = await SqliteStorage.open(tmp_path / "answers.db")
    commits = 0

    def counted(statement: str) -> None:
        nonlocal commits
        commits += statement == "COMMIT"

    await storage._writer.run(lambda db: db.set_trace_callback(counted))
    ids = [f"ans_{number}" for number in range(200)]
    await asyncio.gather(*(storage.create(Opening(each, Ask(()), 0.0)) for each in ids))
    assert all([await storage.head(each) for each in ids])
    assert commits < 20
    await storage.close()


async def test_an_answer_that_cannot_be_kept_fails_alone(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "answers.db")
    await storage.create(Opening("ans_taken", Ask(()), 0.0))
    ids = ["ans_1", "ans_taken", "ans_2"]
    openings = (storage.create(Opening(each, Ask(()), 0.0)) for each in ids)
    first, taken, second = await asyncio.gather(*openings, return_exceptions=True)
    assert isinstance(taken, LogUnavailable)
    assert isinstance(taken.__cause__, sqlite3.IntegrityError)
    assert isinstance(first, Opening)
    assert isinstance(second, Opening)
    assert await storage.head("ans_1")
    assert await storage.head("ans_2")
    await storage.close()


async def test_an_event_that_cannot_be_written_down_ends_its_own_answer_and_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = await SqliteStorage.open(tmp_path / "answers.db")
    log = Log(storage)
    log.start()
    good, bad = [await log.open(Opening(each, Ask(()), 0.0)) for each in ("ans_1", "ans_2")]
    # Both are in one flush; half a character has no UTF-8.
    await log.append(good, [TextAppended("/a", "cup")])
    await log.append(bad, [TextAppended("/a", "\ud800")])
    await log.flush(good)
    with pytest.raises(Fenced):
        await log.flush(bad)
    await log.append(good, [TextAppended("/a", "board")])
    await log.flush(good)
    assert await log.events("ans_1") == [TextAppended("/a", "cup"), TextAppended("/a", "board")]
    assert "cannot be written down" in caplog.text
    async with asyncio.timeout(10):  # its end is owed, and paid a little later
        while not await storage.records("ans_2"):
            await asyncio.sleep(0.05)
    await log.close()
    again = await SqliteStorage.open(tmp_path / "answers.db")
    (record,) = await again.records("ans_2")
    assert [event.kind for event in record.events] == ["failed"]
    assert len(await again.records("ans_1")) == 2
    await again.close()


async def test_records_move_to_the_file_while_answers_are_written(tmp_path: Path) -> None:
    path = tmp_path / "answers.db"
    storage = await SqliteStorage.open(path)
    await storage.create(Opening("ans_long", Ask(()), 0.0))
    empty = path.stat().st_size
    body = encode_record(Record(1, [TextAppended("", "word " * 100)], []))
    async with asyncio.timeout(10):
        last = 0
        while path.stat().st_size < empty + 100_000:
            lasts = range(last + 1, last + 101)
            await storage.write([Write("ans_long", 1, each, False, body) for each in lasts])
            last += 100
    await storage.sync()
    assert last < 20_000  # long before a commit would have to do it
    assert len(await storage.records("ans_long")) == last
    await storage.close()


async def test_a_log_that_is_closed_says_so_and_does_not_let_wait(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "answers.db")
    await storage.close()
    async with asyncio.timeout(5):
        with pytest.raises(LogUnavailable, match="is closed"):
            await storage.records("ans_1")
