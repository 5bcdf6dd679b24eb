"""What callers of whole answers get from a server that stops; its log lives in memory."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2

from tests.serving import serving

NATIVE = ("/v1/answers", {"assistant": "chat", "input": {"message": "go"}})
CHAT = (
    "/v1/chat/completions",
    {"model": "chat", "messages": [{"role": "user", "content": "go"}]},
)


def words(count: int) -> str:
    return " ".join(f"word {n}" for n in range(count))


async def stopped_while_asked(
    folder: Path, asks: list[tuple[str, object]], script: str, drain_seconds: float
) -> list[httpx2.Response]:
    """The responses to questions that are being answered when the server is told to stop."""
    settings: dict[str, Any] = {"answers_url": "memory:", "drain_seconds": drain_seconds}
    async with (
        serving(folder, script, 0.02, **settings) as server,
        httpx2.AsyncClient(base_url=server.url, trust_env=False, verify=False, timeout=60) as http,
    ):
        asked = [asyncio.create_task(http.post(path, json=body)) for path, body in asks]
        while True:
            ready = (await http.get("/readyz")).json()
            if ready["slots"] - ready["free_slots"] == len(asks):
                break
            await asyncio.sleep(0.02)
        await server.stop()
        return await asyncio.gather(*asked)


async def test_a_whole_answer_that_a_stopping_server_gives_up_may_be_asked_for_again(
    tmp_path: Path,
) -> None:
    for response in await stopped_while_asked(tmp_path, [NATIVE, CHAT], words(1500), 0.1):
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "1"
        assert "ask again" in response.json()["error"]["message"]


async def test_a_whole_answer_that_ends_while_the_server_drains_is_given(tmp_path: Path) -> None:
    (response,) = await stopped_while_asked(tmp_path, [NATIVE], words(20), 20)
    assert response.status_code == 200
    assert response.json()["value"] == words(20)
