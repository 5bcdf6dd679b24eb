"""What `leafstream plan` says: what a model takes in each kind of weights, and what to set."""

from __future__ import annotations

import sys
from functools import partial

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leafstream.engines.checkpoint import shape_of_spec
from leafstream.engines.device import bandwidth, free_memory
from leafstream.errors import SetupError
from leafstream.lines import escaped
from leafstream.models.fetch import cache_folder
from leafstream.models.shape import DEFAULT_WINDOW, Shape
from leafstream.settings import read_settings
from leafstream.sizing import (
    Choice,
    Estimate,
    Use,
    estimate,
    largest_window,
    offloaded,
    read_size,
    tokens_per_second,
)

GGUF = "gguf"
CHOICES: dict[str, Choice] = {
    GGUF: Choice("llamacpp"),
    "fp32": Choice("transformers", "fp32"),
    "bf16": Choice("transformers", "bf16"),
    "int8": Choice("transformers", quant="int8"),
    "nf4": Choice("transformers", quant="nf4"),
    "fp4": Choice("transformers", quant="fp4"),
    "nf4-double": Choice("transformers", quant="nf4", double_quant=True),
    "fp4-double": Choice("transformers", quant="fp4", double_quant=True),
}
SHOWN = (GGUF, "bf16", "int8", "nf4", "fp4")
# vLLM takes this share of a GPU unless told otherwise, and reads this many tokens in a step.
VLLM_SHARE, VLLM_BATCH = 0.9, 2048


class Asked(msgspec.Struct, frozen=True):
    """The options of the command."""

    model: str
    memory: str | None
    quant: str | None
    context: int | None
    users: int
    bandwidth: str | None


class Column(msgspec.Struct, frozen=True):
    """One kind of weights; sizes in bytes, rates in tokens/s of all users together."""

    kind: str
    estimate: Estimate
    fits: bool
    offload: int
    largest_context: int
    bound_one_user: float
    bound_all_users: float


class Planned(msgspec.Struct, frozen=True):
    """`vllm_max_model_len` is 0 where vLLM could not hold the weights.

    `unit` is what sizes are printed in: "GB", for powers of two too, where memory was given so.
    """

    model: str
    architecture: str
    num_parameters: int
    storage: str
    memory: int
    unit: str
    bandwidth: float
    context: int
    users: int
    columns: list[Column]
    vllm_max_model_len: int
    settings: str


def plan(asked: Asked) -> Planned:
    """The plan for a model. Raises SetupError where the model or an option cannot be read."""
    settings = read_settings()
    shape = shape_of_spec(
        asked.model, cache_folder(settings.cache_folder), offline=settings.offline
    )
    context = _context(asked, shape)
    memory = free_memory() if asked.memory is None else read_size(asked.memory)
    # Memory is sold in powers of two, its bandwidth in powers of ten.
    given = asked.bandwidth
    speed = bandwidth() if given is None else read_size(given) / 2**30 * 1e9
    use = Use(context, asked.users)
    columns = [_column(shape, kind, use, memory, speed) for kind in _kinds(asked, shape)]
    vllm = Choice("transformers", piece=VLLM_BATCH)
    return Planned(
        model=asked.model,
        architecture=shape.architecture,
        num_parameters=shape.num_parameters,
        storage=shape.storage,
        memory=memory,
        unit=_unit(asked.memory),
        bandwidth=speed,
        context=context,
        users=asked.users,
        columns=columns,
        vllm_max_model_len=largest_window(shape, vllm, 1, int(memory * VLLM_SHARE)),
        settings=_settings(asked, columns, context),
    )


def _unit(memory: str | None) -> str:
    return "GB" if memory is not None and "i" not in memory.lower() else "GiB"


def _context(asked: Asked, shape: Shape) -> int:
    trained = shape.context_length
    if asked.context is None:
        return min(trained, DEFAULT_WINDOW)
    if not 1 <= asked.context <= trained:
        raise SetupError(
            f"--context {asked.context} does not go with this model: it was trained on {trained}"
        )
    return asked.context


def _kinds(asked: Asked, shape: Shape) -> list[str]:
    if asked.quant is None:
        return [kind for kind in SHOWN if kind != GGUF or shape.kind == "gguf"]
    kind = asked.quant.lower()
    if kind not in CHOICES:
        raise SetupError(f"--quant {asked.quant} is not one of {', '.join(CHOICES)}")
    if kind == GGUF and shape.kind != "gguf":
        raise SetupError(f"--quant gguf is for GGUF files; {asked.model} is none")
    return [kind]


