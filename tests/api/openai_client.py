"""OpenAI's own client of a house."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from openai.types.responses import ResponseStreamEvent

from leafstream.engines.base import Engine
from tests.house import House, house

DELTA = "response.output_text.delta"


@asynccontextmanager
async def openai_house(
    folder: Path, engine: Engine | None = None, **settings: Any
) -> AsyncIterator[tuple[House, AsyncOpenAI]]:
    async with (
        house(folder, engine, **settings) as served,
        DefaultAsyncHttpxClient(trust_env=False, verify=False) as http,
        AsyncOpenAI(
            base_url=f"{served.url}/v1", api_key="none", max_retries=0, http_client=http
        ) as client,
    ):
        yield served, client


async def events_of(stream: Any) -> list[ResponseStreamEvent]:
    return [event async for event in stream]


def text_of(events: list[ResponseStreamEvent]) -> str:
    return "".join(e.delta for e in events if e.type == "response.output_text.delta")


def numbers(events: list[ResponseStreamEvent]) -> list[int]:
    return [event.sequence_number for event in events]
