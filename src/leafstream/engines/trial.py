"""One model in one kind of weights, measured: `python -m leafstream.engines.trial FOLDER KIND`.

A process of its own for each kind, so that one's memory is not counted as another's. The figures
are of this engine as it serves, not of transformers alone. Prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import sys
import time
from contextlib import aclosing
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from leafstream.engines.base import Generation, Prompt
from leafstream.engines.device import give_back, peak_resident, resident
from leafstream.engines.transformers import TransformersEngine, TransformersOptions
from leafstream.engines.weights import WeightOptions, Weights, load, require_extra
from leafstream.errors import LeafstreamError, SetupError
from leafstream.messages import Message
from leafstream.sampling import Sampling
from leafstream.sizing import MIN_WINDOW, Use

KINDS: dict[str, WeightOptions] = {
    "fp32": WeightOptions(dtype="fp32"),
    "bf16": WeightOptions(dtype="bf16"),
    "fp16": WeightOptions(dtype="fp16"),
    "int8": WeightOptions(dtype="bf16", quant="int8"),
    "nf4": WeightOptions(dtype="bf16", quant="nf4"),
    "fp4": WeightOptions(dtype="bf16", quant="fp4"),
    "nf4-double": WeightOptions(dtype="bf16", quant="nf4", double_quant=True),
    "fp4-double": WeightOptions(dtype="bf16", quant="fp4", double_quant=True),
}
PERPLEXITY_WINDOW = 512
FIRST_TOKEN = 100
"""Above the control tokens of any vocabulary."""


class Plan(msgspec.Struct, frozen=True):
    """What a trial does: `tokens` are written for each rate, after a prompt of `prompt_tokens`;
    the time to the first token is taken after prompts of `ttft_tokens`. A model of random weights
    wants a `temperature`: greedily it may write half a character again and again, and no text.
    """

    tokens: int = 64
    prompt_tokens: int = 128
    batches: tuple[int, ...] = (1, 8)
    ttft_tokens: tuple[int, ...] = (128,)
    perplexity_tokens: int = 1024
    temperature: float = 0.0


class Trial(msgspec.Struct, frozen=True):
    """Seconds, bytes and tokens/s (of all sequences together). Memory is what the process, or the
    GPU, holds beyond what it held before the load; `footprint` is what transformers reports.
    """

    kind: str
    load_seconds: float
    memory: int
    peak_memory: int
    footprint: int
    ttft_seconds: dict[str, float]
    tokens_per_second: dict[str, float]
    perplexity: float
    device: str


def measure(folder: Path, kind: str, plan: Plan) -> Trial:
    """Load the model in `folder` as `kind` and measure it. Blocks. Raises SetupError."""
    if kind not in KINDS:
        raise SetupError(f"there is no kind {kind!r}; the kinds are {', '.join(KINDS)}")
    require_extra()
    _import_all()
    users = max(plan.batches)
    longest = max(plan.prompt_tokens + plan.tokens + users, *plan.ttft_tokens)
    window = max(longest + 8, MIN_WINDOW)
    before = resident()
    begun = time.perf_counter()
    weights = load(folder, KINDS[kind], Use(window, users))
    took = time.perf_counter() - begun
    give_back()
    options = TransformersOptions(name=kind, context_window=window, slots=users)
    ttft, rates = asyncio.run(_rates(weights, options, plan))
    give_back()
    return Trial(
        kind=kind,
        load_seconds=round(took, 2),
        memory=_memory(weights, resident() - before),
        peak_memory=_peak(weights, peak_resident() - before),
        footprint=weights.model.get_memory_footprint(),
        ttft_seconds=ttft,
        tokens_per_second=rates,
        perplexity=round(_perplexity(weights, plan.perplexity_tokens), 2),
        device=str(weights.device),
    )


def _import_all() -> None:
    """Bring the libraries in, so that their memory is not counted as the model's."""
    import accelerate.hooks  # noqa: F401, PLC0415
    import bitsandbytes  # noqa: F401, PLC0415
    import llguidance.hf  # noqa: F401, PLC0415
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    import leafstream.engines.batch  # noqa: F401, PLC0415

    _ = transformers.AutoModelForCausalLM, transformers.BitsAndBytesConfig
    torch.ones(64, 64) @ torch.ones(64, 64)


