"""A small real HTTP server that misbehaves as it is told: what upstreams do on bad days."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec

MODELS = "/v1/models"
CHAT = "/v1/chat/completions"
MODEL = "rude-1b"
EVENTS = "text/event-stream"
# A server that its test forgot ends by itself.
LONGEST_SECONDS = 60


class Answer(msgspec.Struct, frozen=True):
    """`pieces` are sent one by one, `pause` seconds apart; `raw`: without any HTTP around them.

    `cut`: the connection is closed without the body's end.
    """

    pieces: tuple[bytes, ...] = ()
    status: int = 200
    kind: str = EVENTS
    headers: tuple[str, ...] = ()
    pause: float = 0.0
    wait: float = 0.0
    cut: bool = False
    raw: bool = False


def event(data: Any) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


def token(text: str, finish: str | None = None) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})


USAGE = event({"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 2}})
DONE = b"data: [DONE]\n\n"
GOOD = Answer((token("Good"), token(" day", "stop"), USAGE, DONE))
LISTED = Answer(
    (json.dumps({"data": [{"id": MODEL, "owned_by": "rude"}]}).encode(),), kind="application/json"
)


class RudeServer:
    """`answers` by path: each request takes the next one, and the last one stays."""

    def __init__(self, answers: dict[str, list[Answer]] | None = None) -> None:
        self.answers = {MODELS: [LISTED], CHAT: [GOOD], **(answers or {})}
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.num_open = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def num_asked(self, path: str) -> int:
        return sum(asked == path for asked, _, _ in self.asked)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_open += 1
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            pass  # it is for clients to hang up when they have had enough
        finally:
            self.num_open -= 1
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in rest)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            path = first.split()[1]
            self.asked.append((path, headers, json.loads(body or b"null")))
            known = self.answers.get(path, [Answer(status=404, kind="application/json")])
            answer = known.pop(0) if len(known) > 1 else known[0]
            await self._send(answer, writer)
            if answer.cut or answer.raw:
                return

    async def _send(self, answer: Answer, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(answer.wait)
        if not answer.raw:
            lines = [f"HTTP/1.1 {answer.status} So", f"Content-Type: {answer.kind}"]
            lines += ["Transfer-Encoding: chunked", *answer.headers, "", ""]
            writer.write("\r\n".join(lines).encode())
        for piece in answer.pieces:
            writer.write(piece if answer.raw else b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(answer.pause)
        if not answer.cut and not answer.raw:
            await asyncio.sleep(0.01)  # as servers do: the end comes by itself
            writer.write(b"0\r\n\r\n")
        await writer.drain()


@asynccontextmanager
async def rude_server(*after_start: Answer, **more: list[Answer]) -> AsyncIterator[RudeServer]:
    """A server that is polite while an engine is opened, and then answers chats like this."""
    server = RudeServer({CHAT: [GOOD, *after_start], **more})
    async with serving(server):
        yield server


@asynccontextmanager
async def serving(server: RudeServer) -> AsyncIterator[None]:
    listening = await asyncio.start_server(server.handle, "127.0.0.1", server.port)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        listening.close()
