"""Server-Sent Events (WHATWG HTML, section 9.2): the one place where frames are written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from starlette.responses import StreamingResponse

from leafstream.events import encode
from leafstream.log import Entry

RETRY_MS = 1000
PREAMBLE = f"retry: {RETRY_MS}\n: leafstream\n\n".encode()
HEARTBEAT = b": still here\n\n"
HEADERS = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
# Line ends to careless readers (str.splitlines, httpx's iter_lines) though not to the standard.
_LINE_ENDS = (
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
    ("\u0085".encode(), b"\\u0085"),
)


def frame(entry: Entry) -> bytes:
    """One event on the wire; its data is one line of JSON in any reader's eyes."""
    data = encode(entry.event)
    if not data.isascii():
        for raw, escaped in _LINE_ENDS:
            data = data.replace(raw, escaped)
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (entry.number, entry.event.kind.encode(), data)


async def frames(
    batches: AsyncGenerator[list[Entry], None], heartbeat: float
) -> AsyncIterator[bytes]:
    """A write per batch, from the first second on; a comment where `heartbeat` seconds pass."""
    yield PREAMBLE
    async with aclosing(batches):
        while True:
            waiting = asyncio.ensure_future(anext(batches, None))
            try:
                while not (await asyncio.wait({waiting}, timeout=heartbeat))[0]:
                    yield HEARTBEAT
            finally:
                if not waiting.done():
                    waiting.cancel()
                    await asyncio.wait({waiting})
            batch = waiting.result()
            if batch is None:
                return
            yield b"".join(map(frame, batch))


def stream(batches: AsyncGenerator[list[Entry], None], heartbeat: float) -> StreamingResponse:
    return StreamingResponse(
        frames(batches, heartbeat), media_type="text/event-stream", headers=HEADERS
    )
