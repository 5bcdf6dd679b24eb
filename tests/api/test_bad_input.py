"""What is refused, with which words, and that the server is unharmed by it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests import bombs
from tests.house import ASK_PAIR, STREAM, house

LONE_SURROGATE = b'{"assistant":"pair","input":{"message":"\\ud800"}}'
DEEP = b'{"input":"x","schema":' + b'{"items":' * 100_000 + b"{}" + b"}" * 100_000 + b"}"

REFUSED: dict[str, tuple[bytes, int, str, str | None]] = {
    "malformed JSON": (b'{"assistant":', 400, "malformed_body", None),
    "no JSON at all": (b"hello", 400, "malformed_body", None),
    "an empty body": (b"", 400, "malformed_body", None),
    "a body that is a list": (b"[]", 422, "invalid_request", None),
    "bytes that are no UTF-8": (b'{"assistant":"\xff"}', 400, "malformed_body", None),
    "a lone surrogate": (LONE_SURROGATE, 400, "malformed_body", None),
    "a NUL": (b'{"assistant":"pair","input":"a\\u0000b"}', 422, "invalid_request", None),
    "an unknown field": (
        b'{"assistant":"pair","input":"x","colour":1}',
        422,
        "invalid_request",
        "colour",
    ),
    "an unknown assistant": (b'{"assistant":"nobody","input":"x"}', 404, "not_found", "assistant"),
    "neither assistant nor schema": (b'{"input":"x"}', 422, "invalid_request", "assistant"),
    "a wrong type": (
        b'{"assistant":"pair","input":"x","max_tokens":"many"}',
        422,
        "invalid_request",
        "max_tokens",
    ),
    "an input field that is missing": (
        b'{"assistant":"pair","input":{}}',
        422,
        "invalid_request",
        "input.message",
    ),
    "2 MB": (b'{"input":"' + b"x" * 2_000_000 + b'"}', 413, "body_too_large", None),
    "a 100,000-deep schema": (DEEP, 400, "malformed_body", None),
    "a schema with a keyword that is not served": (
        b'{"input":"x","schema":{"type":"object","properties":{"a":{"not":{}}}}}',
        422,
        "unsupported_schema",
        "/properties/a/not",
    ),
    "a schema that is no schema": (
        b'{"input":"x","schema":{"type":"thing"}}',
        422,
        "unsupported_schema",
        "/type",
    ),
    "a max_tokens in which nothing fits": (
        b'{"assistant":"pair","input":"x","max_tokens":1}',
        422,
        "invalid_request",
        "max_tokens",
    ),
    "a conversation that is not there": (
        b'{"assistant":"chat","input":"x","conversation":"conv_none"}',
        404,
        "not_found",
        "conversation",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_bad_input_is_refused_with_a_sentence_and_harms_nothing(
    tmp_path: Path, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    body, status, code, param = REFUSED[case]
    caplog.set_level("INFO", "leafstream")
    async with house(tmp_path) as served:
        response = await served.http.post("/v1/answers", content=body, headers=STREAM)
        error = response.json()["error"]
        assert (response.status_code, error["code"], error["param"]) == (status, code, param)
        assert len(error["message"]) > 10
        (line,) = caplog.records
        assert line.name.startswith("leafstream")
        assert line.exc_info is None
        assert (await served.http.post("/v1/answers", json=ASK_PAIR)).status_code == 200


REFUSALS = {
    "/v1/answers/ans_none": 404,
    "/v1/answers/ans_none/events": 404,
    "/v1/assistants/nobody": 404,
    "/v1/nothing": 404,
    "/v1/answers": 405,
    "/v1/answers/ans_none/events?after=-1": 422,
    "/v1/answers/ans_none/events?after=x": 422,
    "/v1/conversations/conv_none": 404,
    "/v1/conversations?limit=0": 422,
}


async def test_every_refusal_has_the_same_envelope(tmp_path: Path) -> None:
    async with house(tmp_path) as served:
        for path, status in REFUSALS.items():
            response = await served.http.get(path)
            assert response.status_code == status, path
            assert set(response.json()["error"]) == {"code", "message", "param"}


async def test_inline_schemas_can_be_turned_off(tmp_path: Path) -> None:
    body: dict[str, Any] = {"input": "x", "schema": {"type": "object"}}
    async with house(tmp_path, inline_schemas=False) as served:
        response = await served.http.post("/v1/answers", json=body)
    assert response.status_code == 422
    assert response.json()["error"]["param"] == "schema"


async def test_an_inline_schema_is_served_as_an_assistant_is(tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"title": {"type": "string"}, "count": {"type": "integer"}},
        "required": ["title", "count"],
    }
    body = {"input": "x", "schema": schema, "instructions": "Be brief."}
    async with house(tmp_path) as served:
        response = await served.http.post("/v1/answers", json=body)
    assert response.json()["value"] == {"title": "Bring a cup", "count": 3}


async def test_a_body_without_a_content_type_is_read_as_json(tmp_path: Path) -> None:
    async with house(tmp_path) as served:
        response = await served.http.post(
            "/v1/answers",
            content=json.dumps(ASK_PAIR),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
    assert response.status_code == 200


async def test_no_small_schema_holds_up_the_server(tmp_path: Path) -> None:
    async with house(tmp_path) as served:
        for raw, sentence in bombs.REFUSED.values():
            begun = time.perf_counter()
            response = await served.http.post("/v1/answers", json={"input": "x", "schema": raw})
            error = response.json()["error"]
            assert time.perf_counter() - begun < 2, sentence
            assert (response.status_code, error["code"]) == (422, "unsupported_schema")
            assert sentence in error["message"]
        for raw in bombs.SERVED.values():
            begun = time.perf_counter()
            response = await served.http.post("/v1/answers", json={"input": "x", "schema": raw})
            assert time.perf_counter() - begun < 2
            assert response.status_code in (200, 502)
        assert (await served.http.post("/v1/answers", json=ASK_PAIR)).status_code == 200


async def test_the_same_inline_schema_is_parsed_once(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string"}}}
    async with house(tmp_path) as served:
        inline = served.app.runs.inline
        first = await inline.find(schema)
        assert await inline.find(dict(schema)) is first
        for n in range(256):
            await inline.find({"type": "array", "minItems": n})
        assert await inline.find(schema) is not first
