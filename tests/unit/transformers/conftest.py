"""A real model small enough to be made in a second: random weights, the default's tokenizer."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from leafstream.engines.transformers import TransformersEngine, TransformersOptions
from leafstream.engines.weights import WeightOptions

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
POISON = 40_000
"""A token whose embedding is not a number, as in a damaged file."""

Open = Callable[..., Awaitable[TransformersEngine]]


@pytest.fixture(scope="session")
def tiny_folder(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the hub lays it out, in fp32."""
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("tiny") / "tiny"
    torch.manual_seed(7)
    config: Any = transformers.LlamaConfig(
        vocab_size=49152,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        tie_word_embeddings=False,
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=2,
        dtype="float32",
    )
    model: Any = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight[POISON] = torch.nan
    model.save_pretrained(folder)
    for name in TOKENIZER:
        shutil.copy(model_folder / name, folder / name)
    return folder


@pytest.fixture
async def tiny(tiny_folder: Path) -> AsyncIterator[Open]:
    """Opens the tiny model; what it opened is closed at the end."""
    async with AsyncExitStack() as stack:

        async def opened(
            weights: WeightOptions | None = None, folder: Path = tiny_folder, **given: Any
        ) -> TransformersEngine:
            settings = {"context_window": 512, "slots": 3, **given}
            options = TransformersOptions(weights=weights or WeightOptions(), **settings)
            engine = await TransformersEngine.open(folder, options)
            stack.push_async_callback(engine.close)
            return engine

        yield opened
