"""TTFT of the turns of one conversation, beside the same prompts read without the prefix cache.

Five other conversations under the same instructions have a turn between any two of its turns: more
than there are slots.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from contextlib import aclosing
from typing import Any

from bench.sitting import Sitting, row, sitting
from leafstream.client import Client
from leafstream.events import Finished, Started, TextAppended

TURNS, OTHERS, TOKENS, REPEATS = 10, 5, 12, 3
QUESTION = "Turn {n} of conversation {who}: tell me one more thing about cups, mugs and glasses."
SHOWN = (1, 5, 10)


async def turn(client: Client, conversation: str, question: str) -> tuple[float, int, int]:
    """Seconds to the first text, prompt tokens, and how many of them came from the cache."""
    begun, first, prompt, cached = time.perf_counter(), 0.0, 0, 0
    options = {"conversation": conversation, "max_tokens": TOKENS}
    async with aclosing(client.ask("chat", question, **options)) as events:
        async for event in events:
            if isinstance(event, Started):
                prompt = event.plan.prompt_tokens
            elif isinstance(event, TextAppended) and not first:
                first = time.perf_counter() - begun
            elif isinstance(event, Finished):
                cached = event.usage.cached_tokens
    return first, prompt, cached


async def conversation(client: Client, who: int) -> list[tuple[float, int, int]]:
    mine = await client.new_conversation("chat")
    others = [await client.new_conversation("chat") for _ in range(OTHERS)]
    turns = []
    for number in range(1, TURNS + 1):
        turns.append(await turn(client, mine, QUESTION.format(n=number, who=who)))
        for place, other in enumerate(others):
            await turn(client, other, QUESTION.format(n=number, who=f"{who}-{place}"))
    return turns


def uncached(seat: Sitting, prompt_tokens: int) -> float:
    """Seconds to the first token of a prompt of that length that the engine has not seen."""
    server: Any = seat.engine._server  # noqa: SLF001
    prompt = [1000 + (7 * n + prompt_tokens) % 40_000 for n in range(prompt_tokens)]
    payload = {"prompt": prompt, "n_predict": 1, "temperature": 0, "cache_prompt": False}
    begun = time.perf_counter()
    server.handle_completions(json.dumps(payload), lambda _: False)
    return time.perf_counter() - begun


async def rows() -> list[dict[str, Any]]:
    ours: dict[int, list[float]] = {}
    baseline: dict[int, list[float]] = {}
    per_token: dict[int, list[float]] = {}
    async with sitting() as seat, Client(seat.url) as client:
        for who in range(REPEATS):
            turns = await conversation(client, who)
            for number in SHOWN:
                first, prompt, cached = turns[number - 1]
                ours.setdefault(number, []).append(first)
                per_token.setdefault(number, []).append(first / (prompt - cached))
                alone = await asyncio.to_thread(uncached, seat, prompt)
                baseline.setdefault(number, []).append(alone)
                print("turn", number, f"{first:.3f} s,", prompt, "tokens,", cached, "cached")
    made = [
        row("turns", f"TTFT of turn {n}", *map(statistics.median, (ours[n], baseline[n])))
        for n in SHOWN
    ]
    first, last = (statistics.median(per_token[n]) for n in (SHOWN[0], SHOWN[-1]))
    case = "TTFT a new prompt token, turn 10 over turn 1"
    return [*made, row("turns", case, last / first, None, unit="", most=1.3)]


if __name__ == "__main__":
    for line in asyncio.run(rows()):
        print(line)
