"""Memory: resident bytes of an open stream, and what stays behind after answers that are over.

python -m bench.memory
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import uvloop
from tests.redis import free_port

from bench.delivery import REQUEST, limits
from bench.processes import Server, leafstream, pinned
from bench.rows import Row, at_most
from bench.words import prose

OPEN, TOKENS = 1000, 2000
AT_ONCE, WARM, ANSWERS = 50, 5000, 10_000
GROWTH_KB = 0.1
"""Of an answer; less cannot be told from what the allocator does."""


async def open_streams(server: Server) -> float:
    """kB of each of many streams that have all had some of their text."""
    before = server.memory
    connections = await asyncio.gather(
        *(asyncio.open_connection("127.0.0.1", server.port) for _ in range(OPEN))
    )
    for _, writer in connections:
        writer.write(REQUEST)
    await asyncio.gather(*(reader.readuntil(b"event: text") for reader, _ in connections))
    await asyncio.sleep(2)
    grown = server.memory - before
    for _, writer in connections:
        writer.close()
    return grown / OPEN / 1000


async def answers(server: Server, count: int) -> None:
    async def some() -> None:
        for _ in range(count // AT_ONCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(REQUEST)
            body = await reader.read()
            if b"event: finished" not in body:
                raise RuntimeError(f"an answer without an end: {body[-300:]!r}")
            writer.close()

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))


async def growth(server: Server) -> float:
    """kB that stay behind of each answer, once as many were given as it takes to fill caches."""
    await answers(server, WARM)
    before = server.memory
    await answers(server, ANSWERS)
    return (server.memory - before) / ANSWERS / 1000


def script(folder: Path, tokens: int, play: str) -> dict[str, str]:
    path = folder / f"{tokens}.txt"
    path.write_text('{"said":"' + "".join(prose(tokens)) + '"}')
    return {"LEAFSTREAM_MODEL": f"scripted:{path}?slots=2000&{play}", **limits()}


async def rows() -> list[Row]:
    pinned()
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        folder = Path(first)
        slow = script(folder, TOKENS, "delay=1&burst=16")
        async with leafstream(folder, free_port(), **slow) as server:
            await answers_of_one(server)
            of_stream = await open_streams(server)
        folder = Path(second)  # or the answers left open above are taken over while we count
        fast = script(folder, 50, "delay=none&burst=16")
        async with leafstream(folder, free_port(), **fast) as server:
            left = await growth(server)
    return [
        at_most("memory", f"an open stream of {OPEN}", of_stream, "kB", 60),
        at_most("memory", f"left of an answer, over {ANSWERS}", left, "kB", GROWTH_KB),
    ]


async def answers_of_one(server: Server) -> None:
    """What the first request makes, whoever asks."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(REQUEST)
    await reader.readuntil(b"event: text")
    writer.close()


if __name__ == "__main__":
    for made in uvloop.run(rows()):
        print(made)
