"""TTFT and tokens/s through the whole server, beside the same model asked through xllamacpp alone.

Both load the model once, in this process one after the other in turn, with the same options, the
same prompt tokens and greedy sampling. Medians of interleaved repeats.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import threading
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

from leafstream import Assistant
from leafstream.app import LeafstreamApp
from leafstream.client import Client
from leafstream.engines.llamacpp import LlamaCppEngine, LlamaCppOptions
from leafstream.events import TextAppended
from leafstream.log import Log
from leafstream.log.memory import MemoryStorage
from leafstream.messages import Message
from leafstream.models.fetch import cache_folder, resolve
from leafstream.sampling import Sampling
from leafstream.served import Served
from leafstream.server import Listening
from leafstream.settings import Settings
from leafstream.store.conversations import Conversations

TOKENS, REPEATS = 96, 7
QUESTION = "Tell me a long story about a cup."
Sample = tuple[float, float]
"""Seconds to the first token, tokens/s of all streams together after it."""


def direct(engine: LlamaCppEngine, prompt: list[int], streams: int) -> Sample:
    """Ask xllamacpp itself, a thread a stream."""
    server: Any = engine._server  # noqa: SLF001
    times: list[list[float]] = [[] for _ in range(streams)]
    payload = {"prompt": prompt, "n_predict": TOKENS, "temperature": 0, "stream": True}

    def ask(heard: list[float]) -> None:
        server.handle_completions(json.dumps(payload), lambda _: heard.append(time.perf_counter()))

    threads = [threading.Thread(target=ask, args=(heard,)) for heard in times]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _sample(begun, [heard[:TOKENS] for heard in times])


async def served(client: Client, streams: int) -> Sample:
    """Ask leafstream over HTTP and SSE."""
    begun = time.perf_counter()
    times = await asyncio.gather(*(_heard(client) for _ in range(streams)))
    return _sample(begun, list(times))


async def _heard(client: Client) -> list[float]:
    async with aclosing(client.ask("chat", QUESTION, max_tokens=TOKENS)) as events:
        return [time.perf_counter() async for event in events if isinstance(event, TextAppended)]


def _sample(begun: float, times: list[list[float]]) -> Sample:
    first = statistics.median(heard[0] for heard in times) - begun
    span = max(heard[-1] for heard in times) - min(heard[0] for heard in times)
    return first, (TOKENS - 1) * len(times) / span


async def rows() -> list[dict[str, Any]]:
    path = resolve("smollm2-135m", cache=cache_folder())
    engine = await LlamaCppEngine.open(path, LlamaCppOptions(name="smollm2-135m"))
    chat = Assistant(sampling=Sampling(temperature=0.0))
    prompt = await engine.prompt((Message("user", QUESTION),))
    found: dict[tuple[int, str], list[Sample]] = {}
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(_env_file=None, database_url=f"sqlite:///{folder}/bench.db")  # type: ignore[call-arg]
        store = await Conversations.open(settings.database)
        app = LeafstreamApp(settings, engine, Served({"chat": chat}), store, Log(MemoryStorage()))
        async with Listening(app) as url, Client(url) as client:
            for _ in range(REPEATS):
                for streams in (1, 4):
                    ours = await served(client, streams)
                    found.setdefault((streams, "ours"), []).append(ours)
                    theirs = await asyncio.to_thread(direct, engine, list(prompt.tokens), streams)
                    found.setdefault((streams, "direct"), []).append(theirs)
    return [row for streams in (1, 4) for row in _rows(streams, found)]


def _rows(streams: int, found: dict[tuple[int, str], list[Sample]]) -> list[dict[str, Any]]:
    made = []
    for place, (name, unit, target) in enumerate(
        (("TTFT", "s", None), ("speed", "tokens/s", 0.97))
    ):
        ours = [sample[place] for sample in found[streams, "ours"]]
        theirs = [sample[place] for sample in found[streams, "direct"]]
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        made.append(
            {
                "row": "engine",
                "case": f"{name}, {streams} stream{'s' if streams > 1 else ''}",
                "ours": round(statistics.median(ours), 3),
                "baseline": round(statistics.median(theirs), 3),
                "unit": unit,
                "ratio": round(ratio, 3),
                "target": target,
                "holds": None if target is None else ratio >= target,
            }
        )
    return made


if __name__ == "__main__":
    for row in asyncio.run(rows()):
        print(row)
    print(Path(__file__).name, "medians of", REPEATS, "interleaved repeats")
