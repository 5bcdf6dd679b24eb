"""The event streams of several servers, cut anywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from leafstream.engines.base import Chunk
from leafstream.engines.openai.failures import Source
from leafstream.engines.openai.wire import Stream
from leafstream.errors import EngineRefused, EngineUnavailable
from leafstream.events import Usage

URL = "http://up"


def sse(*events: Any, end: str = "\n", done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(event, ensure_ascii=False)}{end}{end}" for event in events]
    return "".join([*lines, f"data: [DONE]{end}{end}" if done else ""]).encode()


def chat(text: str | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {"role": "assistant", "content": text}
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, **more}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]}


def completion(text: str, ids: list[int], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "text": text, "finish_reason": finish, "token_ids": ids}
    return {"object": "text_completion", "choices": [choice], "usage": None}


def native(text: str, ids: list[int], predicted: int, **more: Any) -> dict[str, Any]:
    told = {"content": text, "tokens": ids, "stop": False, "tokens_predicted": predicted}
    return {"index": 0, "tokens_evaluated": 3, **told, **more}


USED = {"prompt_tokens": 9, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 4}}
USED_CHUNK = {"choices": [], "usage": USED}

# Each with its text, its count of tokens, and whether every token's id is known.
STREAMS = {
    "a chat": (
        sse(chat(None), chat(" 텀블"), chat("러 😀"), chat("", "stop"), USED_CHUNK),
        " 텀블러 😀",
        7,
        False,
    ),
    "a chat with CRLF and comments": (
        b": hello\r\n\r\nid: 1\r\nevent: message\r\n"
        + sse(chat("a"), chat("b", "length"), end="\r\n"),
        "ab",
        2,
        False,
    ),
    "a chat whose last event has text and reason": (
        sse(chat("a"), chat("b", "eos_token")),
        "ab",
        2,
        False,
    ),
    "a chat that thinks apart": (
        sse(
            {"choices": [{"delta": {"reasoning_content": "hm"}}]},
            {"choices": [{"delta": {"reasoning": "hm"}}]},
            chat("a", "stop"),
        ),
        "a",
        3,
        False,
    ),
    "vLLM by ids": (
        sse(
            completion("", [1]),
            completion("", [2]),
            completion("텀", [3]),
            completion("!", [4], "length"),
        ),
        "텀!",
        4,
        True,
    ),
    "llama.cpp by ids": (
        sse(
            native("", [0], 0, prompt_progress={"total": 3}),
            native("a", [5], 1),
            native("b", [6], 2),
            native("", [], 2, stop=True, stop_type="limit", timings={"cache_n": 2}),
            done=False,
        ),
        "ab",
        2,
        True,
    ),
    "llama.cpp with a character of three tokens": (
        sse(
            native("a", [5], 1),
            native("텀", [218], 4),
            native("", [0], 5),
            native("", [], 5, stop=True, stop_type="eos"),
            done=False,
        ),
        "a텀",
        5,
        False,
    ),
}  # fmt: skip


def read(pieces: list[bytes]) -> list[Chunk]:
    stream = Stream(Source(URL))
    chunks = [chunk for piece in pieces if (chunk := stream.feed(piece)) is not None]
    return [*chunks, stream.end()]


def joined(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


@pytest.mark.parametrize("case", STREAMS)
def test_a_stream_cut_at_any_byte_says_the_same(case: str) -> None:
    data, text, count, known = STREAMS[case]
    for cut in range(len(data) + 1):
        chunks = read([data[:cut], data[cut:]])
        assert joined(chunks) == text
        assert sum(chunk.num_tokens for chunk in chunks) == count
        assert [chunk.finish is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [
            True
        ]
    bytewise = read([data[at : at + 1] for at in range(len(data))])
    assert joined(bytewise) == text
    assert sum(chunk.num_tokens for chunk in bytewise) == count
    if known:
        assert all(len(c.tokens) == c.num_tokens for c in bytewise)


@pytest.mark.parametrize("case", STREAMS)
def test_what_one_read_brings_is_one_chunk(case: str) -> None:
    data, text, _, _ = STREAMS[case]
    chunks = read([data])
    assert [chunk.text for chunk in chunks] == [text, ""]


def test_tokens_of_half_a_character_wait_for_the_rest_of_it() -> None:
    stream = Stream(Source(URL))
    assert stream.feed(sse(completion("", [1]), done=False)) is None
    assert stream.num_tokens == 1
    assert stream.feed(sse(completion("텀", [2]), done=False)) == Chunk("텀", 2, (1, 2))


def test_the_upstreams_own_count_is_told_at_the_end() -> None:
    data, *_ = STREAMS["a chat"]
    last = read([data])[-1]
    assert last == Chunk("", 5, (), "stop", Usage(9, 7, 4), 4)


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"error": {"message": "m", "type": "BadRequestError", "code": 400}}, EngineRefused),
        ({"error": {"message": "m", "code": "400"}}, EngineRefused),
        ({"error": {"message": "m", "type": "invalid_request_error"}}, EngineRefused),
        ({"error": {"message": "m", "type": "exceed_context_size_error"}}, EngineRefused),
        ({"object": "error", "message": "m", "type": "x"}, EngineUnavailable),
        ({"error": {"message": "m", "code": 429}}, EngineUnavailable),
        ({"error": {"message": "m", "code": 500}}, EngineUnavailable),
        ({"error": {"message": "m", "code": None, "type": None}}, EngineUnavailable),
        ({"error": "m", "error_type": "overloaded"}, EngineUnavailable),
    ],
)
def test_an_error_in_a_chunk_is_told_and_sorted_by_whether_asking_again_helps(
    event: dict[str, Any], error: type[Exception]
) -> None:
    stream = Stream(Source(URL))
    with pytest.raises(error, match="m"):
        stream.feed(sse(chat("a"), event))


def test_a_line_without_end_is_not_kept_for_ever() -> None:
    stream = Stream(Source(URL))
    stream.feed(b"data: " + b"x" * 4_000_000)
    with pytest.raises(EngineUnavailable, match="does not end"):
        stream.feed(b"x" * 400_000)
