"""What `leafstream doctor` says of a model that transformers loads."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from leafstream.checks import Target, look_at_all, refuse_fatal
from leafstream.checks.check import Finding
from leafstream.errors import SetupError
from leafstream.settings import Settings

LOOKED_AT = ("libraries", "model", "chat template", "memory")


@pytest.fixture(name="folder")
def _folder(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model to be damaged."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "tiny"))


def target(folder: Path, **given: Any) -> Target:
    defaults = {
        "cache_folder": folder.parent / "models",
        "state_folder": folder.parent / "state",
        "database_url": f"sqlite:///{folder.parent / 'test.db'}",
        "model": f"transformers:{folder}",
        "port": 0,
    }
    return Target(Settings(_env_file=None, **{**defaults, **given}), "default")  # type: ignore[call-arg]


def found(folder: Path, **given: Any) -> dict[str, Finding]:
    return {
        check.name: finding
        for check, finding in look_at_all(target(folder, **given))
        if check.name in LOOKED_AT
    }


def test_a_sound_folder_is_told_with_its_size_and_what_it_needs(folder: Path) -> None:
    told = found(folder)
    assert {finding.level for finding in told.values()} == {"ok"}
    assert "torch 2." in told["libraries"].message
    assert told["model"].message.startswith("tiny: llama F32, ")
    assert told["chat template"].message == "the model's own"
    assert "4 slots of 4096 tokens need about" in told["memory"].message
    assert "free on cpu" in told["memory"].message


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def garble(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"<!DOCTYPE html>" * 99)


def lose_a_shard(folder: Path) -> None:
    parts = {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}
    index = {"metadata": {}, "weight_map": parts}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def lose_the_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def lose_the_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def drop_the_system(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ messages[-1]['content'] }}")


@pytest.mark.parametrize(
    ("damage", "check", "says"),
    [
        (cut, "model", "is cut short"),
        (garble, "model", "is not a whole safetensors file"),
        (lose_a_shard, "model", "lacks model-00002-of-00002.safetensors, of the 2 files"),
        (lose_the_config, "model", "it has no config.json"),
        (lose_the_tokenizer, "model", "no tokenizer.json; save the tokenizer there"),
        (drop_the_system, "chat template", "drops the system turn"),
    ],
)
def test_a_damaged_folder_is_refused_before_anything_is_loaded(
    folder: Path, damage: Any, check: str, says: str
) -> None:
    damage(folder)
    finding = found(folder)[check]
    assert finding.level == "problem"
    assert says in finding.sentence
    with pytest.raises(SetupError, match=says):
        refuse_fatal(target(folder))


def test_a_folder_without_a_template_is_a_warning(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    finding = found(folder)["chat template"]
    assert finding.level == "warning"
    assert "ChatML is used" in finding.message
    assert "LEAFSTREAM_CHAT_TEMPLATE" in finding.advice


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"context_window": 99_999}, "LEAFSTREAM_CONTEXT_WINDOW between 64 and 8192"),
        ({"double_quant": True}, "LEAFSTREAM_DOUBLE_QUANT goes with"),
        ({"offload": "disk"}, "needs LEAFSTREAM_OFFLOAD_FOLDER"),
        (
            {"offload": "disk", "offload_folder": Path("/dev/null/x"), "offload_memory": "1MB"},
            "LEAFSTREAM_OFFLOAD_FOLDER=/dev/null/x cannot be used",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_told(
    folder: Path, given: dict[str, Any], says: str
) -> None:
    finding = found(folder, **given)["memory"]
    assert finding.level == "problem"
    assert says in finding.sentence


def test_looking_at_a_folder_for_offloaded_weights_makes_nothing(folder: Path) -> None:
    away = folder.parent / "away"
    told = found(folder, offload="disk", offload_folder=away)["memory"]
    assert told.level == "ok"
    assert "weights go to disk" in told.message
    assert not away.exists()


@pytest.mark.parametrize(
    ("library", "given"), [("torch", {}), ("accelerate", {}), ("bitsandbytes", {"quant": "nf4"})]
)
def test_a_library_that_is_missing_is_told_with_the_extra_that_brings_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, library: str, given: dict[str, Any]
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    finding = found(folder, **given)["libraries"]
    assert finding.level == "problem"
    assert library in finding.message
    assert "pip install 'leafstream[transformers]'" in finding.message


def test_a_gguf_file_is_told_to_be_widened_by_the_first_start(
    folder: Path, model_path: Path
) -> None:
    told = found(folder, model=f"transformers:{model_path}")
    assert told["model"].level == "warning"
    assert "Q4_1" in told["model"].message
    assert "widens it to bf16" in told["model"].advice
    assert told["chat template"].message == "the model's own"
    assert told["memory"].level == "ok"


def test_a_model_that_is_no_folder_and_no_repository_is_told(folder: Path) -> None:
    finding = found(folder, model="transformers:no such thing")["model"]
    assert finding.level == "problem"
    assert "transformers:/path/to/a/folder" in finding.message
