"""What reading an upstream costs: CPU time a token, beside the bare socket and HTTP clients.

    pip install -r bench/requirements.txt && python -m bench.upstream [STREAMS] [TOKENS]

A process of its own sends each token to each stream as vLLM does, one write a token. Measured is
the CPU time of the reader alone, from the first connection to the end of the last stream.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import httpx2
import uvloop

from leafstream.engines.base import Generation
from leafstream.engines.upstream import UpstreamEngine, UpstreamOptions
from leafstream.messages import Message

GAP_SECONDS = 0.004
PATH = "/v1/chat/completions"
REQUEST = {"model": "fake", "messages": [{"role": "user", "content": "a"}], "stream": True}
CHUNK = {
    "id": "chatcmpl-9d06e08c7a0c3b029d06e08c7a0c3b02",
    "object": "chat.completion.chunk",
    "created": 1795499668,
    "model": "fake",
    "choices": [
        {"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}
    ],
}
MODELS = {"data": [{"id": "fake", "owned_by": "fake"}]}

# The upstream


async def upstream(tokens: int) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await _answer(reader, writer, tokens)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server, asyncio.timeout(300):
        await server.serve_forever()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tokens: int) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    lengths = [
        line.split(":")[1] for line in head.lower().split("\r\n") if "content-length" in line
    ]
    asked = json.loads(await reader.readexactly(int(lengths[0])) if lengths else b"{}")
    if not asked:
        body = json.dumps(MODELS).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        return
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    piece = _piece(CHUNK)
    for _ in range(min(tokens, asked.get("max_tokens", tokens)) - 1):
        writer.write(piece)
        await asyncio.sleep(GAP_SECONDS)
    last = CHUNK | {"choices": [{"index": 0, "delta": {"content": "."}, "finish_reason": "stop"}]}
    writer.write(_piece(last) + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")


def _piece(event: dict[str, Any]) -> bytes:
    data = f"data: {json.dumps(event)}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


# The readers


async def bare(port: int, streams: int) -> None:
    """The socket alone, through asyncio, nothing parsed."""
    body = json.dumps(REQUEST).encode()

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST %s HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (PATH.encode(), len(body)))
        writer.write(body)
        while not (await reader.read(65536)).endswith(b"0\r\n\r\n"):
            pass
        writer.close()

    await asyncio.gather(*(one() for _ in range(streams)))


async def httpx2_json(port: int, streams: int) -> None:
    """What one writes first: httpx2, its SSE reader, json.loads."""
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(timeout=60, limits=limits, trust_env=False) as client:

        async def one() -> None:
            url = f"http://127.0.0.1:{port}{PATH}"
            async with client.stream("POST", url, json=REQUEST) as response:
                async for sent in httpx2.EventSource(response):
                    if sent.data != "[DONE]":
                        json.loads(sent.data)["choices"][0]["delta"].get("content")

        await asyncio.gather(*(one() for _ in range(streams)))


async def engine(port: int, streams: int) -> None:
    """The engine, to the chunks that the decoder gets."""
    options = UpstreamOptions((f"http://127.0.0.1:{port}",), context_window=100_000)
    opened = await UpstreamEngine.open(options)
    prompt = await opened.prompt((Message("user", "a"),))

    async def one() -> None:
        async with aclosing(opened.generate(Generation(prompt, 50_000))) as chunks:
            async for _ in chunks:
                pass

    await asyncio.gather(*(one() for _ in range(streams)))
    await opened.close()


def measured(reader: Callable[[int, int], Awaitable[None]], port: int, streams: int) -> float:
    begun = time.process_time()
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with runner:
        runner.run(_waited(reader, port, streams))
    return time.process_time() - begun


async def _waited(reader: Callable[[int, int], Awaitable[None]], port: int, streams: int) -> None:
    async with asyncio.timeout(120):
        await reader(port, streams)


def main(streams: int, tokens: int) -> None:
    command = [sys.executable, "-m", "bench.upstream", "upstream", str(tokens)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        try:
            print(f"{streams} streams of {tokens} tokens, one write a token; uvloop")
            for reader in (bare, engine, httpx2_json):
                spent = min(measured(reader, port, streams) for _ in range(3))
                each = 1e6 * spent / (streams * tokens)
                print(f"{reader.__name__:12} {each:6.1f} µs of CPU a token")
        finally:
            process.terminate()


if __name__ == "__main__":
    if sys.argv[1:2] == ["upstream"]:
        asyncio.run(upstream(int(sys.argv[2])))
    else:
        main(*(int(given) for given in (*sys.argv[1:], "20", "1000")[:2]))