def _column(shape: Shape, kind: str, use: Use, memory: int, speed: float) -> Column:
    choice = CHOICES[kind]
    found = estimate(shape, choice, use)
    return Column(
        kind=kind,
        estimate=found,
        fits=found.total <= memory,
        offload=offloaded(shape, choice, use, memory),
        largest_context=largest_window(shape, choice, use.users, memory),
        bound_one_user=tokens_per_second(shape, choice, Use(use.window), speed),
        bound_all_users=tokens_per_second(shape, choice, use, speed),
    )


def _settings(asked: Asked, columns: list[Column], context: int) -> str:
    """What to set for leafstream: the first kind that fits, with the context asked for or less."""
    fitting = [column for column in columns if column.largest_context]
    if not fitting:
        return ""
    best = next((column for column in fitting if column.fits), fitting[0])
    window = min(context, best.largest_context)
    quant, _, double = best.kind.partition("-")
    model = asked.model if best.kind == GGUF else f"transformers:{asked.model}"
    parts = [f"LEAFSTREAM_MODEL={model}"]
    if quant in ("int8", "nf4", "fp4"):
        parts.append(f"LEAFSTREAM_QUANT={quant}")
    elif quant != GGUF:
        parts.append(f"LEAFSTREAM_DTYPE={quant}")
    if double:
        parts.append("LEAFSTREAM_DOUBLE_QUANT=true")
    return " ".join(
        [*parts, f"LEAFSTREAM_CONTEXT_WINDOW={window}", f"LEAFSTREAM_SLOTS={asked.users}"]
    )


def print_plan(asked: Asked, *, as_json: bool) -> None:
    planned = plan(asked)
    if as_json:
        told = escaped(msgspec.json.encode(planned).decode())
        sys.stdout.write(msgspec.json.format(told) + "\n")
        return
    console = Console()
    console.print(_table(planned))
    for line in _advice(planned):
        console.print(line, highlight=False, soft_wrap=True)


def _table(planned: Planned) -> Table:
    shown = partial(size, unit=planned.unit)
    title = (
        f"{planned.model}: {planned.num_parameters / 1e6:,.0f} M parameters "
        f"({planned.architecture}, {planned.storage}); {planned.users} users × {planned.context} "
        f"tokens in {shown(planned.memory)}"
    )
    table = Table(title=Text(escaped(title)), title_justify="left")
    table.add_column("")
    for column in planned.columns:
        table.add_column(column.kind, justify="right")
    found = [column.estimate for column in planned.columns]
    table.add_row("weights", *(shown(each.weights) for each in found))
    table.add_row(
        "keys and values, 1k tokens", *(shown(1000 * each.kv_per_token) for each in found)
    )
    table.add_row("keys and values, a user", *(shown(each.kv_per_user) for each in found))
    table.add_row("keys and values, all", *(shown(each.kv) for each in found))
    table.add_row("activations", *(shown(each.activations) for each in found))
    table.add_row("libraries", *(shown(each.runtime) for each in found))
    table.add_row("in all", *(shown(each.total) for each in found))
    table.add_row("fits", *("yes" if column.fits else "no" for column in planned.columns))
    table.add_row("to offload", *(shown(column.offload) for column in planned.columns))
    table.add_row("largest context", *(str(column.largest_context) for column in planned.columns))
    table.add_row(
        "at most tokens/s, 1 user", *(f"{each.bound_one_user:,.0f}" for each in planned.columns)
    )
    table.add_row(
        "at most tokens/s, all", *(f"{each.bound_all_users:,.0f}" for each in planned.columns)
    )
    return table


def _advice(planned: Planned) -> list[str]:
    lines = [f"Memory is read at {planned.bandwidth / 1e9:.1f} GB/s; the rates are its bound."]
    if planned.settings:
        lines.append(f"leafstream: {planned.settings}")
    else:
        lines.append("Nothing of this fits: take a smaller model, fewer users or more memory.")
    if planned.vllm_max_model_len:
        lines.append(
            f"vLLM (unquantized, {VLLM_SHARE:.0%} of the memory): --max-model-len "
            f"{min(planned.vllm_max_model_len, max(planned.context, 1))} --max-num-seqs "
            f"{planned.users}; at most {planned.vllm_max_model_len} for one user"
        )
    return lines


def size(count: int, unit: str) -> str:
    """Bytes as a person reads them, in GiB or GB (or MiB, MB)."""
    if count >= 1 << 30:
        return f"{count / 2**30:.2f} {unit}"
    return f"{count / 2**20:.1f} {unit.replace('G', 'M')}"
