"""The longest gap of three running streams while a 4,000-token prompt is read.

Beside it the same on xllamacpp at its defaults, asked directly.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

from bench.sitting import row, sitting
from leafstream.client import Client
from leafstream.engines.llamacpp import LlamaCppOptions
from leafstream.events import TextAppended
from leafstream.models.fetch import cache_folder, resolve

STREAMS, TOKENS, PROMPT_TOKENS, WINDOW = 3, 3000, 4000, 4608
STORY = "Tell me a very long story about a cup."
LONG = "cup tea " * (PROMPT_TOKENS // 2)


class Heard:
    """When the chunks of one stream came; `over` once it has ended by itself."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.over = False

    def note(self) -> None:
        self.times.append(time.perf_counter())

    def longest_gap(self, begun: float, ended: float) -> float:
        """The longest silence while it ran between two moments, in seconds."""
        within = [begun, *(at for at in self.times if begun < at < ended)]
        if not self.over or self.times[-1] > ended:
            within.append(ended)
        return max((later - earlier for earlier, later in itertools.pairwise(within)), default=0.0)


async def served(batch: int = LlamaCppOptions().batch) -> tuple[float, float]:
    """The longest gap, and how long the prompt took to read."""
    options = LlamaCppOptions(context_window=WINDOW, batch=batch)
    async with sitting(options) as seat, Client(seat.url) as client:
        streams = [Heard() for _ in range(STREAMS)]
        running = [asyncio.create_task(_stream(client, heard)) for heard in streams]
        while not all(len(heard.times) > 5 for heard in streams):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        begun = time.perf_counter()
        async with aclosing(client.ask("chat", LONG, max_tokens=1)) as events:
            async for _ in events:
                pass
        ended = time.perf_counter()
        for task in running:
            task.cancel()
        await asyncio.wait(running)
    return max(heard.longest_gap(begun, ended) for heard in streams), ended - begun


async def _stream(client: Client, heard: Heard) -> None:
    async with aclosing(client.ask("chat", STORY, max_tokens=TOKENS)) as events:
        async for event in events:
            if isinstance(event, TextAppended):
                heard.note()
    heard.over = True


def direct() -> tuple[float, float]:
    """The same of xllamacpp, all of whose settings but the size of the context are its own."""
    import xllamacpp  # noqa: PLC0415

    params = xllamacpp.CommonParams()
    params.model.path = str(resolve("smollm2-135m", cache=cache_folder()))
    params.n_ctx, params.n_parallel, params.verbosity = WINDOW * (STREAMS + 1), STREAMS + 1, 1
    params.hostnames = ["/tmp/leafstream-fairness.sock"]
    server = xllamacpp.Server(params)
    streams = [Heard() for _ in range(STREAMS)]
    over = threading.Event()

    def ask(text: str, num_tokens: int, heard: Heard) -> None:
        def on_chunk(_: str) -> bool:
            heard.note()
            return over.is_set()

        payload = {"messages": [{"role": "user", "content": text}], "max_tokens": num_tokens}
        server.handle_chat_completions(json.dumps({**payload, "stream": True}), on_chunk)
        heard.over = not over.is_set()

    threads = [threading.Thread(target=ask, args=(STORY, TOKENS, heard)) for heard in streams]
    for thread in threads:
        thread.start()
    while not all(len(heard.times) > 5 for heard in streams):
        time.sleep(0.01)
    begun = time.perf_counter()
    ask(LONG, 1, Heard())
    ended = time.perf_counter()
    over.set()
    for thread in threads:
        thread.join()
    Path("/tmp/leafstream-fairness.sock").unlink(missing_ok=True)
    return max(heard.longest_gap(begun, ended) for heard in streams), ended - begun


async def rows() -> list[dict[str, Any]]:
    ours, read = await served()
    theirs, alone = await asyncio.to_thread(direct)
    case = "longest gap of 3 streams while a 4,000-token prompt is read"
    return [
        row("fairness", case, ours, theirs, most=1.0),
        row("fairness", "reading that prompt meanwhile", read, alone),
    ]


if __name__ == "__main__":
    for line in asyncio.run(rows()):
        print(line)
