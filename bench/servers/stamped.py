"""leafstream over a scripted engine whose text holds the times at which it was written.

    LEAFSTREAM_… python -m bench.servers.stamped SCRIPT BURST DELAY SLOTS

Every chunk of BURST tokens (four at least) begins with `<seconds>`, on the clock that all processes
of the machine share, in the place of as much text; but for the first and the last one, which hold
the ends of the JSON. DELAY seconds lie between two chunks of a stream.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import msgspec
import uvicorn
import uvloop

from leafstream.app import LeafstreamApp
from leafstream.engines.base import Chunk, Generation
from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.log.choice import open_storage
from leafstream.port import bound_socket
from leafstream.served import Served
from leafstream.server import Server, spare_collector
from leafstream.settings import read_settings
from leafstream.store.conversations import Conversations


class Stamped(ScriptedEngine):
    def __init__(self, script: str, play: Play) -> None:
        super().__init__(script, play)
        self._pause = play.delay or 0.0

    async def generate(self, generation: Generation) -> AsyncGenerator[Chunk, None]:
        await asyncio.sleep(random.random() * self._pause)  # streams are not in step
        async with aclosing(super().generate(generation)) as chunks:
            held = await anext(chunks)
            yield held
            held = await anext(chunks)
            async for chunk in chunks:
                if chunk.finish is None:
                    stamp = f"<{time.perf_counter():.6f}>"
                    held = msgspec.structs.replace(held, text=stamp + held.text[len(stamp) :])
                yield held
                held = chunk
            yield held


async def main(script: str, burst: int, delay: float, slots: int) -> None:
    settings = read_settings()
    play = Play(delay=delay, burst=burst, slots=slots, context_window=100_000)
    engine = Stamped(script, play)
    store = await Conversations.open(settings.database)
    app = LeafstreamApp(settings, engine, Served({}), store, await open_storage(settings.answers))
    spare_collector()
    config = uvicorn.Config(app, log_config=None, access_log=False)
    with bound_socket(settings.host, settings.port) as listener:
        await Server(config).serve([listener])


if __name__ == "__main__":
    asked = (int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
    uvloop.run(main(Path(sys.argv[1]).read_text(), *asked))
