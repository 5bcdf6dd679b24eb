"""A generation setting does what it says or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leafstream import Assistant
from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.sampling import Sampling
from tests.house import ASK_PAIR, PAIR_TEXT, Pair, house


@pytest.mark.parametrize(
    ("setting", "param"),
    [
        ({"do_sample": False, "temperature": 0.7}, "temperature"),
        ({"do_sample": True, "temperature": 0}, "do_sample"),
        ({"num_beams": 4}, "num_beams"),
        ({"early_stopping": True}, "early_stopping"),
        ({"use_cache": False}, "use_cache"),
        ({"max_tokens": 50, "max_new_tokens": 60}, "max_new_tokens"),
    ],
)
async def test_a12_a_setting_without_effect_is_refused_by_name(
    tmp_path: Path, setting: dict[str, Any], param: str
) -> None:
    async with house(tmp_path) as served:
        response = await served.http.post("/v1/answers", json={**ASK_PAIR, **setting})
    assert response.status_code == 422
    assert response.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("setting", "param"),
    [
        ({"do_sample": False, "top_p": 0.9}, "top_p"),
        ({"do_sample": False, "top_k": 40}, "top_k"),
        ({"do_sample": False, "min_p": 0.1}, "min_p"),
        ({"temperature": 0, "top_p": 0.9}, "top_p"),
        ({"temperature": 0, "top_k": 40}, "top_k"),
        ({"early_stopping": False, "num_beams": 1}, "early_stopping"),
        ({"top_p": 0.5}, "top_p"),
    ],
)
async def test_a12_what_has_no_effect_is_refused_also_beside_the_assistants_own_settings(
    tmp_path: Path, setting: dict[str, Any], param: str
) -> None:
    greedy = {"pair": Assistant(Pair, sampling=Sampling(temperature=0.0))}
    async with house(tmp_path, assistants=greedy) as served:
        response = await served.http.post("/v1/answers", json={**ASK_PAIR, **setting})
    assert response.status_code == 422
    assert response.json()["error"]["param"] == param
    assert "no effect" in response.json()["error"]["message"]


async def test_a12_settings_reach_the_engine_under_their_names(tmp_path: Path) -> None:
    engine = ScriptedEngine(PAIR_TEXT)
    given: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.1,
        "repetition_penalty": 1.2,
        "no_repeat_ngram_size": 3,
        "seed": 7,
    }
    async with house(tmp_path, engine) as served:
        body = {**ASK_PAIR, **given, "stop": "END", "max_new_tokens": 60, "num_beams": 1}
        await served.stream({**body, "use_cache": True, "do_sample": True})
        await served.stream({**ASK_PAIR, "do_sample": False})
    asked, greedy = engine.generations
    assert asked.sampling == Sampling(**given, stop=("END",))
    assert asked.max_tokens == 60
    assert greedy.sampling == Sampling(temperature=0.0)


async def test_a_setting_that_the_engine_does_not_have_is_refused_by_name(tmp_path: Path) -> None:
    engine = ScriptedEngine(PAIR_TEXT, Play(settings=("temperature", "seed")))
    async with house(tmp_path, engine) as served:
        body = {**ASK_PAIR, "seed": 1, "no_repeat_ngram_size": 3}
        response = await served.http.post("/v1/answers", json=body)
        assert (await served.http.post("/v1/answers", json=ASK_PAIR)).status_code == 200
    assert response.status_code == 422
    assert response.json()["error"]["param"] == "no_repeat_ngram_size"
    assert "scripted" in response.json()["error"]["message"]
