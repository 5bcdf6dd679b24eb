"""What goes from the log's SQLite file: what is old, what is too much, what somebody deletes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence

from leafstream.log.storage import Retention


def forget(db: sqlite3.Connection, retention: Retention) -> int:
    """Delete ended answers beyond the retention; how many."""
    old = "SELECT number FROM answers WHERE ended < ?"
    gone = [number for (number,) in db.execute(old, (time.time() - retention.age,))]
    if retention.size is not None:
        gone = list(dict.fromkeys([*gone, *_oversized(db, retention.size)]))
    return _drop(db, gone)


def delete(db: sqlite3.Connection, answer: str) -> bool:
    """Delete one answer; False where there is none that has ended."""
    ended = "SELECT number FROM answers WHERE id = ? AND ended IS NOT NULL"
    return _drop(db, [number for (number,) in db.execute(ended, (answer,))]) > 0


def _drop(db: sqlite3.Connection, numbers: Sequence[int]) -> int:
    for number in numbers:
        db.execute("DELETE FROM records WHERE answer = ?", (number,))
        db.execute("DELETE FROM answers WHERE number = ?", (number,))
    return len(numbers)


def _oversized(db: sqlite3.Connection, size: int) -> list[int]:
    (total,) = db.execute(
        "SELECT (SELECT coalesce(sum(size), 0) FROM answers WHERE ended IS NOT NULL)"
        " + coalesce(sum(length(body)), 0)"
        " FROM answers JOIN records ON answer = number WHERE ended IS NULL"
    ).fetchone()
    gone = []
    for number, own in db.execute(
        "SELECT number, size FROM answers WHERE ended IS NOT NULL ORDER BY ended"
    ):
        if total <= size:
            break
        gone.append(number)
        total -= own
    return gone
