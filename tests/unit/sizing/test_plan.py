"""`leafstream plan`: what it says, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from leafstream.errors import SetupError
from leafstream.planning import Asked, Planned, plan
from tests.unit.sizing.test_sizing import folder

ASKED = Asked("smollm2-135m", "4GB", None, 2048, 4, "20GB")


def told(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from leafstream.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_plan_names_every_kind_with_what_to_set(model_path: Path) -> None:
    planned = plan(ASKED)
    assert [column.kind for column in planned.columns] == ["gguf", "bf16", "int8", "nf4", "fp4"]
    assert all(column.fits and not column.offload for column in planned.columns)
    assert planned.settings == (
        "LEAFSTREAM_MODEL=smollm2-135m LEAFSTREAM_CONTEXT_WINDOW=2048 LEAFSTREAM_SLOTS=4"
    )
    bounds = [column.bound_one_user for column in planned.columns]
    assert bounds[0] > bounds[1]  # 4 bits are read sooner than 16


def test_what_does_not_fit_gets_the_largest_context_that_does(model_path: Path) -> None:
    planned = plan(msgspec.structs.replace(ASKED, memory="256MB", context=8192, quant="gguf"))
    (column,) = planned.columns
    assert not column.fits
    assert 64 <= column.largest_context < 8192
    assert f"LEAFSTREAM_CONTEXT_WINDOW={column.largest_context} " in planned.settings
    again = plan(
        msgspec.structs.replace(ASKED, memory="256MB", context=column.largest_context, quant="gguf")
    )
    assert again.columns[0].fits


def test_the_flag_for_vllm_is_a_context_that_its_cache_can_hold(model_path: Path) -> None:
    roomy, tight = (plan(msgspec.structs.replace(ASKED, memory=m)) for m in ("24GB", "900MB"))
    assert roomy.vllm_max_model_len == 8192
    assert 0 < tight.vllm_max_model_len < 8192


def test_a_model_that_tells_no_context_is_planned_with_the_default_one(tmp_path: Path) -> None:
    model = str(folder(tmp_path, max_position_embeddings=None))
    planned = plan(msgspec.structs.replace(ASKED, model=model, context=None))
    assert planned.context == 4096
    assert all(column.largest_context == 4096 for column in planned.columns)


def test_nothing_is_advised_where_nothing_fits(model_path: Path) -> None:
    planned = plan(msgspec.structs.replace(ASKED, memory="100MB"))
    assert (planned.settings, planned.vllm_max_model_len) == ("", 0)
    assert all(column.largest_context == 0 for column in planned.columns)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"quant": "int3"}, "is not one of"),
        ({"context": 100_000}, "trained on 8192"),
        ({"context": 0}, "trained on 8192"),
        ({"memory": "plenty"}, "24GB"),
        ({"bandwidth": "fast"}, "24GB"),
        ({"model": "no-such-model"}, "there is no model"),
        ({"model": "/no/such/file.gguf"}, "no model file"),
    ],
)
def test_what_cannot_be_planned_is_refused(
    model_path: Path, change: dict[str, object], sentence: str
) -> None:
    with pytest.raises(SetupError, match=sentence):
        plan(msgspec.structs.replace(ASKED, **change))


def test_the_command_prints_a_table_and_the_settings(model_path: Path) -> None:
    done = told("plan", "smollm2-135m", "--memory", "4GB", "--users", "2")
    assert done.returncode == 0, done.stderr
    for text in ("keys and values", "largest context", "--max-model-len", "LEAFSTREAM_SLOTS=2"):
        assert text in done.stdout


def test_the_command_prints_json_that_holds_the_plan(model_path: Path) -> None:
    done = told("plan", "smollm2-135m", "--memory", "4GB", "--bandwidth", "20GB", "--json")
    planned = msgspec.convert(json.loads(done.stdout), Planned)
    assert planned == plan(msgspec.structs.replace(ASKED, context=None))


def test_a_refusal_is_one_sentence_and_exit_code_two() -> None:
    done = told("plan", "no-such-model")
    assert done.returncode == 2
    assert done.stderr.startswith("leafstream: there is no model 'no-such-model'")
    assert done.stderr.count("\n") == 1
