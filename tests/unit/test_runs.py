"""How an answer begins: the model reads while the disk writes, and nobody is told before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import msgspec
import pytest

from leafstream import Assistant
from leafstream.ask import Ask
from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.errors import LogUnavailable
from leafstream.events import Event, Finished
from leafstream.log.log import Log
from leafstream.log.memory import MemoryStorage
from leafstream.messages import Message
from leafstream.runs import Runs
from leafstream.writer import Limits

ASK = Ask((Message("user", "hello"),), assistant="chat", background=True)


class SlowDisk(MemoryStorage):
    """Syncs when it is let, or says why not."""

    def __init__(self) -> None:
        super().__init__()
        self.synced = asyncio.Event()
        self.is_broken = False

    async def sync(self) -> None:
        await self.synced.wait()
        if self.is_broken:
            raise LogUnavailable("the disk is gone")


@asynccontextmanager
async def served(
    engine: ScriptedEngine, disk: SlowDisk, limits: Limits | None = None
) -> AsyncIterator[tuple[Runs, Log]]:
    log = Log(disk)
    log.start()
    try:
        async with asyncio.timeout(10):
            yield Runs(engine, log, {"chat": Assistant()}, limits=limits), log
    finally:
        disk.synced.set()
        await log.close()


async def until_asked(engine: ScriptedEngine) -> None:
    while not engine.generations:
        await asyncio.sleep(0.01)


async def test_a_model_reads_while_the_disk_writes_and_nobody_is_told_before() -> None:
    engine, disk = ScriptedEngine("hello yourself", Play(delay=0.01)), SlowDisk()
    async with served(engine, disk) as (runs, log):
        starting = asyncio.ensure_future(runs.start(ASK))
        await until_asked(engine)
        await asyncio.sleep(0.05)
        assert not starting.done()
        disk.synced.set()
        events: list[Event] = []
        async with aclosing(log.read(await starting)) as batches:
            async for batch in batches:
                events += [entry.event for entry in batch]
        assert isinstance(events[-1], Finished)
        assert events[-1].value == "hello yourself"


async def test_an_answer_that_the_disk_does_not_take_is_refused_and_its_slot_is_free() -> None:
    engine, disk = ScriptedEngine("word " * 400, Play(delay=0.05)), SlowDisk()
    async with served(engine, disk) as (runs, _):
        disk.is_broken = True
        starting = asyncio.ensure_future(runs.start(ASK))
        await until_asked(engine)
        disk.synced.set()
        with pytest.raises(LogUnavailable):
            await starting
        while engine.running:
            await asyncio.sleep(0.01)
        disk.is_broken = False
        while runs.num_running:
            await asyncio.sleep(0.01)
        assert runs.num_free_slots == engine.slots


async def test_b5_who_waits_for_the_disk_to_take_his_question_counts_as_a_reader() -> None:
    engine, disk = ScriptedEngine("word " * 400, Play(delay=0.05)), SlowDisk()
    ask = msgspec.structs.replace(ASK, background=False)
    async with served(engine, disk, Limits(grace=0.05)) as (runs, _):
        starting = asyncio.ensure_future(runs.start(ask))
        await until_asked(engine)
        await asyncio.sleep(1.3)  # longer than the grace period and the time to come and read
        assert engine.running
        disk.synced.set()
        await starting
        while engine.running:  # nobody came
            await asyncio.sleep(0.01)
