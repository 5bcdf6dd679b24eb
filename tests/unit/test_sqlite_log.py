"""The log in SQLite: what its one writer does together."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

from leafstream.ask import Ask
from leafstream.errors import LogUnavailable
from leafstream.log.records import Opening
from leafstream.log.sqlite import SqliteStorage


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
