"""HTTP/1.1 over asyncio and httptools: as little as there can be between socket and parser.

A gateway reads the network once per token and stream, so what a read costs bounds how many streams
a core carries. docs/upstreams.md has the figures of this beside httpx2 and aiohttp.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast
from urllib.parse import urlsplit

import httptools
import msgspec

from leafstream.engines.openai.failures import (
    FOREIGN,
    Source,
    UpstreamUnavailable,
    unavailable,
    upstream_errors,
)
from leafstream.settings import shown_url

# Servers of this kind close idle connections after 5 s (llama.cpp, uvicorn).
_IDLE_SECONDS = 3.0
_END_SECONDS = 0.5
_HIGH_WATER = 1 << 20
_MAX_BODY = 16 << 20


class Target(msgspec.Struct, frozen=True):
    """Where requests go. `base` is the path before `/chat/completions`, `root` the server's own."""

    url: str
    host: str
    port: int
    tls: bool
    base: str
    root: str

    def path(self, path: str) -> str:
        """The path on the wire of one in the vendors' table."""
        return self.base + path.removeprefix("/v1") if path.startswith("/v1/") else self.root + path


def target_of(url: str) -> Target:
    """Raises ValueError for what is no http(s) URL."""
    given = url if "://" in url else f"http://{url}"
    told = shown_url(given)
    wrong = ValueError(f"{told!r} is no http(s) URL")
    try:
        parts = urlsplit(given)
        port = parts.port
    except ValueError:  # which quotes a password that looks like a port
        raise wrong from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise wrong
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"{told!r} holds more than a host and a path")
    tls = parts.scheme == "https"
    base = parts.path.rstrip("/") or "/v1"
    shown = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    return Target(
        url=shown,
        host=parts.hostname,
        port=port or (443 if tls else 80),
        tls=tls,
        base=base,
        root=base.removesuffix("/v1"),
    )


class _Connection(asyncio.Protocol):
    """One request at a time. What arrives is collected until it is read."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._paused = False
        self._ending: Exception | None = None
        self.idle_since = 0.0
        self._reset()

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self._headed = False
        self.headers: dict[str, str] = {}
        self.complete = False

    @property
    def status(self) -> int:
        return self._parser.get_status_code() if self._headed else 0

    @property
    def can_be_kept(self) -> bool:
        return self.complete and self._ending is None and self._parser.should_keep_alive()

    def is_fresh(self) -> bool:
        return self._ending is None and time.monotonic() - self.idle_since < _IDLE_SECONDS

    def send(self, data: bytes) -> None:
        assert self._transport is not None
        self._reset()
        self._transport.write(data)

    def abort(self) -> None:
        """Hang up: the server stops generating for this connection."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()

    async def head(self, seconds: float, waiting: str) -> None:
        """Wait for the status and the headers."""
        while not self._headed:
            await self._arrived(seconds, waiting)

    async def read(self, seconds: float, waiting: str) -> bytes:
        """What has arrived of the body since the last call, waiting for some; b"" at its end.

        Raises TimeoutError after `seconds` of silence.
        """
        while not self._body:
            if self.complete:
                return b""
            await self._arrived(seconds, waiting)
        data, self._body = bytes(self._body), bytearray()
        if self._paused:
            self._resume()
        return data

    async def _arrived(self, seconds: float, waiting: str) -> None:
        if self._ending is not None:
            raise self._ending
        self._waiter = self._loop.create_future()
        self._expect(seconds)
        try:
            await self._waiter
        except TimeoutError:
            raise TimeoutError(f"no {waiting} within {seconds:g} s") from None
        finally:
            self._waiter = None

    def _expect(self, seconds: float) -> None:
        # One timer for many reads: it looks at the deadline when it fires, and is set anew then.
        self._deadline = self._loop.time() + seconds
        if self._timer is not None and self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look)
        else:
            self._waiter.set_exception(TimeoutError())

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end(self, error: Exception) -> None:
        self._ending = self._ending or error
        self._wake()

    def _resume(self) -> None:
        self._paused = False
        if self._transport is not None:
            self._transport.resume_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(error)
            self.abort()
        if len(self._body) > _HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        sized = {"content-length", "transfer-encoding"} & self.headers.keys()
        if self._headed and not sized:
            self.complete = True  # the end of the connection is the end of such a body
        self._end(error or asyncio.IncompleteReadError(b"", None))
        if self._timer is not None:
            self._timer.cancel()

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._headed = True

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        self.complete = True


