"""The log in an SQLite file, shared by the processes of one machine.

A holder is alive as long as it holds the lock on a file of its own, which the kernel takes back
the moment the process dies: no clock is asked, and nobody waits for a lease to run out.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from leafstream.errors import LogUnavailable, SetupError
from leafstream.log import retention
from leafstream.log.records import Opening, Record, decode_opening, decode_record, encode_opening
from leafstream.log.storage import Head, Outcome, Retention, Write

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    owner TEXT NOT NULL,
    key TEXT,
    conversation TEXT,
    opening BLOB NOT NULL,
    holder TEXT NOT NULL,
    epoch INTEGER NOT NULL DEFAULT 1,
    last INTEGER NOT NULL DEFAULT 0,
    size INTEGER NOT NULL DEFAULT 0,
    ended REAL,
    seen REAL,
    cancel INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX IF NOT EXISTS answers_key ON answers (owner, key) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS answers_open ON answers (holder) WHERE ended IS NULL;
CREATE INDEX IF NOT EXISTS answers_turns ON answers (conversation, number) WHERE ended IS NULL;
CREATE INDEX IF NOT EXISTS answers_ended ON answers (ended) WHERE ended IS NOT NULL;
CREATE TABLE IF NOT EXISTS records (
    answer INTEGER NOT NULL,
    last INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS records_places ON records (answer, last);
"""
POLL_SECONDS = 0.01
NEWS_SECONDS = 1.0


class SqliteStorage:
    """One file, written by one thread and read by another of this process. Made by `open`."""

    durable = True

    def __init__(self, path: Path) -> None:
        self._writer = _Connection(path)
        self._writer.prepare()
        self._reader = _Connection(path)
        self._holders = path.with_name(path.name + ".holders")
        self._holders.mkdir(mode=0o700, exist_ok=True)
        for left in self._holders.glob("[0-9a-f]*"):
            _Lock.is_held(left)
        self._name = secrets.token_hex(8)
        self._lock = _Lock(self._holders / self._name)
        self._version = -1

    @classmethod
    async def open(cls, path: Path) -> SqliteStorage:
        """Open or make the file. Raises SetupError with what to do."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            storage = await asyncio.to_thread(cls, path)
        except (OSError, LogUnavailable) as error:
            raise SetupError(
                f"the log of answers {path} cannot be used: {error}; check LEAFSTREAM_ANSWERS_URL"
            ) from None
        return storage

    async def create(self, opening: Opening) -> Opening:
        return await self._writer.run(lambda db: _create(db, opening, self._name))

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        return await self._writer.run(lambda db: [_write(db, write) for write in writes])

    async def head(self, answer: str) -> Head | None:
        row = await self._reader.row(
            "SELECT opening, last, ended IS NOT NULL, epoch, holder FROM answers WHERE id = ?",
            answer,
        )
        if row is None:
            return None
        opening, last, ended, epoch, holder = row
        return Head(decode_opening(opening), last, bool(ended), epoch, holder == self._name)

    async def records(self, answer: str, after: int = 0, limit: int | None = None) -> list[Record]:
        rows = await self._reader.rows(
            "SELECT last, body FROM records"
            " WHERE answer = (SELECT number FROM answers WHERE id = ?) AND last > ?"
            " ORDER BY last LIMIT ?",
            answer,
            after,
            -1 if limit is None else limit,
        )
        return [decode_record(last, body) for last, body in rows]

    async def earlier(self, owner: str, key: str) -> Opening | None:
        row = await self._reader.row(
            "SELECT opening FROM answers WHERE owner = ? AND key = ?", owner, key
        )
        return None if row is None else decode_opening(row[0])

    async def claim(self, answer: str) -> int | None:
        row = await self._writer.row(
            "SELECT holder, epoch FROM answers WHERE id = ? AND ended IS NULL", answer
        )
        if row is None or self._lives(row[0]):
            return None
        return await self._writer.run(lambda db: _claim(db, answer, row[1], self._name))

    def _lives(self, holder: str) -> bool:
        """Whether another process holds what this holder holds."""
        return holder != self._name and _Lock.is_held(self._holders / holder)

    async def release(self) -> None:
        self._lock.release()

    async def orphans(self) -> list[str]:
        held = await self._reader.rows(
            "SELECT holder, group_concat(id) FROM answers WHERE ended IS NULL GROUP BY holder"
        )
        dead = [ids.split(",") for holder, ids in held if not self._lives(holder)]
        return [answer for answers in dead for answer in answers]

    async def unfinished(self, conversation: str) -> list[str]:
        rows = await self._writer.rows(
            "SELECT id FROM answers WHERE conversation = ? AND ended IS NULL ORDER BY number",
            conversation,
        )
        return [answer for (answer,) in rows]

    async def want_cancel(self, answer: str) -> None:
        await self._writer.rows("UPDATE answers SET cancel = 1 WHERE id = ?", answer)

    async def wanted_cancels(self) -> list[str]:
        rows = await self._reader.rows(
            "SELECT id FROM answers WHERE ended IS NULL AND holder = ? AND cancel", self._name
        )
        return [answer for (answer,) in rows]

    async def see(self, answers: Collection[str]) -> None:
        now = time.monotonic()  # the same for all processes of the machine
        await self._writer.run(
            lambda db: db.executemany(
                "UPDATE answers SET seen = ? WHERE id = ?", [(now, answer) for answer in answers]
            )
        )

    async def seen(self, answer: str, within: float) -> bool:
        row = await self._reader.row("SELECT seen FROM answers WHERE id = ?", answer)
        # A clock that began anew at a reboot is behind what it said before.
        return row is not None and row[0] is not None and 0 <= time.monotonic() - row[0] < within

    async def grown(self) -> Collection[str] | None:
        deadline = time.monotonic() + NEWS_SECONDS
        while time.monotonic() < deadline:
            row = await self._reader.row("PRAGMA data_version")
            version, self._version = self._version, row[0] if row else -1
            if version != self._version:
                return None
            await asyncio.sleep(POLL_SECONDS)
        return ()

    async def delete(self, answer: str) -> bool:
        return await self._writer.run(lambda db: retention.delete(db, answer))

    async def forget(self, kept: Retention) -> int:
        count = await self._writer.run(lambda db: retention.forget(db, kept))
        await self._writer.rows("PRAGMA incremental_vacuum(4096)")
        return count

    async def close(self) -> None:
        self._lock.release()
        await self._reader.close()
        await self._writer.close()


class _Task(msgspec.Struct, Generic[T]):
    """Work for a transaction, and what came of it."""

    work: Callable[[sqlite3.Connection], T]
    done: Future[T]


class _Connection:
    """A connection and the one thread that uses it."""

    def __init__(self, path: Path) -> None:
        self._waiting: deque[_Task[Any]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log")
        with _errors():
            self._db = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=10
            )
            os.chmod(path, 0o600)
            for pragma in (
                "auto_vacuum = INCREMENTAL",
                "journal_mode = WAL",
                "synchronous = FULL",
                "cache_size = -8192",
            ):
                self._db.execute(f"PRAGMA {pragma}")

    def prepare(self) -> None:
        """Make the tables that are not there."""
        with _errors():
            self._db.executescript(_SCHEMA)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in one transaction, which it shares with all that waits by then."""
        task = _Task(work, Future())
        self._waiting.append(task)
        self._thread.submit(self._drain)
        return await asyncio.wrap_future(task.done)

    def _drain(self) -> None:
        taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
        tasks = [task for task in taken if task.done.set_running_or_notify_cancel()]
        if tasks:
            self._do(tasks)

    def _do(self, tasks: Sequence[_Task[Any]]) -> None:
        try:
            results = self._transact(tasks)
        except BaseException as error:
            if len(tasks) == 1:
                tasks[0].done.set_exception(error)
                return
            for task in tasks:  # what fails for one of them must not fail for all
                self._do([task])
        else:
            for task, result in zip(tasks, results, strict=True):
                task.done.set_result(result)

    def _transact(self, tasks: Sequence[_Task[Any]]) -> list[Any]:
        with _errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                results = [task.work(self._db) for task in tasks]
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            return results

    async def rows(self, query: str, *values: str | float) -> list[tuple[Any, ...]]:
        def fetch() -> list[tuple[Any, ...]]:
            with _errors():
                return self._db.execute(query, values).fetchall()

        return await asyncio.get_running_loop().run_in_executor(self._thread, fetch)

    async def row(self, query: str, *values: str | float) -> tuple[Any, ...] | None:
        return next(iter(await self.rows(query, *values)), None)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown()


