"""What every face says alike of a refusal, whatever the shape of its body."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from leafstream.engines.base import Prompt
from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.errors import (
    EngineUnavailable,
    Interrupted,
    LeafstreamError,
    NotFound,
    Overloaded,
    RateLimited,
)
from leafstream.keys import add_key
from leafstream.messages import Messages
from leafstream.reporting import TextRecords
from leafstream.top import parse
from tests.apps.leafresh.chatbot import FREE_TEXT, chatbot
from tests.house import House

TURN = {"role": "user", "content": "텀블러 챌린지"}
NATIVE = ("POST", "/v1/answers", {"assistant": "leafresh", "input": "텀블러 챌린지"})
CHAT = ("POST", "/v1/chat/completions", {"model": "leafresh", "messages": [TURN]})
RESPONSES = ("POST", "/v1/responses", {"model": "leafresh", "input": "텀블러 챌린지"})
CHATBOT = ("GET", f"{FREE_TEXT}?sessionId=s&message=텀블러 챌린지", None)
FACES = [NATIVE, CHAT, RESPONSES, CHATBOT]


class Refusing(ScriptedEngine):
    """Refuses every prompt with an error that a test sets."""

    error: LeafstreamError

    async def prompt(self, messages: Messages, template: str | None = None) -> Prompt:  # noqa: ARG002
        raise self.error


async def refused(served: House) -> list[httpx2.Response]:
    """What each face answers to a question."""
    return [await served.http.request(how, path, json=body) for how, path, body in FACES]


async def refusals(served: House) -> dict[str, float]:
    metrics = (await served.http.get("/metrics")).text
    return parse(metrics, 0).by("leafstream_refusals_total", "code")


@pytest.mark.parametrize("in_stream", [False, True])
async def test_every_face_says_when_to_ask_again_and_every_refusal_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, in_stream: bool
) -> None:
    said = [
        (EngineUnavailable("busy", retry_after=7.5), "8"),
        (EngineUnavailable("gone"), None),
        (RateLimited("enough", retry_after=5), "5"),
        (Overloaded("full", retry_after=5), "5"),
        (Interrupted("stopping"), "1"),
        (NotFound("nothing"), None),
    ]
    engine = Refusing("")
    async with chatbot(tmp_path, engine, leafresh_errors_in_stream=in_stream) as served:
        for engine.error, after in said:
            caplog.clear()
            with caplog.at_level("INFO", "leafstream.access"):
                told = await refused(served)
            last = [None] if in_stream else []  # of a stream with status 200
            afters = [response.headers.get("Retry-After") for response in told]
            assert afters == [*[after] * (4 - len(last)), *last]
            codes = [record.__dict__["fields"]["code"] for record in caplog.records]
            assert codes == [engine.error.code] * 4
        assert await refusals(served) == {
            "engine_unavailable": 8,
            "rate_limited": 4,
            "overloaded": 4,
            "interrupted": 4,
            "not_found": 4,
        }


async def test_every_face_says_when_to_ask_again_where_an_answer_that_had_begun_failed(
    tmp_path: Path,
) -> None:
    away = Play(fail_after=1, failure=EngineUnavailable("busy", retry_after=60))
    async with chatbot(tmp_path, ScriptedEngine('{"recommend": "a"}', away)) as served:
        *told, _ = await refused(served)  # the last is a stream with status 200
    assert [response.headers.get("Retry-After") for response in told] == ["60"] * 3


async def test_every_face_says_how_to_come_in_where_a_key_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    add_key(file, "me")
    async with chatbot(tmp_path, keys_file=file) as served:
        told = await refused(served)
    assert [response.status_code for response in told] == [401] * 4
    assert [response.headers["WWW-Authenticate"] for response in told] == ["Bearer"] * 4


async def test_a_whole_answer_that_fails_is_an_error_in_the_access_log_of_every_face(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with chatbot(tmp_path, ScriptedEngine("no JSON", Play(constrains=False))) as served:
        with caplog.at_level("INFO", "leafstream.access"):
            for how, path, body in (NATIVE, CHAT, RESPONSES):
                assert (await served.http.request(how, path, json=body)).status_code == 502
    assert [record.__dict__["fields"]["code"] for record in caplog.records] == [
        "invalid_answer"
    ] * 3


@pytest.mark.parametrize("path", ["/v1/responses/%s", f"{FREE_TEXT}/%s", "/v1/answers/%s"])
async def test_a_path_is_logged_as_it_was_sent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    sent = path % "%1b[31mx%0A2026-11-24T00:00:00.000Z ERROR leafstream.keys: forged"
    caplog.set_level("INFO", "leafstream")
    async with chatbot(tmp_path) as served:
        assert (await served.http.get(sent)).status_code == 404
    told = "\n".join(map(TextRecords().format, caplog.records))
    assert "\x1b" not in told
    assert "\n2026-11-24T00:00:00.000Z ERROR" not in told
    assert "%1b" in told.lower()
