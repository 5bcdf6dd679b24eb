"""TTFT and tokens/s through the whole server, beside the same model asked through xllamacpp alone.

Both load the model once, in this process one after the other in turn, with the same options, the
same prompt tokens and greedy sampling. Medians of interleaved repeats.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

import uvloop

from bench.sitting import sitting
from leafstream.engines.llamacpp import LlamaCppEngine
from leafstream.messages import Message

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


async def served(url: str, streams: int) -> Sample:
    """Ask leafstream over HTTP and SSE, from another process."""
    words = ("-m", "bench.listening", url, str(streams), str(TOKENS), QUESTION)
    client = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=-1)
    told, _ = await client.communicate()
    begun, times = json.loads(told)
    return _sample(begun, times)


def _sample(begun: float, times: list[list[float]]) -> Sample:
    first = statistics.median(heard[0] for heard in times) - begun
    span = max(heard[-1] for heard in times) - min(heard[0] for heard in times)
    return first, (TOKENS - 1) * len(times) / span


async def rows() -> list[dict[str, Any]]:
    found: dict[tuple[int, str], list[Sample]] = {}
    async with sitting() as seat:
        prompt = await seat.engine.prompt((Message("user", QUESTION),))
        for _ in range(REPEATS):
            for streams in (1, 4):
                ours = await served(seat.url, streams)
                found.setdefault((streams, "ours"), []).append(ours)
                theirs = await asyncio.to_thread(direct, seat.engine, list(prompt.tokens), streams)
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
    for row in uvloop.run(rows()):
        print(row)
    print(Path(__file__).name, "medians of", REPEATS, "interleaved repeats")
