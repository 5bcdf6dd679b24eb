"""The socket that a server listens on."""

from __future__ import annotations

import asyncio
import socket

from leafstream.port import bound_socket


async def test_what_is_written_is_sent_at_once() -> None:
    """Nagle's algorithm would hold back every response but the first of a connection for 40 ms."""
    at_once: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def accepted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        at_once.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listener = bound_socket("127.0.0.1", 0)
    async with await asyncio.start_server(accepted, sock=listener):
        _, writer = await asyncio.open_connection(*listener.getsockname())
        assert await at_once
        writer.close()