class Reply:
    """An answer whose body is still arriving."""

    def __init__(self, connection: _Connection, source: Source) -> None:
        self._connection = connection
        self._source = source
        self.status = connection.status
        self.headers = connection.headers

    async def read(self, seconds: float, waiting: str = "answer") -> bytes:
        """The next bytes, all that have arrived; b"" at the end. Raises UpstreamUnavailable."""
        try:  # not upstream_errors, which costs a microsecond where one is spent on each token
            return await self._connection.read(seconds, waiting)
        except FOREIGN as error:
            raise unavailable(self._source, error) from None

    async def ended(self) -> None:
        """Wait a moment for the end of the body, so that the connection can be kept."""
        try:
            while await self.read(_END_SECONDS):
                pass
        except UpstreamUnavailable:
            return  # it had said all that was wanted: only the connection is lost

    async def body(self, seconds: float) -> bytes:
        """All of it. Raises UpstreamUnavailable, also where it is larger than any answer is."""
        data = bytearray()
        while piece := await self.read(seconds):
            data += piece
            if len(data) > _MAX_BODY:
                name, size = self._source.name, _MAX_BODY >> 20
                raise UpstreamUnavailable(f"{name} sends more than {size} MiB")
        return bytes(data)


class Client:
    """Requests to one target, over connections that are kept while they are fresh."""

    def __init__(
        self, target: Target, key: str | None, connect_seconds: float, name: str = "the upstream"
    ) -> None:
        self._target = target
        self.source = Source(target.url, key, name)
        self._connect_seconds = connect_seconds
        self._tls = ssl.create_default_context() if target.tls else None
        self._idle: list[_Connection] = []
        self._busy: set[_Connection] = set()
        named = f"[{target.host}]" if ":" in target.host else target.host
        lines = [f"Host: {named}:{target.port}", "User-Agent: leafstream"]
        if key:
            lines.append(f"Authorization: Bearer {key}")
        self._lines = "\r\n".join(lines)
        self._closed = False

    @property
    def target(self) -> Target:
        return self._target

    @asynccontextmanager
    async def request(
        self, path: str, body: bytes | None = None, seconds: float = 30.0
    ) -> AsyncIterator[Reply]:
        """POST the body, or GET without one; leaving the context early hangs up.

        `seconds` are for the status line. Raises UpstreamUnavailable.
        """
        head = self._head(self._target.path(path), body)
        with upstream_errors(self.source):
            connection = await self._sent(head + (body or b""), seconds)
        self._busy.add(connection)
        try:
            yield Reply(connection, self.source)
        finally:
            self._busy.discard(connection)
            if connection.can_be_kept and not self._closed:
                connection.idle_since = time.monotonic()
                self._idle.append(connection)
            else:
                connection.abort()

    def _head(self, path: str, body: bytes | None) -> bytes:
        lines = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\n{self._lines}\r\n"
        if body is not None:
            lines += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"{lines}\r\n".encode()

    async def _sent(self, data: bytes, seconds: float) -> _Connection:
        while self._idle:
            kept = self._idle.pop()
            if not kept.is_fresh():
                kept.abort()
                continue
            try:
                return await self._asked(kept, data, seconds)
            except (asyncio.IncompleteReadError, ConnectionError):
                continue  # the server closed it while it was idle: nothing was read of this one
        return await self._asked(await self._connected(), data, seconds)

    async def _asked(self, connection: _Connection, data: bytes, seconds: float) -> _Connection:
        self._busy.add(connection)
        try:
            connection.send(data)
            await connection.head(seconds, "answer")
        except BaseException:
            connection.abort()
            raise
        finally:
            self._busy.discard(connection)
        return connection

    async def _connected(self) -> _Connection:
        if self._closed:
            raise UpstreamUnavailable("the engine is closed")
        loop = asyncio.get_running_loop()
        target = self._target
        try:
            async with asyncio.timeout(self._connect_seconds):
                _, connection = await loop.create_connection(
                    _Connection, target.host, target.port, ssl=self._tls
                )
        except TimeoutError:
            raise TimeoutError(f"no connection within {self._connect_seconds:g} s") from None
        return connection

    def close(self) -> None:
        """Hang up everywhere; who is reading gets UpstreamUnavailable."""
        self._closed = True
        for connection in (*self._idle, *self._busy):
            connection.abort()
        self._idle.clear()
