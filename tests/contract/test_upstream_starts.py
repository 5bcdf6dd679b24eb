"""What is told at the start of upstreams that cannot be used."""

from __future__ import annotations

from typing import Any

import pytest

from leafstream.errors import (
    SetupError,
)
from tests.contract.upstreams import JSON, opened
from tests.rude_server import (
    CHAT,
    MODEL,
    MODELS,
    Answer,
    RudeServer,
    serving,
)

STARTS: dict[str, tuple[dict[str, list[Answer]], dict[str, Any], str]] = {
    "a web page": (
        {MODELS: [Answer((b"<html>",), kind="text/html")]},
        {},
        "is no OpenAI-compatible API: GET /v1/models gives a web page; set LEAFSTREAM_UPSTREAM",
    ),
    "another JSON": (
        {MODELS: [Answer((b'{"ok": true}',), kind=JSON)]},
        {},
        "is no OpenAI-compatible API",
    ),
    "a wrong path": ({MODELS: [Answer(status=404, kind=JSON)]}, {}, "often ends in /v1"),
    "no key": ({MODELS: [Answer(status=401, kind=JSON)]}, {}, "set LEAFSTREAM_UPSTREAM_KEY"),
    "not HTTP": ({MODELS: [Answer((b"220 smtp\r\n",), raw=True)]}, {}, "is not HTTP"),
    "no models": ({MODELS: [Answer((b'{"data": []}',), kind=JSON)]}, {}, "serves no model yet"),
    "another model": ({}, {"model": "big-70b"}, f"set LEAFSTREAM_MODEL to one of: {MODEL}"),
    "several models": (
        {MODELS: [Answer((b'{"data": [{"id": "a"}, {"id": "b"}]}',), kind=JSON)]},
        {},
        "serves a, b; set LEAFSTREAM_MODEL to one of them",
    ),
    "no window": ({}, {"context_window": None}, "set LEAFSTREAM_CONTEXT_WINDOW"),
    "another vendor": ({}, {"vendor": "vlm"}, "'vlm' is none of: auto, vllm, sglang"),
    "a window beyond it": (
        {
            MODELS: [
                Answer(
                    (b'{"data": [{"id": "rude-1b", "owned_by": "vllm", "max_model_len": 1024}]}',),
                    kind=JSON,
                )
            ]
        },
        {},
        "it serves 1024; set LEAFSTREAM_CONTEXT_WINDOW",
    ),
    "no chats": ({CHAT: [Answer(status=404, kind=JSON)]}, {}, "writes nothing: the upstream does"),
}


@pytest.mark.parametrize("case", STARTS)
async def test_an_upstream_that_cannot_be_used_is_told_at_the_start(case: str) -> None:
    answers, options, says = STARTS[case]
    server = RudeServer(answers)
    async with serving(server):
        with pytest.raises(SetupError) as raised:
            await opened(server.url, **options)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1:9", "http://127.0.0.1:9: nothing listens there; start the server"),
        ("ftp://127.0.0.1", "is no http(s) URL"),
        ("http://user:sesame@127.0.0.1", "'http://user:***@127.0.0.1' holds more than a host"),
        ("http://:sesame@127.0.0.1", "holds more than a host and a path"),
        ("http://127.0.0.1/v1?key=sesame", "holds more than a host and a path"),
        ("http://user:sesame/@127.0.0.1", "'http://user:***@127.0.0.1' is no http(s) URL"),
        ("http://127.0.0.1:99999", "is no http(s) URL"),
        ("http://[::1", "is no http(s) URL"),
    ],
)
async def test_a_url_where_nothing_can_be_is_told_at_the_start(url: str, says: str) -> None:
    with pytest.raises(SetupError) as raised:
        await opened(url)
    assert says in str(raised.value)
    assert "sesame" not in str(raised.value)


async def test_upstreams_of_two_models_are_refused_at_the_start() -> None:
    other = Answer((b'{"data": [{"id": "other", "owned_by": "rude"}]}',), kind=JSON)
    first, second = RudeServer(), RudeServer({MODELS: [other]})
    async with serving(first), serving(second):
        with pytest.raises(SetupError, match="servers of one kind and model"):
            await opened(first.url, second.url)
