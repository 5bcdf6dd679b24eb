"""What an upstream may do wrong, each against a small real server that does it."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Coroutine

import msgspec
import pytest
import uvloop

from leafstream.engines.base import Chunk, Generation, Prefix
from leafstream.engines.upstream import Timeouts
from leafstream.errors import (
    EngineError,
    EngineMisconfigured,
    EngineRefused,
    EngineUnavailable,
)
from leafstream.sampling import Sampling
from tests.contract.upstreams import JSON, QUICK, TURN, asked, collect, opened, said, until
from tests.rude_server import (
    CHAT,
    DONE,
    GOOD,
    Answer,
    event,
    rude_server,
    token,
)

FAILED = {"message": "the engine died", "type": "InternalServerError", "code": 500}
REFUSED = {"message": "the schema is bad", "type": "BadRequestError", "code": 400}
BAD = {
    "a web page": (
        Answer((b"<!DOCTYPE html><html>",), kind="text/html"),
        EngineUnavailable,
        "a web page instead of a stream",
    ),
    "an event stream of HTML": (
        Answer((b"<!DOCTYPE html>\n<html>\n",)),
        EngineUnavailable,
        "what is no event stream: '<!DOCTYPE html>'",
    ),
    "a whole answer instead of a stream": (
        Answer((b'{"choices": []}',), kind=JSON),
        EngineUnavailable,
        "application/json instead of a stream",
    ),
    "half a chunk": (
        Answer((token("a"), token("b")[:20]), cut=True),
        EngineUnavailable,
        "hung up in the middle",
    ),
    "half a chunk and a polite end": (
        Answer((token("a"), token("b")[:20])),
        EngineUnavailable,
        "before the answer's end",
    ),
    "a chunk that is not JSON": (
        Answer((b"data: {nonsense}\n\n",)),
        EngineUnavailable,
        "what is no event stream: '{nonsense}'",
    ),
    "a chunk with an error": (
        Answer((event({"error": FAILED}), DONE)),
        EngineUnavailable,
        "the engine died",
    ),
    "a chunk with a refusal": (
        Answer((event({"error": REFUSED}), DONE)),
        EngineRefused,
        "the schema is bad",
    ),
    "an error that is a text": (
        Answer((event({"error": "model runner has unexpectedly stopped"}),)),
        EngineUnavailable,
        "unexpectedly stopped",
    ),
    "an error event": (
        Answer((b'event: error\ndata: {"message": "out of memory"}\n\n',)),
        EngineUnavailable,
        "out of memory",
    ),
    "an error event without JSON": (
        Answer((b"event: error\ndata: overloaded\n\n",)),
        EngineUnavailable,
        "overloaded",
    ),
    "nothing at all": (Answer(raw=True), EngineUnavailable, "hung up in the middle"),
    "an empty stream": (Answer(), EngineUnavailable, "before the answer's end"),
    "silence": (Answer(wait=5.0), EngineUnavailable, "no answer within 0.4 s"),
    "headers and then silence": (
        Answer((b": wait\n\n",) * 50, pause=0.1),
        EngineUnavailable,
        "no first token within",
    ),
    "silence between tokens": (
        Answer((token("a"), b": ping\n\n", b": ping\n\n", token("b")), pause=0.2),
        EngineUnavailable,
        "no token within",
    ),
    "an end without a finish reason": (
        Answer((token("a"), token("b"), DONE)),
        EngineUnavailable,
        "before the answer's end",
    ),
    "an abort as finish reason": (
        Answer((token("a", "abort"), DONE)),
        EngineUnavailable,
        "for the reason 'abort'",
    ),
    "a content filter": (
        Answer((token("a", "content_filter"), DONE)),
        EngineRefused,
        "content filter",
    ),
    "something that is not HTTP": (
        Answer((b"SSH-2.0-OpenSSH_9.6\r\n",), raw=True),
        EngineUnavailable,
        "is not HTTP",
    ),
    "a server that cannot do it": (
        Answer((b'{"error": {"message": "no grammars here"}}',), status=501, kind=JSON),
        EngineRefused,
        "no grammars here",
    ),
    "a request that is too long for a proxy": (
        Answer((b"<html>Request Entity Too Large</html>",), status=413, kind="text/html"),
        EngineRefused,
        "takes no request as long as this",
    ),
    "an overload": (
        Answer((b'{"error": {"message": "overloaded"}}',), status=529, kind=JSON),
        EngineUnavailable,
        "answers 529: overloaded",
    ),
    "a request it does not take": (
        Answer((b'{"detail": "top_k is too large"}',), status=422, kind=JSON),
        EngineRefused,
        "top_k is too large",
    ),
    "a gateway's web page": (
        Answer((b"<html>Bad Gateway</html>",), status=502, kind="text/html"),
        EngineUnavailable,
        "answers 502: a web page",
    ),
    "too many requests for longer than we wait": (
        Answer(status=429, kind=JSON, headers=("Retry-After: 60",)),
        EngineUnavailable,
        "answers 429",
    ),
}  # fmt: skip
ACCOUNT = {"message": "You exceeded your quota", "type": "insufficient_quota"}
OPERATORS: dict[str, tuple[Answer, str, str]] = {
    "a wrong key": (
        Answer((b'{"error": "Unauthorized"}',), status=401, kind=JSON),
        "refuses this server's key (401: Unauthorized)",
        "set LEAFSTREAM_UPSTREAM_KEY",
    ),
    "a key without rights": (
        Answer((b'{"error": {"message": "not your project"}}',), status=403, kind=JSON),
        "does not let this server's key in (403: not your project)",
        "give LEAFSTREAM_UPSTREAM_KEY the right to it",
    ),
    "an unpaid bill": (
        Answer((b'{"error": {"message": "Insufficient Balance"}}',), status=402, kind=JSON),
        "wants to be paid (402: Insufficient Balance)",
        "look at the account of LEAFSTREAM_UPSTREAM_KEY",
    ),
    "an empty account, told as too many requests": (
        Answer((event({"error": ACCOUNT})[6:],), status=429, kind=JSON),
        "wants to be paid (402: You exceeded your quota)",
        "look at the account of LEAFSTREAM_UPSTREAM_KEY",
    ),
    "a model that is gone": (
        Answer((event({"error": REFUSED})[6:],), status=404, kind=JSON),
        "does not know the model or the path (404: the schema is bad)",
        "look at LEAFSTREAM_MODEL and LEAFSTREAM_UPSTREAM",
    ),
    "a path that is no endpoint": (
        Answer(status=405, kind=JSON),
        "does not know the path (405: no reason given)",
        "look at LEAFSTREAM_MODEL and LEAFSTREAM_UPSTREAM",
    ),
    "a move to another place": (
        Answer(status=308, headers=("Location: https://elsewhere.example/v1",)),
        "redirects to another place (308)",
        "set LEAFSTREAM_UPSTREAM to where the server is, https://elsewhere.example/v1",
    ),
    "a wrong key told in a stream": (
        Answer((event({"error": {"message": "who are you?", "code": 401}}), DONE)),
        "refuses this server's key (401: who are you?)",
        "set LEAFSTREAM_UPSTREAM_KEY",
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_an_upstream_does_wrong_is_told_in_one_sentence(case: str) -> None:
    answer, error, says = BAD[case]
    async with rude_server(answer) as server:
        engine = await opened(server.url, timeouts=msgspec.structs.replace(QUICK, patience=0.0))
        begun = time.monotonic()
        try:
            with pytest.raises(error) as raised:
                await asked(engine)
        finally:
            await engine.close()
    assert says in str(raised.value)
    assert str(raised.value).startswith("the upstream")
    assert "127.0.0.1" not in str(raised.value)  # it goes to the client
    assert time.monotonic() - begun < 3


async def test_after_the_first_token_nothing_is_tried_again_and_the_text_so_far_is_given() -> None:
    async with rude_server(Answer((token("a"), token("b")), cut=True), GOOD) as server:
        engine = await opened(server.url)
        chunks: list[Chunk] = []
        with pytest.raises(EngineUnavailable):
            await collect(engine, Generation(await engine.prompt(TURN), 50), chunks)
        await engine.close()
        assert said(chunks) == "ab"
        assert server.num_asked(CHAT) == 2  # once at the start, once now


@pytest.mark.parametrize(
    "first",
    [
        Answer(status=503, kind=JSON),
        Answer(status=429, kind=JSON, headers=("Retry-After: 0.05",)),
        Answer((event({"error": FAILED}),)),
        Answer(raw=True),
    ],
    ids=["503", "429", "an error", "a hang-up"],
)
async def test_before_the_first_token_an_upstream_is_asked_again(first: Answer) -> None:
    async with rude_server(first, GOOD) as server:
        engine = await opened(server.url, timeouts=msgspec.structs.replace(QUICK, patience=2.0))
        assert said(await asked(engine)) == "Good day"
        await engine.close()
        assert server.num_asked(CHAT) == 3


async def test_retry_after_is_waited_for() -> None:
    busy = Answer(status=429, kind=JSON, headers=("Retry-After: 0.3",))
    async with rude_server(busy, GOOD) as server:
        engine = await opened(server.url, timeouts=msgspec.structs.replace(QUICK, patience=2.0))
        begun = time.monotonic()
        assert said(await asked(engine)) == "Good day"
        assert time.monotonic() - begun >= 0.3
        await engine.close()


@pytest.mark.parametrize("case", OPERATORS)
async def test_what_its_operator_has_to_mend_is_not_the_clients_fault_and_the_log_says_what(
    case: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer, says, advice = OPERATORS[case]
    async with rude_server(answer) as server:
        engine = await opened(server.url, timeouts=Timeouts())
        begun = time.monotonic()
        with pytest.raises(EngineMisconfigured) as raised:
            await asked(engine)
        assert time.monotonic() - begun < 1  # waiting for it would not help
        assert engine.outage == "none of 1 upstreams is in; the log says why"
        with pytest.raises(EngineMisconfigured, match=re.escape(says)):
            await asked(engine)  # and it is not asked for every answer, either
        num_asked = server.num_asked(CHAT)
        await engine.close()
    assert raised.value.message == f"the upstream {says}"
    assert (raised.value.status, raised.value.retryable) == (502, False)
    assert f"upstream {server.url} is out: {server.url} {says}; {advice}" in caplog.text
    assert num_asked == 2  # once at the start


@pytest.mark.parametrize(
    "telling",
    [
        Answer((b'{"error": {"message": "no such key: sesame"}}',), status=401, kind=JSON),
        Answer((b"Authorization: Bearer sesame",), status=500, kind="text/plain"),
        Answer((b"Authorization: Bearer sesame",), kind="text/plain"),
        Answer((event({"error": {"message": "sesame is no key", "code": 401}}),)),
        Answer((b"event: error\ndata: sesame\n\n",)),
        Answer((b"data: sesame\n\n",)),
        Answer(status=307, headers=("Location: http://me:hush@h/sesame?key=hush",)),
    ],
)
async def test_the_key_is_sent_and_never_told(
    telling: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with rude_server(GOOD, telling) as server:
        engine = await opened(server.url, key="sesame")
        await asked(engine)
        with pytest.raises(EngineError) as raised:
            await asked(engine)
        await engine.close()
    assert {headers["authorization"] for _, headers, _ in server.asked} == {"Bearer sesame"}
    told = str(raised.value) + caplog.text
    assert "…" in told
    assert "hush" not in told
    assert "sesame" not in told


async def test_leaving_a_stream_hangs_up_so_that_the_upstream_stops() -> None:
    slow = Answer((token("a"),) * 200, pause=0.05)
    async with rude_server(slow, GOOD) as server:
        engine = await opened(server.url)
        stream = engine.generate(Generation(await engine.prompt(TURN), 50))
        await anext(stream)
        begun = time.monotonic()
        await stream.aclose()
        assert time.monotonic() - begun < 0.1
        await until(lambda: server.num_open == 0)
        await engine.close()


async def test_connections_are_kept_and_a_stale_one_is_no_failure() -> None:
    async with rude_server(GOOD, GOOD) as server:
        engine = await opened(server.url)
        for _ in range(3):
            await asked(engine)
        assert server.num_open == 1
        port = server.port
        await engine.close()
        assert port == server.port


async def test_all_that_one_read_brings_is_one_chunk() -> None:
    many = Answer((b"".join([token(f"{n} ") for n in range(50)]) + token("", "stop") + DONE,))
    async with rude_server(many) as server:
        engine = await opened(server.url)
        chunks = await asked(engine)
        await engine.close()
    assert said(chunks) == "".join(f"{n} " for n in range(50))
    assert len(chunks) <= 4
    assert sum(chunk.num_tokens for chunk in chunks) == 50


async def test_where_a_half_written_answer_cannot_be_gone_on_with_it_may_be_asked_anew() -> None:
    async with rude_server() as server:
        engine = await opened(server.url)
        with pytest.raises(EngineError, match="cannot go on with a half-written") as raised:
            await asked(engine, prefix=Prefix("Half a"))
        assert raised.value.retryable
        await engine.close()


async def test_a_setting_that_an_upstream_lacks_is_refused_unless_it_may_be_left_out() -> None:
    sampling = Sampling(temperature=0.5, top_k=40)
    async with rude_server() as server:
        engine = await opened(server.url)
        with pytest.raises(EngineRefused, match="LEAFSTREAM_UPSTREAM_IGNORE=top_k"):
            await asked(engine, sampling=sampling)
        await engine.close()
        engine = await opened(server.url, ignored=frozenset({"top_k"}))
        await asked(engine, sampling=sampling)
        await engine.close()
    assert server.asked[-1][2]["temperature"] == 0.5
    assert "top_k" not in server.asked[-1][2]


@pytest.mark.parametrize("case", BAD)
def test_what_an_upstream_does_wrong_is_told_on_uvloop_too(case: str) -> None:
    uvloop.run(test_what_an_upstream_does_wrong_is_told_in_one_sentence(case))


@pytest.mark.parametrize(
    "promise",
    [
        test_connections_are_kept_and_a_stale_one_is_no_failure,
        test_leaving_a_stream_hangs_up_so_that_the_upstream_stops,
        test_all_that_one_read_brings_is_one_chunk,
        test_retry_after_is_waited_for,
    ],
)
def test_what_holds_for_streams_holds_on_uvloop_too(
    promise: Callable[[], Coroutine[None, None, None]],
) -> None:
    uvloop.run(promise())
