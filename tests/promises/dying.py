"""A server that kills itself at a moment of keeping an exchange.

    python -m tests.promises.dying FOLDER before|after|never

It prints its URL and a conversation's id, and lives for half a minute at most.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from leafstream.engines.scripted import ScriptedEngine
from leafstream.store.conversations import Exchange
from tests.house import PAIR_TEXT, house


async def main(folder: Path, moment: str) -> None:
    async with house(folder, ScriptedEngine(PAIR_TEXT)) as served:
        keep = served.app.store.add

        async def keep_and_die(conversation: str, exchange: Exchange) -> None:
            if moment != "before":
                await keep(conversation, exchange)
            if moment != "never":
                os.kill(os.getpid(), signal.SIGKILL)

        served.app.store.add = keep_and_die  # type: ignore[method-assign]
        created = await served.http.post("/v1/conversations", json={"assistant": "pair"})
        sys.stdout.write(f"{served.url} {created.json()['id']}\n")
        sys.stdout.flush()
        await asyncio.sleep(30)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
