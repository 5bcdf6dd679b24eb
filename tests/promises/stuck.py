"""A server whose engine neither lets go of an answer nor closes.

It has less patience than others, in the same order, so that nobody waits long for it.

LEAFSTREAM_… python -m tests.promises.stuck
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncGenerator

import pytest
import uvicorn

from leafstream.app import LeafstreamApp
from leafstream.engines.base import Chunk, Generation
from leafstream.engines.scripted import ScriptedEngine
from leafstream.log.choice import open_storage
from leafstream.port import bound_socket, url_of
from leafstream.served import Served
from leafstream.server import Server
from leafstream.settings import read_settings
from leafstream.store.conversations import Conversations
from tests.house import ASSISTANTS

LET_GO_SECONDS, CLOSE_SECONDS, END_SECONDS = 0.5, 0.75, 4.0


class Stuck(ScriptedEngine):
    """After its first chunk it waits in a thread, for ever."""

    async def generate(self, generation: Generation) -> AsyncGenerator[Chunk, None]:  # noqa: ARG002
        yield Chunk("It ", 1)
        await self._never()

    async def close(self) -> None:
        await self._never()

    async def _never(self) -> None:
        waiting = asyncio.ensure_future(asyncio.to_thread(threading.Event().wait))
        while not waiting.done():
            try:
                await asyncio.shield(waiting)
            except asyncio.CancelledError:
                continue


async def main() -> None:
    settings = read_settings()
    store = await Conversations.open(settings.database)
    storage = await open_storage(settings.answers)
    app = LeafstreamApp(settings, Stuck(), Served(ASSISTANTS), store, storage)
    config = uvicorn.Config(app, log_config=None, access_log=False)
    with bound_socket(settings.host, 0) as listener:
        listener.listen()  # who comes before the server is up waits
        url = url_of(listener)
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        await Server(config, url).serve([listener])


if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as shorter:
        shorter.setattr("leafstream.runs.LET_GO_SECONDS", LET_GO_SECONDS)
        shorter.setattr("leafstream.app.CLOSE_SECONDS", CLOSE_SECONDS)
        shorter.setattr("leafstream.server.END_SECONDS", END_SECONDS)
        asyncio.run(main())
