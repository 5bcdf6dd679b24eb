"""The plan against what loading and a full context then take, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from leafstream.engines.checkpoint import checkpoint
from leafstream.errors import SetupError
from leafstream.models.fetch import cache_folder
from leafstream.models.shape import read_shape
from leafstream.planning import CHOICES
from leafstream.sizing import Choice, Use, estimate

WINDOW, USERS = 256, 2
MEASURE = """
import asyncio, json, sys
from contextlib import aclosing
from pathlib import Path
import leafstream.server
from leafstream.engines.base import Generation, Prompt
from leafstream.engines.device import give_back, resident
from leafstream.messages import Message

path, kind, window, users = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

async def opened():
    if kind == "gguf":
        from leafstream.engines.llamacpp import LlamaCppEngine, LlamaCppOptions
        return await LlamaCppEngine.open(path, LlamaCppOptions(context_window=window, slots=users))
    from leafstream.engines.transformers import TransformersEngine, TransformersOptions
    from leafstream.engines.trial import KINDS
    options = TransformersOptions(context_window=window, slots=users, weights=KINDS[kind])
    return await TransformersEngine.open(path, options)

async def main():
    engine = await opened()
    long = " ".join(map(str, range(window)))
    ids = (await engine.prompt((Message("user", long),))).tokens[: window - 4]

    async def fill(number):
        own = (ids[number], *ids[1:])
        asked = Generation(Prompt((), len(own), own), 2)
        async with aclosing(engine.generate(asked)) as chunks:
            async for _ in chunks:
                pass

    await asyncio.gather(*map(fill, range(users)))
    give_back()
    model = getattr(getattr(engine, "_batch", None), "_model", None)
    weights = model.get_memory_footprint() if model is not None else None
    print(json.dumps([resident(), weights]))
    await engine.close()

asyncio.run(main())
"""


def measured(path: Path, kind: str) -> tuple[int, int | None]:
    """Bytes of the process with full contexts, and of the weights as transformers counts them."""
    command = [sys.executable, "-c", MEASURE, str(path), kind, str(WINDOW), str(USERS)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert told.returncode == 0, told.stderr[-2000:]
    total, weights = json.loads(told.stdout.splitlines()[-1])
    return total, weights


@pytest.mark.timeout(320)
@pytest.mark.skipif(sys.platform != "linux", reason="a process's memory is read from /proc")
def test_the_plan_of_a_gguf_is_right_within_a_tenth(model_path: Path) -> None:
    planned = estimate(read_shape(model_path), Choice("llamacpp"), Use(WINDOW, USERS))
    total, _ = measured(model_path, "gguf")
    assert planned.total == pytest.approx(total, rel=0.1)


@pytest.mark.timeout(320)
@pytest.mark.skipif(sys.platform != "linux", reason="a process's memory is read from /proc")
@pytest.mark.e2e
@pytest.mark.parametrize("kind", ["fp32", "bf16", "int8", "nf4", "fp4", "nf4-double"])
@pytest.mark.parametrize("model", ["smollm2-135m", "gemma3-270m"])
def test_the_plan_for_transformers_is_right_within_a_tenth(
    transformers_extra: None, model: str, kind: str
) -> None:
    folder = _folder(model)
    planned = estimate(read_shape(folder), CHOICES[kind], Use(WINDOW, USERS))
    total, weights = measured(folder, kind)
    assert planned.weights == pytest.approx(weights, rel=0.1)
    assert planned.total == pytest.approx(total, rel=0.1)


def _folder(model: str) -> Path:
    """A known model for transformers; one that is not to be had is no reason to fail."""
    try:
        return checkpoint(model, cache_folder())
    except SetupError as error:
        pytest.skip(f"{model} is not to be had: {error.message}")
