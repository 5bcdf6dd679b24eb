"""`leafstream quant`: each kind measured in a process of its own."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from leafstream.comparing import compare, measure_all, page
from leafstream.engines.trial import Plan, rate, text
from leafstream.errors import SetupError

BRIEF = Plan(tokens=8, prompt_tokens=8, batches=(1, 2), ttft_tokens=(8,), perplexity_tokens=64)


@pytest.mark.e2e
async def test_kinds_are_measured_and_one_that_fails_is_told(tiny_folder: Path) -> None:
    heard: list[str] = []
    kinds = ["bf16", "nf4", "of-tomorrow"]
    found = await measure_all("tiny", tiny_folder, kinds, BRIEF, heard.append)
    assert heard == kinds
    wide, narrow = found.trials
    assert (wide.kind, narrow.kind) == ("bf16", "nf4")
    assert wide.footprint > narrow.footprint
    assert found.planned["nf4"] == pytest.approx(narrow.footprint, rel=0.1)
    for trial in found.trials:
        assert set(trial.tokens_per_second) == {"1", "2"}
        assert all(rate > 0 for rate in trial.tokens_per_second.values())
        assert 0 < trial.ttft_seconds["8"] < 60
        assert 0 < trial.memory <= trial.peak_memory
        # Random weights know nothing: about as many choices as there are tokens.
        assert trial.perplexity > 1000
    assert "the kinds are fp32" in found.failed["of-tomorrow"]
    svg = page(found)
    assert svg.count("<svg") == 6
    ElementTree.fromstring(svg[svg.index("<svg") : svg.index("</svg>") + 6])


def test_an_unknown_kind_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="the kinds are fp32, bf16"):
        compare("smollm2-135m", ["int3"], None, 8)


def test_an_output_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SetupError, match="--output"):
        compare("smollm2-135m", ["bf16"], tmp_path / "file" / "out", 8)


def test_the_rate_counts_only_while_all_sequences_are_written() -> None:
    early = [0.0, 1.0, 2.0, 3.0, 4.0]
    late = [2.0, 3.0, 4.0, 5.0]
    assert rate([early]) == pytest.approx(1.0)
    assert rate([early, late]) == pytest.approx(2.0)
    assert rate([[1.0]]) == 0.0


def test_the_text_that_ships_is_english_and_long_enough() -> None:
    assert len(text().split()) > 900
    assert text().isascii()
