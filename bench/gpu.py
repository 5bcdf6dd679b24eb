"""Kinds of weights of a 7B-shaped model, as shares of what reading memory allows.

    python -m bench.gpu [--output FOLDER]

Random weights in the shape of Mistral-7B, written once to a temporary folder (15 GB) and measured
by the engine itself, each kind in a process of its own: tokens/s at batch 1, 8 and 32, and the time
to the first token after 512 and 4,096 tokens of prompt. Where torch sees no GPU it takes a small
shape on the CPU and says so: such figures tell that the script works, and nothing of a GPU.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from leafstream.comparing import Comparison, measure_all
from leafstream.engines.checkpoint import dequantized
from leafstream.engines.device import bandwidth
from leafstream.engines.trial import Plan, Trial
from leafstream.engines.weights import require_extra
from leafstream.models.cache import check_space
from leafstream.models.fetch import cache_folder, resolve
from leafstream.models.shape import Shape, read_shape
from leafstream.planning import CHOICES
from leafstream.sizing import Use, tokens_per_second

KINDS = ["bf16", "int8", "nf4", "fp4"]
MISTRAL = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 32768,
}
SMALL = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 6,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
}
GPU_PLAN = Plan(
    tokens=128, prompt_tokens=128, batches=(1, 8, 32), ttft_tokens=(512, 4096), temperature=1.0
)
CPU_PLAN = Plan(
    tokens=16,
    prompt_tokens=32,
    batches=(1, 8, 32),
    ttft_tokens=(512,),
    perplexity_tokens=32,
    temperature=1.0,
)
COPIED_BYTES = 1 << 30


def write_model(folder: Path, sizes: dict[str, int]) -> None:
    """A model of random weights in bf16, with the default model's tokenizer."""
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    config: Any = transformers.LlamaConfig(
        vocab_size=49152, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, **sizes
    )
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    model: Any = transformers.LlamaForCausalLM(config)
    model.save_pretrained(folder)
    cache = cache_folder()
    known = dequantized(resolve("smollm2-135m", cache=cache), cache)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(known / name, folder / name)


def gpu_bandwidth() -> float:
    """Bytes/s that a GPU reads and writes while it copies; the best of a few rounds."""
    import torch  # noqa: PLC0415

    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    times = []
    for _ in range(10):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        target.copy_(source)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return 2 * COPIED_BYTES / min(times)


def share(trial: Trial, shape: Shape, batch: int, plan: Plan, speed: float) -> float:
    """Measured tokens/s over the bound at the middle of what was written."""
    use = Use(plan.prompt_tokens + plan.tokens // 2, batch)
    bound = tokens_per_second(shape, CHOICES[trial.kind], use, speed)
    return trial.tokens_per_second[str(batch)] / bound


def rows(found: Comparison, shape: Shape, plan: Plan, speed: float) -> list[dict[str, Any]]:
    return [
        {
            "kind": trial.kind,
            "memory GB": round(trial.memory / 1e9, 2),
            **{f"TTFT {tokens}, s": seconds for tokens, seconds in trial.ttft_seconds.items()},
            **{f"tokens/s, {batch}": trial.tokens_per_second[str(batch)] for batch in plan.batches},
            **{
                f"share, {batch}": round(share(trial, shape, batch, plan, speed), 2)
                for batch in plan.batches
            },
        }
        for trial in found.trials
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="a folder for gpu.json")
    output: Path | None = parser.parse_args().output
    require_extra()
    import torch  # noqa: PLC0415

    has_gpu = torch.cuda.is_available()
    name = torch.cuda.get_device_name() if has_gpu else "CPU, a small shape: NO GPU HERE"
    plan, sizes = (GPU_PLAN, MISTRAL) if has_gpu else (CPU_PLAN, SMALL)
    speed = gpu_bandwidth() if has_gpu else bandwidth()
    with tempfile.TemporaryDirectory(prefix="leafstream-bench-") as made:
        folder = Path(made) / "model"
        check_space(Path(made), 16 << 30 if has_gpu else 1 << 30, "the model of random weights")
        write_model(folder, sizes)
        found = asyncio.run(measure_all(name, folder, KINDS, plan, _tell))
        made_rows = rows(found, read_shape(folder), plan, speed)
    table = Table(*made_rows[0], title=f"{name}; memory at {speed / 1e9:.0f} GB/s")
    for row in made_rows:
        table.add_row(*map(str, row.values()))
    Console(width=160).print(table)
    for kind, reason in found.failed.items():
        print(f"{kind}: {reason}", file=sys.stderr)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        told = {"device": name, "bandwidth": speed, "rows": made_rows}
        told["trials"] = msgspec.to_builtins(found.trials)
        (output / "gpu.json").write_text(json.dumps(told, indent=1) + "\n")


def _tell(kind: str) -> None:
    print(f"measuring {kind} …", file=sys.stderr)


if __name__ == "__main__":
    main()
