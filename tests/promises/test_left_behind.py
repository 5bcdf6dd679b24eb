"""Promises about what an answer leaves in memory: nothing that waits for the garbage collector.

A server keeps the collector from its thousands of streams, so a cycle in every answer grows until
a full collection, a hundred thousand answers away.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

from leafstream import Assistant
from leafstream.engines.scripted import Play, ScriptedEngine
from tests.house import STREAM, House, house

TIMES = 5
OURS = ("leafstream.", "jsonschema_rs.", "pydantic.")


class Branch(BaseModel):
    name: str
    branches: list[Branch] = []


async def ended(served: House) -> None:
    await served.stream({"assistant": "branch", "input": {"message": "go"}})


async def ended_early(served: House) -> None:
    await served.stream({"assistant": "branch", "input": {"message": "go"}, "max_tokens": 14})


async def of_a_schema(served: House) -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    await served.stream({"schema": schema, "input": "go"})


async def cancelled(served: House) -> None:
    answer = await served.begin({"assistant": "branch", "input": {"message": "go"}})
    await served.http.post(f"/v1/answers/{answer}/cancel")


async def left_by_its_reader(served: House) -> None:
    body = {"assistant": "branch", "input": {"message": "go"}}
    async with served.http.stream("POST", "/v1/answers", json=body, headers=STREAM) as response:
        await anext(response.aiter_raw())
    await asyncio.sleep(0.05)


WAYS: list[Callable[[House], Awaitable[None]]] = [
    ended,
    ended_early,
    of_a_schema,
    cancelled,
    left_by_its_reader,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_an_answer_leaves_nothing_for_the_collector(
    tmp_path: Path, way: Callable[[House], Awaitable[None]]
) -> None:
    script = '{"name":"a","branches":[{"name":"b","branches":[{"name":"c"}]}]}'
    engine = ScriptedEngine(script, Play(delay=0.005))
    assistants = {"branch": Assistant(Branch)}
    async with house(
        tmp_path, engine, assistants, grace_seconds=0.01, heartbeat_seconds=0.001
    ) as served:
        await way(served)
        assert await left_after(TIMES, lambda: way(served), served) == set()


async def left_after(times: int, work: Callable[[], Awaitable[None]], served: House) -> set[str]:
    """The types, ours and those we call, that only the collector frees after so many times."""
    engine = served.app.engine
    assert isinstance(engine, ScriptedEngine)
    gc.collect()
    gc.disable()
    gc.freeze()  # what was there before is not gone through again
    try:
        for _ in range(times):
            await work()
        async with asyncio.timeout(5):
            while served.app.runs.num_running:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        engine.generations.clear()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        names = {type(left).__module__ + "." + type(left).__qualname__ for left in gc.garbage}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.unfreeze()
        gc.enable()
    return {name for name in names if name.startswith(OURS)}
