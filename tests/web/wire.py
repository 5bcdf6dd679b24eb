"""A wire between a client and a server that breaks again and again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class Wire:
    """Each connection is cut after `lasts` bytes towards the client; `cuts` counts them."""

    def __init__(self, url: str, lasts: int) -> None:
        self._to = urlsplit(url)
        self._lasts = lasts
        self.cuts = 0

    async def carry(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        server, there = await asyncio.open_connection(self._to.hostname, self._to.port)
        asking = asyncio.create_task(_pour(client, there))
        left = self._lasts
        while left and (piece := await server.read(left)):
            left -= len(piece)
            back.write(piece)
            await back.drain()
        self.cuts += not left
        asking.cancel()
        for writer in (there, back):
            writer.transport.abort() if writer is back and not left else writer.close()


async def _pour(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await source.read(4096):
            to.write(piece)
            await to.drain()


@asynccontextmanager
async def wire(url: str, lasts: int) -> AsyncIterator[tuple[str, Wire]]:
    """The URL of a wire to `url`, and the wire."""
    carried = Wire(url, lasts)
    async with await asyncio.start_server(carried.carry, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", carried
