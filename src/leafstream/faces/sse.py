"""Server-Sent Events (WHATWG HTML, section 9.2): the one place where frames are written."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sized
from contextlib import aclosing
from typing import Generic, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from leafstream.events import encode
from leafstream.log import Batch, Entry

logger = logging.getLogger("leafstream.sse")

RETRY_MS = 1000
OPENING = b": leafstream\n\n"
PREAMBLE = f"retry: {RETRY_MS}\n".encode() + OPENING
HEARTBEAT = b": still here\n\n"
HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
# Line ends to careless readers (str.splitlines, httpx's iter_lines) though not to the standard.
_LINE_ENDS = (
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
    ("\u0085".encode(), b"\\u0085"),
)

Write = Callable[[Batch], bytes]
B = TypeVar("B", bound=Sized)


def one_line(data: bytes) -> bytes:
    """JSON that no reader of lines can split, whatever it takes for a line end."""
    if not data.isascii():
        for raw, escaped in _LINE_ENDS:
            data = data.replace(raw, escaped)
    return data


def frame(entry: Entry) -> bytes:
    """One event on the wire; its data is one line of JSON in any reader's eyes."""
    event = entry.event
    return b"id: %d\n%b" % (entry.number, typed_frame(event.kind, encode(event)))


def typed_frame(kind: str, data: bytes) -> bytes:
    """An event with its type and no id, as other protocols have it."""
    return b"event: %b\n%b" % (kind.encode(), data_frame(data))


def data_frame(data: bytes) -> bytes:
    return b"data: %b\n\n" % one_line(data)


def native(batch: Batch) -> bytes:
    """The frames of a batch in leafstream's own protocol, written once for all its readers."""
    if batch.wire is None:
        batch.wire = b"".join(map(frame, batch))
    return batch.wire


class EventStream(Response, Generic[B]):
    """A response that writes each batch as it comes, and a heartbeat for an empty one.

    `opening` is sent at once. `batches` is closed when the stream ends, when the client hangs up,
    and when it takes nothing for `stall` seconds: then the connection is broken off, and the client
    resumes.
    """

    def __init__(
        self,
        batches: AsyncGenerator[B, None],
        write: Callable[[B], bytes],
        stall: float = 30.0,
        opening: bytes = PREAMBLE,
    ) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._batches = batches
        self._write = write
        self._stall = stall
        self._opening = opening
        self._num_sent = 0
        self._is_sending = False
        self._given_up = False

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.current_task()
        assert sending is not None
        watching = asyncio.create_task(self._until_gone(receive, sending))
        self._check_stall(sending, -1)
        try:
            async with aclosing(self._batches) as batches:
                await self._send_all(batches, send)
        except asyncio.CancelledError:
            if not self._given_up:
                raise
            sending.uncancel()
        finally:
            self._timer.cancel()
            watching.cancel()
            await asyncio.wait({watching})

    async def _send_all(self, batches: AsyncGenerator[B, None], send: Send) -> None:
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        await send({"type": "http.response.body", "body": self._opening, "more_body": True})
        async for batch in batches:
            body = self._write(batch) if batch else HEARTBEAT
            if body:
                self._is_sending = True
                await send({"type": "http.response.body", "body": body, "more_body": True})
                self._is_sending = False
                self._num_sent += 1
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _until_gone(self, receive: Receive, sending: asyncio.Task[object]) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._give_up(sending)

    def _check_stall(self, sending: asyncio.Task[object], before: int) -> None:
        """Look once in a while, so that a write costs no timer of its own."""
        if self._is_sending and self._num_sent == before:
            logger.info("a reader took nothing for %g seconds and was let go", self._stall)
            self._give_up(sending)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._stall, self._check_stall, sending, self._num_sent)

    def _give_up(self, sending: asyncio.Task[object]) -> None:
        if not self._given_up:
            self._given_up = True
            sending.cancel()
