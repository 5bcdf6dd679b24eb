"""What a server tells of itself: metrics, traces, logs, and the dashboard and `top` over them."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from leafstream.ask import Ask
from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.errors import InvalidRequest, LogUnavailable
from leafstream.events import Cancelled, Noticed
from leafstream.keys import add_key
from leafstream.meter import AnswerRecords, Meters
from leafstream.metrics import Load, Metrics
from leafstream.reporting import JsonRecords, TextRecords
from leafstream.top import Sample, Server, parse
from leafstream.tracing import Traces
from tests.house import ASK_PAIR, PAIR_TEXT, STREAM, House, house
from tests.nursery import command

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "leafstream.json"


async def sample(served: House) -> Sample:
    return parse((await served.http.get("/metrics")).text, 0)


async def test_an_answer_is_counted_once_in_every_metric_that_it_is_of(tmp_path: Path) -> None:
    async with house(tmp_path, ScriptedEngine(PAIR_TEXT, Play(delay=0.01))) as served:
        await served.stream(ASK_PAIR)
        await served.http.post("/v1/answers", json={"assistant": "nobody", "input": "x"})
        told = await sample(served)
    tokens = -(-len(PAIR_TEXT) // 4)
    assert told.total("leafstream_completion_tokens_total") == tokens
    assert told.total("leafstream_inter_token_seconds_count") == tokens - 1
    assert 0.01 * (tokens - 1) <= told.total("leafstream_inter_token_seconds_sum") < 5
    assert told.values["leafstream_answers_total"] == {
        (("assistant", "pair"), ("end", "stop")): 1.0
    }
    for once in ("time_to_first_token_seconds", "queue_seconds", "answer_seconds"):
        assert told.total(f"leafstream_{once}_count") == 1
    assert told.by("leafstream_refusals_total", "code") == {"not_found": 1.0}
    assert told.total("leafstream_sent_bytes_total") > 500
    assert told.total("leafstream_answers_running") == told.total("leafstream_readers") == 0
    assert told.total("leafstream_slots") == told.total("leafstream_slots_free") == 4


async def test_what_is_running_queued_and_read_is_shown_while_it_is(tmp_path: Path) -> None:
    engine = ScriptedEngine(PAIR_TEXT, Play(delay=0.2, slots=1))
    async with house(tmp_path, engine) as served:
        request = served.http.build_request("POST", "/v1/answers", json=ASK_PAIR, headers=STREAM)
        first = await served.http.send(request, stream=True)
        await served.begin(ASK_PAIR)
        await asyncio.sleep(0.1)
        told = await sample(served)
        await first.aclose()
    seen = {name: told.total(f"leafstream_{name}") for name in ("readers", "slots_free")}
    assert seen == {"readers": 1, "slots_free": 0}
    assert told.total("leafstream_answers_running") == 2
    assert told.total("leafstream_answers_queued") == 1


async def test_a_first_token_is_counted_when_it_comes_also_of_answers_that_do_not_finish(
    tmp_path: Path,
) -> None:
    async with house(tmp_path, ScriptedEngine(PAIR_TEXT, Play(delay=0.3))) as served:
        answer = await served.begin(ASK_PAIR)
        for seen in ("time_to_first_token", "inter_token"):
            while not (told := await sample(served)).total(f"leafstream_{seen}_seconds_count"):
                await asyncio.sleep(0.02)
            assert told.total("leafstream_answers_running") == 1
        await served.http.post(f"/v1/answers/{answer}/cancel")
        await served.replay(answer)
        told = await sample(served)
    assert told.by("leafstream_answers_total", "end") == {"cancelled": 1.0}
    assert told.total("leafstream_time_to_first_token_seconds_count") == 1
    assert 0.25 < told.total("leafstream_time_to_first_token_seconds_sum") < 3
    assert told.total("leafstream_queue_seconds_count") == 1


async def test_failures_and_notices_are_counted_by_their_code(tmp_path: Path) -> None:
    engine = ScriptedEngine("no JSON at all", Play(cap=1))
    async with house(tmp_path, engine) as served:
        await served.stream(ASK_PAIR)
        told = await sample(served)
    assert told.by("leafstream_answers_total", "end") == {"failed": 1.0}
    assert told.by("leafstream_failures_total", "code") == {"invalid_answer": 1.0}
    assert told.by("leafstream_notices_total", "code")["continued"] >= 1


async def test_an_answer_that_the_log_gives_up_on_is_counted_as_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine(PAIR_TEXT, Play(delay=0.02))
    async with house(tmp_path, engine, log_patience_seconds=0.1) as served:
        reading = asyncio.create_task(served.stream(ASK_PAIR))
        while not (await sample(served)).total("leafstream_completion_tokens_total"):
            await asyncio.sleep(0.01)

        async def away(_: object) -> NoReturn:
            raise LogUnavailable("the disk is full")

        monkeypatch.setattr(served.app.log._storage, "write", away)
        assert (await reading)[-1][1].kind == "failed"
        told = await sample(served)
        monkeypatch.undo()
    assert told.by("leafstream_failures_total", "code") == {"log_unavailable": 1.0}
    assert told.by("leafstream_answers_total", "end") == {"failed": 1.0}


async def test_metrics_can_be_turned_off(tmp_path: Path) -> None:
    async with house(tmp_path, metrics=False) as served:
        assert (await served.http.get("/metrics")).status_code == 404


def test_a_token_costs_next_to_nothing_to_count() -> None:
    metrics = Metrics("0", "m", lambda: Load(0, 0, 0, 0, 0))
    watch = Meters(metrics, AnswerRecords()).watch("ans_1", Ask(messages=()))
    calls = 0

    def count(_: Any, kind: str, __: Any) -> None:
        nonlocal calls
        calls += kind in ("call", "c_call")

    watch.wrote(1)
    sys.setprofile(count)
    for _ in range(100):
        watch.wrote(1)
    sys.setprofile(None)
    # Calls and not seconds: a busy machine must not fail it.
    assert calls / 100 < 6


@contextmanager
def collector() -> Iterator[tuple[str, list[Span]]]:
    """An OTLP/HTTP collector; the spans that it got."""
    spans: list[Span] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in sent.scope_spans:
                    spans.extend(scope.spans)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", spans
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def attributes(span: Span) -> dict[str, Any]:
    return {
        item.key: getattr(item.value, str(item.value.WhichOneof("value")))
        for item in span.attributes
    }


async def test_an_answer_is_a_trace_by_the_genai_conventions(tmp_path: Path) -> None:
    asked = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with collector() as (url, spans):
        engine = ScriptedEngine(PAIR_TEXT, Play(delay=0.01))
        async with house(tmp_path, engine, otlp_endpoint=url) as served:
            await served.stream({**ASK_PAIR, "seed": 7, "temperature": 0.5}, traceparent=asked)
    by_name = {span.name: span for span in spans}
    assert sorted(by_name) == ["chat scripted", "decode", "prefill", "queue"]
    root = by_name["chat scripted"]
    assert root.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert root.parent_span_id.hex() == "b7ad6b7169203331"
    assert all(by_name[n].parent_span_id == root.span_id for n in ("queue", "prefill", "decode"))
    told = attributes(root)
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.response.id"].startswith("ans_")
    assert told["gen_ai.usage.output_tokens"] == -(-len(PAIR_TEXT) // 4)
    assert (told["gen_ai.request.seed"], told["gen_ai.request.temperature"]) == (7, 0.5)
    assert told["gen_ai.output.type"] == "json"
    assert [v.string_value for v in told["gen_ai.response.finish_reasons"].values] == ["stop"]
    phases = [by_name[name] for name in ("queue", "prefill", "decode")]
    for one, two in pairwise(phases):
        assert one.end_time_unix_nano == two.start_time_unix_nano
    assert phases[-1].end_time_unix_nano == root.end_time_unix_nano
    # What people write is in no trace.
    assert "Bring a cup" not in str(spans)
    assert "Answer with a title" not in str(spans)


async def test_a_failed_answer_is_a_failed_trace(tmp_path: Path) -> None:
    with collector() as (url, spans):
        async with house(tmp_path, ScriptedEngine("no JSON"), otlp_endpoint=url) as served:
            await served.stream(ASK_PAIR)
    assert attributes(spans[0])["error.type"] == "invalid_answer"
    assert spans[0].status.code == spans[0].status.STATUS_CODE_ERROR


async def test_an_answer_that_is_not_valid_is_quoted_in_no_trace_and_no_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = "the caller's\n2026-11-24T00:00:00.000Z ERROR leafstream.keys: forged"
    schema = {"type": "object", "properties": {name: {"type": "string", "maxLength": 5}}}
    body = {"schema": schema | {"required": [name]}, "input": "go"}
    caplog.set_level("DEBUG", "leafstream")
    with collector() as (url, spans):
        engine = ScriptedEngine(json.dumps({name: "a private diagnosis"}))
        async with house(tmp_path, engine, otlp_endpoint=url) as served:
            response = await served.http.post("/v1/answers", json=body)
    assert "private" in response.json()["error"]["message"]  # told to the caller alone
    (root,) = spans
    assert attributes(root)["error.type"] == root.status.message == "invalid_answer"
    ended = [row for row in map(json.loads, records(caplog, JsonRecords())) if "code" in row]
    assert [row["code"] for row in ended] == ["invalid_answer"] * 2  # of the answer, of the request
    told = "\n".join([*records(caplog, TextRecords()), *records(caplog, JsonRecords()), str(spans)])
    assert "private" not in told
    assert "forged" not in told


def test_a_notice_in_a_trace_is_its_code_and_quotes_no_text() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    watch = Traces(provider, "m").watch("ans_1", Ask(messages=()))
    watch.told(Noticed("retried", '/a was not valid: "a private diagnosis" is too long', "/a"))
    watch.told(Cancelled("cancelled by the client"))
    (span,) = exporter.get_finished_spans()
    assert [event.name for event in span.events] == ["retried"]
    assert "private" not in span.to_json()


HOSTILE = (
    "\x1b[31mred\x9b31m\r\n2026-11-24T00:00:00.000Z ERROR leafstream.keys: forged\x85\u2028\x7f"
)


@pytest.mark.parametrize("form", [TextRecords(), JsonRecords()])
def test_nothing_that_is_quoted_steers_a_terminal_or_looks_like_a_record(
    form: logging.Formatter,
) -> None:
    failed = (ValueError, ValueError(HOSTILE), None)
    record = logging.LogRecord("leafstream", logging.ERROR, "", 0, "%s 컵", (HOSTILE,), failed)
    record.__dict__["fields"] = {"path": HOSTILE + "!"}
    told = form.format(record)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", told)
    first, *below = told.splitlines()
    assert first.count("forged") == (3 if isinstance(form, JsonRecords) else 2)
    assert "컵" in first
    assert all(line.startswith("  ") for line in below)
    if isinstance(form, JsonRecords):
        assert json.loads(told)["message"] == f"{HOSTILE} 컵"


def records(caplog: pytest.LogCaptureFixture, form: logging.Formatter) -> list[str]:
    return [form.format(record) for record in caplog.records]


async def test_every_record_of_an_answer_bears_its_id_and_no_text_of_anybody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "leafstream")
    async with house(tmp_path) as served:
        await served.stream({"assistant": "pair", "input": {"message": "a secret wish"}})
    told = [json.loads(line) for line in records(caplog, JsonRecords())]
    kinds = [row["message"] for row in told if row["logger"] != "leafstream.server"]
    assert kinds == ["answer begun", "answer finished", "POST /v1/answers"]
    assert len({row["answer"] for row in told}) == 1
    finished, access = told[-2], told[-1]
    assert (finished["finish"], finished["completion_tokens"]) == ("stop", 9)
    assert (access["status"], access["client"]) == (200, "127.0.0.1")
    text = "\n".join(records(caplog, TextRecords()))
    assert "secret wish" not in text + json.dumps(told)
    assert "Bring a cup" not in text + json.dumps(told)
    assert re.search(r"\n\S+Z INFO leafstream\.access: POST /v1/answers status=200 ", text)


async def test_prompts_are_logged_where_that_is_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "leafstream")
    async with house(tmp_path, log_prompts=True) as served:
        await served.stream({"assistant": "pair", "input": {"message": "a secret wish"}})
    told = [json.loads(line) for line in records(caplog, JsonRecords())]
    (prompt,) = [row["prompt"] for row in told if "prompt" in row]
    assert prompt[-1]["content"] == "a secret wish"


async def test_a_reader_that_leaves_is_told_in_the_access_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "leafstream.access")
    async with house(tmp_path, ScriptedEngine(PAIR_TEXT, Play(delay=0.2))) as served:
        await served.begin(ASK_PAIR)
        await asyncio.sleep(0.3)
    assert json.loads(records(caplog, JsonRecords())[0])["left"] is True


async def test_the_dashboard_uses_metrics_that_there_are(tmp_path: Path) -> None:
    engine = ScriptedEngine("no JSON at all", Play(cap=1))
    async with house(tmp_path, engine) as served:
        await served.stream(ASK_PAIR)
        await served.http.get("/nowhere")
        told = await sample(served)
    panels = json.loads(DASHBOARD.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    used = {
        name for query in queries for name in re.findall(r"\b(?:leafstream|process)_\w+", query)
    }
    assert len(used) > 15
    assert used - set(told.values) == set()


async def test_top_asks_for_the_key_that_metrics_want(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    key = add_key(keys, "watcher", ["metrics"], None, None)
    async with house(tmp_path, keys_file=keys) as served:
        with closing(Server(served.url)) as unknown, closing(Server(served.url, key)) as known:
            with pytest.raises(InvalidRequest, match="LEAFSTREAM_KEY here"):
                await asyncio.to_thread(unknown.sample)
            told = await asyncio.to_thread(known.sample)
    assert told.total("leafstream_slots") == 4


async def test_top_shows_what_a_server_does(tmp_path: Path) -> None:
    engine = ScriptedEngine(PAIR_TEXT * 20, Play(delay=0.05))
    async with house(tmp_path, engine) as served:
        await served.begin({"assistant": "chat", "input": "go"})
        asked = partial(command, environment=dict(os.environ), folder=tmp_path)
        done = await asyncio.to_thread(asked, "top", "--once", "--url", served.url)
    text = done.out
    assert done.code == 0
    assert "scripted, 2048 tokens of context" in text
    assert "1 of 4 busy" in text
    assert float(re.findall(r"tokens\s+([\d.]+)/s", text)[0]) > 1
