"""A whole server for tests: the real app on a real socket, by default with the scripted engine."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field

from leafstream import Assistant
from leafstream.app import LeafstreamApp
from leafstream.engines.base import Engine
from leafstream.engines.scripted import ScriptedEngine
from leafstream.events import Event, decode
from leafstream.faces.parts import Parts
from leafstream.log.choice import open_storage
from leafstream.served import Served
from leafstream.server import Listening
from leafstream.settings import Settings
from leafstream.store.conversations import Conversations


class Pair(BaseModel):
    title: str = Field(max_length=80)
    count: int = Field(ge=0)


pair = Assistant(Pair, instructions="Answer with a title and a count.")
chat = Assistant(instructions="Be brief.")
ASSISTANTS = {"pair": pair, "chat": chat}
PAIR_TEXT = '{"title":"Bring a cup","count":3}'
ASK_PAIR = {"assistant": "pair", "input": {"message": "go"}}
STREAM = {"Accept": "text/event-stream"}


class House(msgspec.Struct, frozen=True):
    """A running server: its app, and a client of its URL."""

    url: str
    app: LeafstreamApp
    http: httpx2.AsyncClient

    async def stream(self, body: dict[str, Any], **headers: str) -> list[tuple[int, Event]]:
        """POST /v1/answers and read the stream to its end."""
        async with self.http.stream(
            "POST", "/v1/answers", json=body, headers={**STREAM, **headers}
        ) as response:
            assert response.status_code == 200, await response.aread()
            return await numbered(response)

    async def begin(self, body: dict[str, Any]) -> str:
        """Start an answer in the background; its id."""
        request = self.http.build_request(
            "POST", "/v1/answers", json={**body, "background": True}, headers=STREAM
        )
        response = await self.http.send(request, stream=True)
        assert response.status_code == 200, await response.aread()
        await response.aclose()
        return str(response.headers["Leafstream-Answer"])

    async def replay(self, answer: str, after: int = 0) -> list[tuple[int, Event]]:
        path = f"/v1/answers/{answer}/events"
        async with self.http.stream("GET", path, params={"after": after}) as response:
            return await numbered(response)


_empty: list[bytes] = []


async def _migrated() -> bytes:
    """An empty database with today's tables; the first house migrates one, the rest copy it."""
    if not _empty:
        with TemporaryDirectory() as folder:
            file = Path(folder) / "empty.db"
            await (await Conversations.open(f"sqlite:///{file}")).close()
            _empty.append(file.read_bytes())
    return _empty[0]


def _begin(file: Path, empty: bytes) -> None:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(empty)


@asynccontextmanager
async def house(
    folder: Path,
    engine: Engine | None = None,
    assistants: dict[str, Assistant] | None = None,
    routers: tuple[Callable[[Parts], APIRouter], ...] = (),
    served: Served | None = None,
    **settings: Any,
) -> AsyncIterator[House]:
    """A server over a database in `folder`; what is in `settings` differs from the defaults."""
    file = folder / "test.db"
    given = {"database_url": f"sqlite:///{file}", "drain_seconds": 0.0, **settings}
    if "database_url" not in settings:
        _begin(file, await _migrated())
    read = Settings(_env_file=None, **given)  # type: ignore[call-arg]
    store = await Conversations.open(read.database)
    engine = engine or ScriptedEngine(PAIR_TEXT)
    storage = await open_storage(read.answers)
    app = LeafstreamApp(
        read, engine, served or Served(assistants or ASSISTANTS, routers), store, storage
    )
    async with (
        Listening(app) as url,
        httpx2.AsyncClient(base_url=url, timeout=30, trust_env=False, verify=False) as http,
    ):
        yield House(url, app, http)


async def numbered(response: httpx2.Response) -> list[tuple[int, Event]]:
    """The (id, event) pairs of a stream, read to its end."""
    return [
        (int(sent.id), decode(sent.event, sent.data.encode()))
        async for sent in httpx2.EventSource(response)
        if sent.data
    ]


def kinds(events: list[tuple[int, Event]]) -> list[str]:
    return [event.kind for _, event in events]


def texts(events: list[tuple[int, Event]]) -> dict[str, str]:
    """The text of each path, joined."""
    joined: dict[str, str] = {}
    for _, event in events:
        if event.kind == "text":
            data = json.loads(msgspec.json.encode(event))
            joined[data["path"]] = joined.get(data["path"], "") + data["text"]
    return joined
