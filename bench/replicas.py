"""Replicas of a scripted server over one storage, many readers of theirs, and what kills them."""

from __future__ import annotations

import asyncio
import json
import math
import random
import tempfile
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tests.redis import RedisServer, redis_server
from tests.serving import Serving, serving

from bench.reader import Reading, Wishes, read

SAID = " ".join(f'{n}번째 컵은 "다시" 쓴다.' for n in range(24))
SCRIPT = json.dumps({"said": SAID}, ensure_ascii=False)
SCHEMA = {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]}
BODY = json.dumps({"schema": SCHEMA, "input": "go"}).encode()


@asynccontextmanager
async def replicas(
    count: int,
    storage: str = "redis",
    environment: Mapping[str, str] | None = None,
    **settings: Any,
) -> AsyncIterator[tuple[list[Serving], RedisServer | None]]:
    """Started servers over one storage, each with slots for everybody."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = None
        if storage == "redis":
            redis = await stack.enter_async_context(redis_server(folder))
            settings["answers_url"] = redis.url
        given = {"slots": 256, "queue": 2000, "log_level": "warning", **settings}
        servers = [
            await stack.enter_async_context(serving(folder, SCRIPT, 0.02, environment, **given))
            for _ in range(count)
        ]
        yield servers, redis


async def many(
    servers: Sequence[Serving],
    count: int,
    at_once: int,
    *,
    drop: float = 0.02,
    patience: float = 120.0,
) -> list[Reading]:
    """So many answers, read by clients that drop and resume at random."""
    turn = asyncio.Semaphore(at_once)

    async def one() -> Reading:
        async with turn:
            return await read(lambda: up(servers), Wishes(BODY, drop=drop, patience=patience))

    return await asyncio.gather(*(one() for _ in range(count)))


def up(servers: Sequence[Serving]) -> list[int]:
    """Where a proxy would send a client now."""
    return [server.port for server in servers if server.is_up] or [servers[0].port]


@asynccontextmanager
async def meanwhile(work: Awaitable[None]) -> AsyncIterator[None]:
    """Something that goes on while the context is open."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def kill_at_random(
    servers: Sequence[Serving], every: float, counts: list[int], most: float = math.inf
) -> None:
    """Kill one of them every so many seconds and start it again, never the last that is up.

    The only one there is goes, too.
    """
    async with asyncio.TaskGroup() as starting:
        while counts[0] < most:
            await asyncio.sleep(every)
            victim = random.choice(servers)
            others = sum(server.is_up for server in servers if server is not victim)
            if victim.is_up and (others or len(servers) == 1):
                await victim.kill()
                counts[0] += 1
                starting.create_task(victim.start())
