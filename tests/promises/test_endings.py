"""Every answer ends once, valid or failed."""

from __future__ import annotations

from pathlib import Path

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
    assert kinds(events)[-1] == "failed"
    assert sum(kind in ("finished", "failed", "cancelled") for kind in kinds(events)) == 1


async def test_b1_a_text_that_the_model_goes_round_in_ends_early_valid_and_told(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine('{"said": "' + "eco-friendly, " * 500)
    async with house(tmp_path, engine, ASSISTANTS) as served:
        events = await served.stream(ask("said"))
    finished = events[-1][1]
    assert isinstance(finished, Finished)
    assert finished.finish == "runaway"
    assert any(isinstance(e, Noticed) and e.code == "runaway_stopped" for _, e in events)
    assert finished.usage.completion_tokens < 150


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
