"""A client that costs little: it reads one answer over plain sockets and checks what it reads."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import msgspec

Frame = tuple[int, str, dict[str, Any]]
ENDS = ("finished", "failed", "cancelled")


class Refused(Exception):
    """The server answers, but not with a stream."""


def request(method: str, path: str, body: bytes = b"", after: int = 0) -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
        f"Last-Event-ID: {after}\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


async def frames(port: int, path: str, body: bytes = b"", after: int = 0) -> AsyncIterator[Frame]:
    """The (id, event, data) of a stream until the connection ends. Raises OSError, Refused."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    writer.write(request("POST" if body else "GET", path, body, after))
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise Refused(head.decode())
        async for frame in _frames(reader):
            yield frame
    finally:
        writer.close()


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[Frame]:
    rest = b""
    while size := int((await reader.readline()).strip() or b"0", 16):
        rest += (await reader.readexactly(size + 2))[:-2]
        *whole, rest = rest.split(b"\n\n")
        for frame in whole:
            if frame.startswith(b"id: "):
                number, kind, data = frame.split(b"\n", 2)
                yield int(number[4:]), kind[7:].decode(), json.loads(data[6:])


class Reading(msgspec.Struct):
    """What one client has of an answer, and what it saw go wrong."""

    answer: str = ""
    last: int = 0
    text: str = ""
    ends: list[str] = []
    doubled: int = 0
    longest_gap: float = 0.0
    value: Any = None
    reconnects: int = 0
    refusals: int = 0

    def take(self, frame: Frame) -> None:
        number, kind, data = frame
        if number <= self.last:
            self.doubled += 1
            return
        self.last = number
        if kind == "started":
            self.answer = data["id"]
        elif kind == "text":
            self.text += data["text"]
        elif kind in ENDS:
            self.ends.append(kind)
            self.value = data.get("value")


class Wishes(msgspec.Struct, frozen=True):
    """How a client behaves: it hangs up by itself with this chance at each event."""

    body: bytes
    path: str = "/v1/answers"
    drop: float = 0.0
    patience: float = 60.0


async def read(ports: Callable[[], Sequence[int]], wishes: Wishes) -> Reading:
    """Ask and read to the end, over every loss, at any of the ports that serve just now."""
    reading = Reading()
    deadline = time.monotonic() + wishes.patience
    heard = time.monotonic()
    path, body = wishes.path, wishes.body
    while not reading.ends and time.monotonic() < deadline:
        try:
            port = random.choice(ports())
            async for frame in frames(port, path, body, reading.last):
                now = time.monotonic()
                if reading.last:
                    reading.longest_gap = max(reading.longest_gap, now - heard)
                heard = now
                reading.take(frame)
                if not reading.ends and random.random() < wishes.drop:
                    break
        except (OSError, asyncio.IncompleteReadError, ValueError):
            await asyncio.sleep(0.05)
        except Refused:
            reading.refusals += 1
            await asyncio.sleep(0.2)
        if reading.answer:
            reading.reconnects += 1
            path, body = f"/v1/answers/{reading.answer}/events", b""
    return reading
