"""Every answer ends once, valid or failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from leafstream.decoder.value import fold
from leafstream.engines.base import Generation
from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.events import Failed, Finished, Noticed
from tests.house import ASK_PAIR, PAIR_TEXT, house, kinds
from tests.promises.declared import ASSISTANTS, ask


async def test_a5_a6_whatever_the_engine_raises_is_one_failed_event_at_the_end(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine(PAIR_TEXT, Play(fail_after=2, failure=RuntimeError("inf or nan")))
    async with house(tmp_path, engine) as served:
        events = await served.stream(ASK_PAIR)
        assert served.app.runs.num_free_slots == 4
    failed = events[-1][1]
    assert isinstance(failed, Failed)
    assert (failed.code, failed.message) == ("internal_error", "internal error")
    assert sum(kind in ("finished", "failed", "cancelled") for kind in kinds(events)) == 1


@pytest.mark.parametrize(
    ("raw", "limit", "complete"), [("", None, True), ("<think>long, and never told", 4, False)]
)
async def test_a_plain_answer_without_text_is_an_empty_text_everywhere(
    tmp_path: Path, raw: str, limit: int | None, complete: bool
) -> None:
    async with house(tmp_path, ScriptedEngine(raw)) as served:
        made = await served.http.post("/v1/conversations", json={"assistant": "chat"})
        path = f"/v1/conversations/{made.json()['id']}"
        body = {"assistant": "chat", "input": "hi", "conversation": made.json()["id"]}
        events = [event for _, event in await served.stream({**body, "max_tokens": limit})]
        turn = (await served.http.get(path)).json()["turns"][1]
        await served.stream(body)
        engine = served.app.engine
        assert isinstance(engine, ScriptedEngine)
        shown = engine.generations[-1].prompt.messages
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.value == fold(events) == ""
    assert finished.complete is complete
    assert (turn["content"], turn["value"]) == ("", "")
    assert [message.content for message in shown[1:]] == ["hi", "", "hi"]


@pytest.mark.parametrize("raw", [". " * 200, "." * 400, "no no no no " * 100])
async def test_a7_an_engine_that_raves_outside_its_grammar_is_failed_and_never_hangs(
    tmp_path: Path, raw: str
) -> None:
    # So llama.cpp goes on where its logits are not finite: its grammar gives up, its sampler not.
    async with house(tmp_path, ScriptedEngine(raw), ASSISTANTS) as served:
        events = await served.stream(ask("said"))
        assert served.app.runs.num_free_slots == 4
    failed = events[-1][1]
    assert isinstance(failed, Failed)
    assert failed.code == "invalid_answer"


@pytest.mark.parametrize(
    "raw",
    [
        '{"said": "' + "eco-friendly, " * 500,
        '{"said":' + " " * 5000,
        '{"said": "' + "\\n" * 2000,
        '{"said": "' + "가" * 3000,
    ],
)
async def test_b1_what_a_grammar_allows_without_end_is_ended_early_valid_and_told(
    tmp_path: Path, raw: str
) -> None:
    async with house(tmp_path, ScriptedEngine(raw), ASSISTANTS) as served:
        events = await served.stream(ask("said"))
    finished = events[-1][1]
    assert isinstance(finished, Finished)
    assert finished.finish == "runaway"
    assert not finished.complete
    assert ASSISTANTS["said"].errors(finished.value) == []
    assert "runaway_stopped" in [e.code for _, e in events if isinstance(e, Noticed)]
    assert finished.usage.completion_tokens < 200


async def test_b2_a_wrong_value_is_written_again_once_from_before_it(tmp_path: Path) -> None:
    def script(generation: Generation) -> str:
        return '{"number":7}' if engine.generations[1:] else '{"number":4}'

    engine = ScriptedEngine(script)
    async with house(tmp_path, engine, ASSISTANTS) as served:
        events = await served.stream(ask("odd"))
    finished = events[-1][1]
    assert isinstance(finished, Finished)
    assert finished.value == {"number": 7}
    assert [e.code for _, e in events if isinstance(e, Noticed)] == ["retried"]


async def test_b2_a_value_that_stays_wrong_is_failed_with_its_errors_by_path(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine('{"number":4}')
    async with house(tmp_path, engine, ASSISTANTS) as served:
        events = await served.stream(ask("odd"))
    failed = events[-1][1]
    assert isinstance(failed, Failed)
    assert failed.code == "invalid_answer"
    assert failed.details["value"] == {"number": 4}
    assert failed.details["errors"][0]["path"] == "/number"  # type: ignore[index,call-overload]
    assert len(engine.generations) == 2
