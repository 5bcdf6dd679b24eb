"""A real model that knows Hangul, through the whole house."""

from __future__ import annotations

from pathlib import Path

import pytest

from leafstream.engines.llamacpp import LlamaCppEngine, LlamaCppOptions
from leafstream.errors import SetupError
from leafstream.models.fetch import cache_folder, resolve
from tests.apps.leafresh.chatbot import BASE_INFO, FREE_TEXT, SOMEBODY, chatbot, text, told


@pytest.fixture(scope="module")
def gemma() -> Path:
    try:
        return resolve("gemma3-270m", cache=cache_folder())
    except SetupError as error:
        pytest.skip(f"the model is not to be had: {error.message}")


@pytest.mark.timeout(400)
async def test_a_real_model_goes_on_in_a_session_with_a_valid_answer(
    tmp_path: Path, gemma: Path
) -> None:
    async with chatbot(tmp_path) as served:
        await told(served.http, BASE_INFO, {**SOMEBODY, "category": "비건"})
    options = LlamaCppOptions(name="gemma3-270m", context_window=2048, slots=1)
    engine = await LlamaCppEngine.open(gemma, options)
    async with chatbot(tmp_path, engine) as served:
        served.http.timeout = 300
        asked = {"sessionId": "s1", "message": "더 쉬운 걸로 바꿔 줘"}
        events = await told(served.http, FREE_TEXT, asked)
        info = (await served.http.get("/ai/chatbot/info")).json()
    assert [sent.event for sent in events if sent.event != "challenge"] == ["close"]
    data = events[-1].data["data"]
    assert [one["category"] for one in data["challenges"]] == ["VEGAN"] * 3
    fields = [one[name] for one in data["challenges"] for name in ("title", "description")]
    assert text(events) == "\n".join([data["recommend"], *fields])
    assert all(field.strip() for field in fields)
    assert info["note"] is None
    assert info["tokens_per_syllable"] < 1
