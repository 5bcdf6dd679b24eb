"""An OpenAI-compatible upstream that plays tokens: as fast as the socket takes them, or paced.

    python -m bench.servers.player PORT TOKENS

A message `paced SPEED COUNT` asks for COUNT tokens, SPEED a second, each of which holds the time at
which it was sent, on the clock that all processes of the machine share; any other for full speed.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from typing import cast

import uvloop

from bench.words import prose

MODELS = json.dumps({"object": "list", "data": [{"id": "fake", "object": "model"}]}).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = {
    "id": "chatcmpl-9d06e08c7a0c3b029d06e08c7a0c3b02",
    "object": "chat.completion.chunk",
    "created": 1795499668,
    "model": "fake",
}
_length = re.compile(rb"content-length: *(\d+)", re.IGNORECASE).search
_paced = re.compile(rb"paced (\d+) (\d+)").search


def event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return piece(json.dumps(CHUNK | {"choices": [choice]}, ensure_ascii=False).encode())


def piece(data: bytes) -> bytes:
    data = b"data: %b\n\n" % data
    return b"%x\r\n%b\r\n" % (len(data), data)


def ending(tokens: int) -> bytes:
    usage = {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": tokens + 9}
    told = json.dumps(CHUNK | {"choices": [], "usage": usage}).encode()
    return event({}, "stop") + piece(told) + piece(b"[DONE]") + b"0\r\n\r\n"


class Player(asyncio.Protocol):
    """One connection; what it plays was written before anybody asked."""

    def __init__(self, tokens: list[str]) -> None:
        self._opening = HEAD + event({"role": "assistant", "content": ""})
        self._all = b"".join(event({"content": token}) for token in tokens)
        self._ending = ending(len(tokens))
        self._data = b""
        self._transport: asyncio.Transport | None = None
        self._playing: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        if self._playing is not None:
            self._playing.cancel()

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        length = _length(head)
        size = int(length[1]) if length else 0
        if found and len(body) >= size:
            self._data = body[size:]
            self._answer(head, body[:size])

    def _answer(self, head: bytes, body: bytes) -> None:
        assert self._transport is not None
        if head.startswith(b"GET"):
            known = head.startswith(b"GET /v1/models ")
            status, answer = (b"200 OK", MODELS) if known else (b"404 Not Found", b"{}")
            kind = b"Content-Type: application/json\r\n"
            length = b"Content-Length: %d\r\n\r\n" % len(answer)
            self._transport.write(b"HTTP/1.1 %b\r\n" % status + kind + length + answer)
        elif speed := _paced(body):
            self._playing = asyncio.create_task(self._pace(1 / int(speed[1]), int(speed[2])))
        else:
            self._transport.write(self._opening + self._all + self._ending)

    async def _pace(self, seconds: float, count: int) -> None:
        assert self._transport is not None
        self._transport.write(self._opening)
        due = time.perf_counter() + random.random() * seconds  # streams are not in step
        for _ in range(count):
            await asyncio.sleep(due - time.perf_counter())
            self._transport.write(event({"content": f"{time.perf_counter():.6f}\n"}))
            due += seconds
        self._transport.write(ending(count))


async def main(port: int, num_tokens: int) -> None:
    loop = asyncio.get_running_loop()
    tokens = prose(num_tokens)
    server = await loop.create_server(lambda: Player(tokens), "127.0.0.1", port, backlog=2048)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