async def _rates(
    weights: Weights, options: TransformersOptions, plan: Plan
) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds to the first token by the prompt's length, and tokens/s by the batch's size."""
    engine = TransformersEngine(weights, options)
    try:
        prompt = await _prompt(engine, plan.prompt_tokens)
        await _written(engine, prompt, 2, 0)  # warms up
        waits = {
            str(length): await _wait(engine, await _prompt(engine, length))
            for length in plan.ttft_tokens
        }
        rates = {}
        for batch in plan.batches:
            # The first writes a token for each of the others that is read: so many more are needed.
            count = plan.tokens + batch
            asked = (
                _written(engine, prompt, count, 10 + number, plan.temperature)
                for number in range(batch)
            )
            rates[str(batch)] = round(rate(await asyncio.gather(*asked)), 1)
        return waits, rates
    finally:
        await engine.close()


async def _wait(engine: TransformersEngine, prompt: Prompt) -> float:
    """Seconds to the first token, the median of three."""
    waits = []
    for number in range(1, 4):
        begun = time.perf_counter()
        waits.append((await _written(engine, prompt, 1, number))[0] - begun)
    return round(statistics.median(waits), 3)


def rate(times: list[list[float]]) -> float:
    """Tokens/s while all sequences were written at once; `times` are those of their tokens."""
    begin, end = max(each[0] for each in times), min(each[-1] for each in times)
    count = sum(begin < moment <= end for each in times for moment in each)
    return count / (end - begin) if end > begin else 0.0


async def _prompt(engine: TransformersEngine, num_tokens: int) -> Prompt:
    ids = (await engine.prompt((Message("user", text()),))).tokens
    repeated = ids * (num_tokens // len(ids) + 1)
    return Prompt((), num_tokens, repeated[:num_tokens])


async def _written(
    engine: TransformersEngine,
    prompt: Prompt,
    num_tokens: int,
    number: int,
    temperature: float = 0.0,
) -> list[float]:
    """When each token came; `number` makes the prompt one not read before."""
    ids = (FIRST_TOKEN + number, *prompt.tokens[1:])
    sampling = Sampling(temperature=temperature, seed=number)
    asked = Generation(Prompt(prompt.messages, len(ids), ids), num_tokens, sampling)
    times = []
    async with aclosing(engine.generate(asked)) as chunks:
        async for chunk in chunks:
            times += [time.perf_counter()] * chunk.num_tokens
    return times or [time.perf_counter()]


def text() -> str:
    """The English text that ships for this."""
    return (resources.files("leafstream") / "data" / "perplexity.txt").read_text("utf-8")


def _perplexity(weights: Weights, num_tokens: int) -> float:
    """Of the text that ships, in windows of 512 tokens; the first token of each is given."""
    import torch  # noqa: PLC0415

    ids = weights.tokenizer(text()).input_ids[:num_tokens]
    total, count = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(ids) - 1, PERPLEXITY_WINDOW):
            window = torch.tensor([ids[start : start + PERPLEXITY_WINDOW]], device=weights.device)
            scores = weights.model(input_ids=window).logits[0, :-1].float().log_softmax(-1)
            total -= float(scores.gather(-1, window[0, 1:, None]).sum())
            count += window.shape[1] - 1
    return math.exp(total / count)


def _memory(weights: Weights, main: int) -> int:
    return _gpu(weights, "memory_allocated") if weights.device.type == "cuda" else main


def _peak(weights: Weights, main: int) -> int:
    return _gpu(weights, "max_memory_allocated") if weights.device.type == "cuda" else main


def _gpu(weights: Weights, what: str) -> int:
    import torch  # noqa: PLC0415

    told: Any = getattr(torch.cuda, what)(weights.device)
    return int(told)


def main() -> None:
    folder, kind, plan = sys.argv[1:]
    try:
        trial = measure(Path(folder), kind, msgspec.json.decode(plan, type=Plan))
    except LeafstreamError as error:
        sys.stderr.write(error.message)
        sys.exit(2)
    sys.stdout.write(msgspec.json.encode(trial).decode() + "\n")


if __name__ == "__main__":
    main()
