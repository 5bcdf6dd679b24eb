"""The chatbot on a real server, and its clients' view of a stream."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from leafstream.engines.base import Engine, Generation
from leafstream.engines.scripted import Script, ScriptedEngine
from leafstream.served import read_served
from tests.house import House, house

BASE_INFO = "/ai/chatbot/recommendation/base-info"
FREE_TEXT = "/ai/chatbot/recommendation/free-text"
OFF_TOPIC = (
    "저는 친환경 챌린지를 추천해드리는 Leafresh 챗봇이에요! "
    "환경 관련 질문을 해주시면 더 잘 도와드릴 수 있어요."
)
SOMEBODY = {
    "sessionId": "s1",
    "location": "도시",
    "workType": "사무직",
    "category": "제로웨이스트",
}
VALUE: dict[str, Any] = {
    "recommend": '그는 "텀블러"를 {꼭} 챙긴다, 매일',
    "challenges": [
        {"title": "텀블러 데이 🌿", "description": "카페에서 내 컵을 내밀어요.\n뚜껑도 챙겨요."},
        {"title": "손수건, 한 장", "description": "휴지 대신 [손수건]으로 손을 닦아요."},
        {"title": "리필 가게", "description": "빈 통을 들고 가요: 100% 리필!"},
    ],
}
ANSWER = json.dumps(VALUE, ensure_ascii=False)
READ = (
    '그는 "텀블러"를 {꼭} 챙긴다, 매일\n'
    "텀블러 데이 🌿\n카페에서 내 컵을 내밀어요.\n뚜껑도 챙겨요.\n"
    "손수건, 한 장\n휴지 대신 [손수건]으로 손을 닦아요.\n"
    "리필 가게\n빈 통을 들고 가요: 100% 리필!"
)


class Sent(msgspec.Struct, frozen=True):
    """An event as a client of the chatbot sees it; `data` is decoded."""

    id: str
    event: str
    data: dict[str, Any]


@asynccontextmanager
async def chatbot(
    folder: Path, engine: Engine | Script = ANSWER, **settings: Any
) -> AsyncIterator[House]:
    """`leafstream serve leafresh`, by default over an engine that writes ANSWER."""
    served = read_served("leafresh")
    scripted = isinstance(engine, str | list) or callable(engine)
    used: Any = ScriptedEngine(engine) if scripted else engine  # type: ignore[arg-type]
    async with house(folder, used, served.assistants, served.routers, **settings) as running:
        yield running


async def told(
    http: httpx2.AsyncClient, path: str, given: dict[str, str], last: str = ""
) -> list[Sent]:
    """The events of a stream, read to its end, as a native EventSource opens it."""
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
    async with http.stream("GET", path, params=given, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        return [
            Sent(sent.id, sent.event, json.loads(sent.data))
            async for sent in httpx2.EventSource(response)
            if sent.data
        ]


def text(events: list[Sent]) -> str:
    """What a client has appended."""
    return "".join(sent.data["data"] for sent in events if sent.event == "challenge")


def user_turns(generation: Generation) -> list[str]:
    return [turn.content for turn in generation.prompt.messages if turn.role == "user"]
