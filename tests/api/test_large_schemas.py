"""Schemas of callers that a real engine could not bear."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

from leafstream.engines.llamacpp import LlamaCppEngine, LlamaCppOptions
from tests import bombs
from tests.house import house

GAP_SECONDS = 10.0
"""Between two tokens; llama.cpp stood still for minutes."""


async def test_a_schema_too_large_for_the_engine_is_a_422_while_other_streams_go_on(
    tmp_path: Path, model_path: Path
) -> None:
    engine = await LlamaCppEngine.open(model_path, LlamaCppOptions(context_window=512, slots=2))
    async with house(tmp_path, engine) as served:
        longest = 0.0

        async def listen() -> None:
            nonlocal longest
            ask = {"assistant": "chat", "input": {"message": "Count to a hundred."}}
            stream = {"Accept": "text/event-stream"}
            async with served.http.stream("POST", "/v1/answers", json=ask, headers=stream) as sent:
                assert sent.status_code == 200
                last = time.perf_counter()
                async for _ in sent.aiter_lines():
                    longest = max(longest, time.perf_counter() - last)
                    last = time.perf_counter()

        listening = asyncio.create_task(listen())
        for raw in bombs.TOO_LARGE_FOR_A_GRAMMAR.values():
            response = await served.http.post("/v1/answers", json={"input": "x", "schema": raw})
            error = response.json()["error"]
            assert (response.status_code, error["code"]) == (422, "unsupported_schema")
            assert "declare fewer members" in error["message"]
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        assert 0 < longest < GAP_SECONDS
