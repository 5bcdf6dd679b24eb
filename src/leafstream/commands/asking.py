"""`leafstream ask` and `leafstream chat`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

URL = Annotated[
    str | None,
    typer.Option(
        envvar="LEAFSTREAM_URL",
        help="The server to ask. Not given: the one on port 8000, else a model is loaded here.",
    ),
]


def ask(
    context: typer.Context,
    assistant: Annotated[str, typer.Argument(help="The assistant's name.")],
    file: Annotated[Path | None, typer.Option(help="Python file that declares assistants.")] = None,
    url: URL = None,
    max_tokens: Annotated[int | None, typer.Option(help="The longest answer, in tokens.")] = None,
    seed: Annotated[int | None, typer.Option(help="For the same answer again.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print events as JSON lines.")] = False,
) -> None:
    """Ask an assistant once: a text, or its input's fields as options: --location city."""
    from leafstream.terminal import Options, ask_once  # noqa: PLC0415

    options = Options(url, file, max_tokens, seed, json)
    asyncio.run(ask_once(assistant, context.args, options))


def chat(
    assistant: Annotated[str, typer.Argument(help="A plain-text assistant.")] = "chat",
    file: Annotated[Path | None, typer.Option(help="Python file that declares assistants.")] = None,
    url: URL = None,
) -> None:
    """Hold a conversation in the terminal."""
    from leafstream.terminal import Options, hold_conversation  # noqa: PLC0415

    asyncio.run(hold_conversation(assistant, Options(url, file)))
