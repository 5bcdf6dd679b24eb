"""What stands between the chatbot and its users: a relay like its Spring server, and a bad line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from leafstream.port import bound_socket


class Relay:
    """Asks the chatbot what it is asked, and sends each event on by its name and data alone."""

    def __init__(self, upstream: str) -> None:
        self._http = httpx2.AsyncClient(base_url=upstream, timeout=30, trust_env=False)

    async def answer(self, request: Request) -> Response:
        asked = self._http.build_request(
            "GET",
            f"/ai{request.url.path}",
            params=dict(request.query_params),
            headers={"Accept": "text/event-stream"},
        )
        upstream = await self._http.send(asked, stream=True)
        if upstream.status_code != 200:
            body = await upstream.aread()
            return Response(body, upstream.status_code, media_type="application/json")
        return StreamingResponse(self._events(upstream), media_type="text/event-stream")

    async def _events(self, upstream: httpx2.Response) -> AsyncIterator[bytes]:
        try:
            async for sent in httpx2.EventSource(upstream):
                if sent.data:
                    data = json.dumps(json.loads(sent.data), ensure_ascii=False)
                    yield f"event:{sent.event}\ndata:{data}\n\n".encode()
                if sent.event in ("close", "error"):
                    return
        finally:
            await upstream.aclose()


@asynccontextmanager
async def relay(upstream: str) -> AsyncIterator[str]:
    """A relay before the chatbot at `upstream`; its URL."""
    forwarding = Relay(upstream)
    app = Starlette(routes=[Route("/chatbot/{path:path}", forwarding.answer)])
    with bound_socket("127.0.0.1", 0) as listener:
        config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=2)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve([listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving
            await forwarding._http.aclose()


class Line:
    """A TCP proxy that breaks off the next streams after so many bytes, their heads included."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.breaks: list[int] = []
        self.num_broken = 0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, sending = await asyncio.open_connection("127.0.0.1", self._port)
        there = asyncio.create_task(self._pump(reader, sending, None))
        try:
            await self._pump(upstream, writer, self)
        finally:
            there.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await there
            for one in (sending, writer):
                one.close()

    @staticmethod
    async def _pump(
        source: asyncio.StreamReader, target: asyncio.StreamWriter, line: Line | None
    ) -> None:
        num_bytes, limit = 0, None
        with suppress(ConnectionError):
            while data := await source.read(512):
                if limit is None and line is not None and b"text/event-stream" in data:
                    limit = line.breaks.pop(0) if line.breaks else None
                    num_bytes = 0
                num_bytes += len(data)
                if line is not None and limit is not None and num_bytes > limit:
                    target.write(data[: max(0, len(data) - (num_bytes - limit))])
                    await target.drain()
                    line.num_broken += 1
                    return
                target.write(data)
                await target.drain()


@asynccontextmanager
async def bad_line(url: str) -> AsyncIterator[tuple[str, Line]]:
    """A proxy before the server at `url`: its own URL, and the line to be broken."""
    line = Line(httpx2.URL(url).port or 80)
    server = await asyncio.start_server(line.carry, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", line
