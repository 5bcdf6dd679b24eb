"""Transactions on an SQLite file, in a thread of their own; what waits shares one.

Theory of operation. A commit is written to the write-ahead log and left to the kernel
(`synchronous = NORMAL`): it outlives the process at once, and the machine when `Disk.sync` has
returned. So a slow disk holds up only who waits for that, not the commits after it. Nor does the
moving of pages from the write-ahead log to the file itself, which is the disk's to do too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

import msgspec

from leafstream.errors import LogUnavailable

T = TypeVar("T")
Row = tuple[Any, ...]

ROWS_BEFORE_MOVING = 1000
MAX_PAGES = 16_384
"""Of the write-ahead log; then a commit moves them, as the disk's thread did not keep up."""


class _Task(msgspec.Struct, Generic[T]):
    """Work, in a transaction or by itself, and who waits for what comes of it."""

    work: Callable[[sqlite3.Connection], T]
    done: asyncio.Future[T]
    in_transaction: bool


class Transactions:
    """A connection and the one thread that uses it. Its methods are called on one event loop."""

    def __init__(self, path: Path) -> None:
        self._db = connected(path)
        self._is_closed = False
        self._waiting: SimpleQueue[_Task[Any] | None] = SimpleQueue()
        self._thread = Thread(target=self._work_always, name="log", daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in one transaction, which it shares with all that waits by then."""
        return await self._done(work, in_transaction=True)

    async def look(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work`, which only reads, in no transaction."""
        return await self._done(work, in_transaction=False)

    async def rows(self, query: str, *values: str | float) -> list[Row]:
        def fetch(db: sqlite3.Connection) -> list[Row]:
            return db.execute(query, values).fetchall()

        return await self.look(fetch)

    async def row(self, query: str, *values: str | float) -> Row | None:
        return next(iter(await self.rows(query, *values)), None)

    async def _done(self, work: Callable[[sqlite3.Connection], T], *, in_transaction: bool) -> T:
        if self._is_closed:  # nobody would do it
            raise LogUnavailable("the log of answers is closed")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.put(_Task(work, done, in_transaction))
        return await done

    def _work_always(self) -> None:
        while (task := self._waiting.get()) is not None:
            for in_transaction, tasks in groupby(
                [task, *self._more()], attrgetter("in_transaction")
            ):
                if in_transaction:
                    self._do(list(tasks))
                else:
                    for alone in tasks:
                        self._do([alone])
        self._db.close()

    def _more(self) -> Iterator[_Task[Any]]:
        """What waits besides."""
        with contextlib.suppress(Empty):
            while (task := self._waiting.get_nowait()) is not None:
                yield task
            self._waiting.put(None)  # the end is told again, after these

    def _do(self, tasks: Sequence[_Task[Any]]) -> None:
        try:
            with sqlite_errors():
                results = self._results(tasks)
        except BaseException as error:
            if len(tasks) > 1:  # what fails for one of them must not fail for all
                for task in tasks:
                    self._do([task])
                return
            _tell(tasks, partial(_fail, tasks[0].done, error))
        else:
            _tell(tasks, partial(_succeed, tasks, results))

    def _results(self, tasks: Sequence[_Task[Any]]) -> list[Any]:
        if not tasks[0].in_transaction:
            return [task.work(self._db) for task in tasks]
        self._db.execute("BEGIN IMMEDIATE")
        try:
            results = [task.work(self._db) for task in tasks]
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise
        return results

    async def close(self) -> None:
        self._is_closed = True
        self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)


def _tell(tasks: Sequence[_Task[Any]], told: Callable[[], None]) -> None:
    """Wake the loop once for all of them; where it is closed, nobody waits any more."""
    with contextlib.suppress(RuntimeError):
        tasks[0].done.get_loop().call_soon_threadsafe(told)


def _succeed(tasks: Sequence[_Task[Any]], results: Sequence[Any]) -> None:
    for task, result in zip(tasks, results, strict=True):
        if not task.done.done():
            task.done.set_result(result)


def _fail(done: asyncio.Future[Any], error: BaseException) -> None:
    if not done.done():
        done.set_exception(error)


class Disk:
    """Brings what was committed to the disk, beside the thread that commits."""

    def __init__(self, path: Path) -> None:
        self._db = connected(path)
        self._log = path.with_name(path.name + "-wal")
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="log disk")
        self._syncing = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self._num_rows = 0
        self._moving: Future[None] | None = None

    async def sync(self) -> None:
        """Return when what was committed before the call outlives the machine."""
        if self._next is None:
            self._next = asyncio.create_task(self._sync(), name="log sync")
        await asyncio.shield(self._next)

    async def _sync(self) -> None:
        async with self._syncing:
            self._next = None  # who comes now may have committed after this one begins
            await asyncio.get_running_loop().run_in_executor(self._threads, self._sync_file)

    def _sync_file(self) -> None:
        try:
            file = os.open(self._log, os.O_RDWR | os.O_CLOEXEC)
            try:
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise LogUnavailable(f"the log of answers cannot be synced: {error}") from error

    def written(self, num_rows: int) -> None:
        """So many rows were committed: where there are enough, move them to the file itself."""
        self._num_rows += num_rows
        if self._num_rows >= ROWS_BEFORE_MOVING and (self._moving is None or self._moving.done()):
            self._num_rows = 0
            self._moving = self._threads.submit(self._move)

    def _move(self) -> None:
        # Where it cannot, the commits that find the log too long say why.
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        self._db.close()


def connected(path: Path) -> sqlite3.Connection:
    """Raises LogUnavailable."""
    with sqlite_errors():
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        os.chmod(path, 0o600)
        for pragma in (
            "auto_vacuum = INCREMENTAL",
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "cache_size = -8192",
            f"wal_autocheckpoint = {MAX_PAGES}",
        ):
            db.execute(f"PRAGMA {pragma}")
    return db


@contextlib.contextmanager
def sqlite_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise LogUnavailable(f"the log of answers cannot be used: {error}") from error
