"""What goes from the log's SQLite file: what is old, what is too much, what somebody deletes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Final

from leafstream.log.storage import Retention

ROW_BYTES: Final = 1_000
"""What an answer takes besides its records, roughly."""
PART_BYTES: Final = 2_000_000
"""So much is deleted in one transaction: about 20 ms, for which all answers wait."""


def beyond(db: sqlite3.Connection, retention: Retention) -> list[list[int]]:
    """The numbers of ended answers beyond the retention, in parts to be dropped one by one."""
    old = "SELECT number, size FROM answers WHERE ended < ?"
    gone = dict(db.execute(old, (time.time() - retention.age,)).fetchall())
    if retention.size is not None:
        gone |= _oversized(db, retention.size)
    return _parts(gone)


def _parts(sizes: Mapping[int, int]) -> list[list[int]]:
    parts: list[list[int]] = []
    room = 0
    for number, size in sizes.items():
        if room <= 0:
            parts.append([])
            room = PART_BYTES
        parts[-1].append(number)
        room -= size + ROW_BYTES
    return parts


def drop(db: sqlite3.Connection, numbers: Sequence[int]) -> int:
    """Delete these answers; how many."""
    for number in numbers:
        db.execute("DELETE FROM records WHERE answer = ?", (number,))
        db.execute("DELETE FROM answers WHERE number = ?", (number,))
    return len(numbers)


def delete(db: sqlite3.Connection, answer: str) -> bool:
    """Delete one answer; False where there is none that has ended."""
    ended = "SELECT number FROM answers WHERE id = ? AND ended IS NOT NULL"
    return drop(db, [number for (number,) in db.execute(ended, (answer,))]) > 0


def _oversized(db: sqlite3.Connection, size: int) -> dict[int, int]:
    (total,) = db.execute(
        "SELECT (SELECT coalesce(sum(size), 0) FROM answers WHERE ended IS NOT NULL)"
        " + coalesce(sum(length(body)), 0)"
        " FROM answers JOIN records ON answer = number WHERE ended IS NULL"
    ).fetchone()
    gone = {}
    for number, own in db.execute(
        "SELECT number, size FROM answers WHERE ended IS NOT NULL ORDER BY ended"
    ):
        if total <= size:
            break
        gone[number] = own
        total -= own
    return gone
