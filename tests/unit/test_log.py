"""The log: when what is written is shown, and to whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from leafstream.ask import Ask
from leafstream.events import Cancelled, TextAppended, ValueSet, decode, encode
from leafstream.log.log import Log
from leafstream.log.memory import MemoryStorage
from leafstream.log.records import Entry, Opening


class SlowDisk(MemoryStorage):
    """Syncs when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.synced = asyncio.Event()

    async def sync(self) -> None:
        await self.synced.wait()


@asynccontextmanager
async def opened(storage: MemoryStorage) -> AsyncIterator[Log]:
    log = Log(storage)
    log.start()
    try:
        yield log
    finally:
        await log.close()


def test_a_failed_answer_of_a_log_that_knew_no_retry_after_is_read_and_written_as_it_was() -> None:
    kept = b'{"code":"engine_failed","status":502,"message":"it broke","retryable":true}'
    assert encode(decode("failed", kept)) == kept


async def test_an_end_is_told_when_it_is_on_the_disk_and_holds_up_no_other_answer() -> None:
    disk = SlowDisk()
    async with asyncio.timeout(5), opened(disk) as log:
        ending, going_on = [await log.open(Opening(name, Ask(()), 0.0)) for name in ("a", "b")]
        await log.append(ending, [Cancelled("enough")])
        await log.append(going_on, [TextAppended("", "one")])
        async with aclosing(log.read("a")) as ends, aclosing(log.read("b")) as texts:
            end = asyncio.ensure_future(anext(ends))
            assert await anext(texts) == [Entry(1, TextAppended("", "one"))]
            await log.append(going_on, [TextAppended("", "two")])
            assert await anext(texts) == [Entry(2, TextAppended("", "two"))]
            flushing = asyncio.ensure_future(log.flush(ending))
            await asyncio.sleep(0.02)
            assert not end.done()
            assert not flushing.done()
            disk.synced.set()
            assert await end == [Entry(1, Cancelled("enough"))]
            await flushing


async def test_a_reader_that_saw_more_than_a_machine_kept_gets_the_value_anew() -> None:
    async with asyncio.timeout(5), opened(MemoryStorage()) as log:
        claim = await log.open(Opening("a", Ask(()), 0.0))
        await log.append(claim, [TextAppended("", "kept ")])
        await log.flush(claim)
        async with aclosing(log.read("a", after=2)) as batches:
            batch = asyncio.ensure_future(anext(batches))
            await log.append(claim, [TextAppended("", "and ")])
            await log.flush(claim)
            await asyncio.sleep(0.02)
            assert not batch.done()
            await log.append(claim, [TextAppended("", "rewritten")])
            assert await batch == [Entry(3, ValueSet("", "kept and rewritten"))]
            await log.append(claim, [Cancelled("enough")])
            assert await anext(batches) == [Entry(4, Cancelled("enough"))]
