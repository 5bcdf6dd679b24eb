"""A client in a process of its own, as clients are: when each piece of text came.

    python -m bench.listening URL STREAMS TOKENS QUESTION

Prints [seconds at which it began, [[seconds of each text event] of each stream]] on the clock
that all processes of the machine share.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import httpx2


async def listen(http: httpx2.AsyncClient, body: dict[str, object]) -> list[float]:
    times: list[float] = []
    headers = {"Accept": "text/event-stream"}
    async with http.stream("POST", "/v1/answers", json=body, headers=headers) as response:
        async for piece in response.aiter_bytes():
            times += [time.perf_counter()] * piece.count(b"event: text\n")
    return times


async def main(url: str, streams: int, tokens: int, question: str) -> None:
    body: dict[str, object] = {"assistant": "chat", "input": question, "max_tokens": tokens}
    async with httpx2.AsyncClient(base_url=url, timeout=300, trust_env=False) as http:
        await http.get("/healthz")
        begun = time.perf_counter()
        times = await asyncio.gather(*(listen(http, body) for _ in range(streams)))
    print(json.dumps([begun, times]))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
