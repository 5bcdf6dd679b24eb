"""An engine in front of servers that a test starts, impatient so that tests are quick."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from leafstream.engines.base import Chunk, Generation
from leafstream.engines.upstream import Timeouts, UpstreamEngine, UpstreamOptions
from leafstream.messages import Message

QUICK = Timeouts(connect=1.0, first_token=0.4, between_tokens=0.3, patience=0.2)
TURN = (Message("user", "Tell me about a cup."),)
JSON = "application/json"


async def opened(*urls: str, **more: Any) -> UpstreamEngine:
    given = {"context_window": 2048, "timeouts": QUICK, **more}
    return await UpstreamEngine.open(UpstreamOptions(urls, **given))


async def asked(engine: UpstreamEngine, **more: Any) -> list[Chunk]:
    generation = Generation(await engine.prompt(TURN), 50, **more)
    async with aclosing(engine.generate(generation)) as chunks:
        return [chunk async for chunk in chunks]


def said(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


async def collect(
    engine: UpstreamEngine, generation: Generation, chunks: list[Chunk] | None = None
) -> list[Chunk]:
    chunks = [] if chunks is None else chunks
    async with aclosing(engine.generate(generation)) as stream:
        async for chunk in stream:
            chunks.append(chunk)
    return chunks


async def until(condition: Callable[[], bool], seconds: float = 2.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
