"""Tokens counted without the server: by a tokenizer file, or estimated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from leafstream.engines.openai.counting import Estimate, TokenizerFile
from leafstream.errors import SetupError
from leafstream.messages import Message

TURNS = (Message("system", "Be brief."), Message("user", "Tell me about a cup."))
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A tokenizer that splits at blanks, with four control tokens."""
    tokenizers: Any = pytest.importorskip("tokenizers", reason="needs leafstream[tokenizer]")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<s>", "<|system|>", "<|user|>", "<|assistant|>"])
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


async def test_with_a_template_beside_it_a_tokenizer_file_counts_exactly(file: Path) -> None:
    config = {"chat_template": TEMPLATE, "bos_token": {"content": "<s>"}, "eos_token": None}
    (file.parent / "tokenizer_config.json").write_text(json.dumps(config))
    for path in (file, file.parent):
        prompt = await TokenizerFile(path).prompt(TURNS)
        assert prompt.num_tokens == 1 + 1 + 2 + 1 + 5 + 1
        assert not prompt.estimated


async def test_without_a_template_a_prompt_is_estimated_and_not_too_low(file: Path) -> None:
    prompt = await TokenizerFile(file).prompt(TURNS)
    assert prompt.estimated
    assert prompt.num_tokens > 2 + 5


async def test_a_tokenizer_file_knows_its_control_tokens(file: Path) -> None:
    counter = TokenizerFile(file)
    assert set(counter.control_tokens) == {"<s>", "<|system|>", "<|user|>", "<|assistant|>"}
    assert await counter.count("one two three") == 3


def test_a_file_that_is_no_tokenizer_is_told(file: Path) -> None:
    file.write_text("<html>")
    with pytest.raises(SetupError, match=r"cannot be used: .*; give the model's tokenizer\.json"):
        TokenizerFile(file)


def test_a_file_that_is_not_there_is_told(file: Path) -> None:
    with pytest.raises(SetupError, match=r"LEAFSTREAM_UPSTREAM_TOKENIZER=.*cannot be used"):
        TokenizerFile(file.parent / "nothing.json")


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [("Tell me about a cup.", 5, 8), ("텀블러를 쓰자", 4, 10), ("", 0, 0), ("a" * 300, 60, 100)],
)
async def test_an_estimate_is_above_what_tokenizers_count(text: str, least: int, most: int) -> None:
    assert least <= await Estimate().count(text) <= most