class _Lock:
    """A file that is locked as long as this process lives."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Named only when it is locked: whoever finds an unlocked file takes its holder for dead.
        unnamed = path.with_name(f".{path.name}")
        self._file: int | None = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        unnamed.rename(path)

    def release(self) -> None:
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    @staticmethod
    def is_held(path: Path) -> bool:
        """Whether a process lives that holds it; a dead one's file is removed."""
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            path.unlink(missing_ok=True)
            return False
        finally:
            os.close(file)


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise LogUnavailable(f"the log of answers cannot be used: {error}") from error


def _create(db: sqlite3.Connection, opening: Opening, holder: str) -> Opening:
    ask = opening.ask
    if opening.key is not None:
        found = db.execute(
            "SELECT opening FROM answers WHERE owner = ? AND key = ?", (ask.owner, opening.key)
        ).fetchone()
        if found is not None:
            return decode_opening(found[0])
    db.execute(
        "INSERT INTO answers (id, owner, key, conversation, opening, holder)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (opening.id, ask.owner, opening.key, ask.conversation, encode_opening(opening), holder),
    )
    return opening


def _write(db: sqlite3.Connection, write: Write) -> Outcome:
    found = db.execute(
        "UPDATE answers SET last = ?, size = size + ?, ended = ?"
        " WHERE id = ? AND epoch = ? AND last < ? AND ended IS NULL RETURNING number, cancel",
        (
            write.last,
            len(write.body),
            time.time() if write.ended else None,
            write.answer,
            write.epoch,
            write.last,
        ),
    ).fetchone()
    if found is None:
        return "fenced"
    db.execute("INSERT INTO records VALUES (?, ?, ?)", (found[0], write.last, write.body))
    return "cancel" if found[1] else "kept"


def _claim(db: sqlite3.Connection, answer: str, epoch: int, holder: str) -> int | None:
    found = db.execute(
        "UPDATE answers SET holder = ?, epoch = epoch + 1 WHERE id = ? AND epoch = ?"
        " AND ended IS NULL RETURNING epoch",
        (holder, answer, epoch),
    ).fetchone()
    return None if found is None else int(found[0])
