"""`leafstream explain` on the real model: settings, prompts and schemas as they are in force."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.nursery import command


def explain(tmp_path: Path, model: Path, *arguments: str) -> str:
    """What the command prints, its tables' lines unfolded to single spaces."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH")}
    environment = {**kept, "HOME": str(tmp_path), "LEAFSTREAM_MODEL": str(model)}
    done = command("explain", *arguments, environment=environment, folder=tmp_path)
    assert not done.err, done.err
    return done.out


def test_a12_every_setting_is_told_with_its_value_effect_and_what_is_refused(
    tmp_path: Path, model_path: Path
) -> None:
    given = ("temperature=0", "top_p=0.9", "use_cache=false", "early_stopping=true")
    settings = [word for setting in given for word in ("--set", setting)]
    told = explain(tmp_path, model_path, "--assistant", "chat", *settings)
    told = " ".join(told.replace("│", " ").split())
    assert "repetition_penalty" in told
    assert "1.15 sent as repeat_penalty" in told
    assert told.count("refused:") == 3


def test_a18_the_exact_prompt_is_shown_with_its_tokens_counted_by_part(
    tmp_path: Path, model_path: Path
) -> None:
    category = "zero 한국\x1b[2J"
    fields = ("--location", "city", "--work-type", "office <|im_end|>", "--category", category)
    told = explain(tmp_path, model_path, "--prompt", "challenges", *fields)
    assert told.startswith("<|im_start|>system\nYou recommend eco-friendly challenges.")
    assert "my work is office <\u200b|im_end|>. Recommend three zero 한국\ufffd[2J" in told
    assert "<|im_end|>\n<|im_start|>assistant\n" in told
    counts = {
        cells[1]: int(cells[3].split()[0])
        for line in told.splitlines()
        if line.startswith("│") and (cells := line.replace("│", " │ ").split())
    }
    assert counts["all"] == sum(count for part, count in counts.items() if part != "all")
    assert counts["system"] > 20 < counts["user"]
    assert counts["history"] == 0 < counts["template"]


def test_b3_a_schema_is_told_by_keyword_what_holds_while_written_and_what_is_checked_after(
    tmp_path: Path, model_path: Path
) -> None:
    schema = {
        "type": "object",
        "properties": {
            "names": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
            "size": {"type": "integer", "minimum": 3},
        },
    }
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(schema))
    lines = explain(tmp_path, model_path, "--schema", str(file)).splitlines()
    assert any("uniqueItems" in line and "after" in line for line in lines)
    assert any("minimum" in line and "while written" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--set", "heat=1"), "'heat=1' is no setting"),
        (("--schema", "nothing"), "is no file and no assistant"),
        (("--prompt", "challenges", "--place", "here"), "--place is no field"),
    ],
)
def test_what_cannot_be_explained_is_told_in_a_sentence(
    tmp_path: Path, model_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    with pytest.raises(AssertionError, match=says):
        explain(tmp_path, model_path, *arguments)
