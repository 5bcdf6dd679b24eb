"""`leafstream plan` and `leafstream quant`: what a model takes, told before and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MODEL = Annotated[
    str,
    typer.Argument(
        help="A GGUF file, a folder, a short name, hf:owner/repo/file.gguf, owner/repo."
    ),
]


def plan(
    model: MODEL,
    memory: Annotated[
        str | None, typer.Option(help="Memory to fit in, as 24GB; unset: what is free here.")
    ] = None,
    quant: Annotated[
        str | None, typer.Option(help="One of bf16, int8, nf4, fp4, gguf …; unset: all.")
    ] = None,
    context: Annotated[int | None, typer.Option(help="Tokens of each user's context.")] = None,
    users: Annotated[int, typer.Option(help="Answers at once.", min=1, max=1024)] = 4,
    bandwidth: Annotated[
        str | None,
        typer.Option(help="Of the memory, as 936GB for a second; unset: measured here."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell what fits before anything is loaded: weights, contexts, users, speed."""
    from leafstream.planning import Asked, print_plan  # noqa: PLC0415

    print_plan(Asked(model, memory, quant, context, users, bandwidth), as_json=json)


def quant(
    model: MODEL,
    kinds: Annotated[
        str, typer.Option(help="Of fp32, bf16, fp16, int8, nf4, fp4, nf4-double, fp4-double.")
    ] = "bf16,int8,nf4,fp4",
    output: Annotated[
        Path | None, typer.Option(help="A folder for quant.json and quant.html.")
    ] = None,
    tokens: Annotated[int, typer.Option(help="Tokens written for each rate.", min=8)] = 64,
) -> None:
    """Measure each kind of weights on this machine: memory, speed, perplexity."""
    from leafstream.comparing import compare  # noqa: PLC0415

    compare(model, [kind.strip() for kind in kinds.split(",") if kind.strip()], output, tokens)
