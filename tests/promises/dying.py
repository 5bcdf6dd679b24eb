"""A server that kills itself at a moment of keeping an exchange.

    python -m tests.promises.dying FOLDER before|after|never pair|chat

As with a real engine the end comes a step after the last text. It prints its URL and a
conversation's id, and lives for half a minute at most.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from leafstream.engines.base import Chunk, Generation
from leafstream.engines.scripted import ScriptedEngine
from leafstream.store.conversations import Exchange
from tests.house import PAIR_TEXT, house


class Stepping(ScriptedEngine):
    """Ends its text in a step of its own."""

    async def generate(self, generation: Generation) -> AsyncGenerator[Chunk, None]:
        async with aclosing(super().generate(generation)) as chunks:
            async for chunk in chunks:
                if chunk.finish is not None:
                    await asyncio.sleep(0.05)
                yield chunk


async def main(folder: Path, moment: str, assistant: str) -> None:
    async with house(folder, Stepping(PAIR_TEXT)) as served:
        keep = served.app.store.add

        async def keep_and_die(conversation: str, exchange: Exchange) -> None:
            if moment != "before":
                await keep(conversation, exchange)
            if moment != "never":
                os.kill(os.getpid(), signal.SIGKILL)

        served.app.store.add = keep_and_die  # type: ignore[method-assign]
        created = await served.http.post("/v1/conversations", json={"assistant": assistant})
        sys.stdout.write(f"{served.url} {created.json()['id']}\n")
        sys.stdout.flush()
        await asyncio.sleep(30)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
