"""`leafstream explain`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer


def explain(
    context: typer.Context,
    assistant: Annotated[
        str | None, typer.Option(help="Whose settings are shown; without one, the engine's.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Python file that declares assistants.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A request's setting, such as temperature=0; repeatable."),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(help="Show what the model reads of this assistant; its fields are options."),
    ] = None,
    conversation: Annotated[
        str | None, typer.Option(help="With --prompt: a kept conversation that comes before.")
    ] = None,
    schema: Annotated[
        str | None,
        typer.Option(help="Show which keywords of an assistant's or a JSON file's schema are "
                     "enforced while the model writes."),
    ] = None,
) -> None:  # fmt: skip
    """Show generation settings, an assistant's exact prompt, or what holds a schema."""
    from leafstream.errors import InvalidRequest  # noqa: PLC0415
    from leafstream.explained import Explained, show_prompt, show_schema, show_settings  # noqa: PLC0415
    from leafstream.reporting import download_bar  # noqa: PLC0415

    if prompt is None and context.args:
        name = context.args[0]
        raise InvalidRequest(
            f"{name} alone says not what to explain: --assistant NAME shows an assistant's "
            "settings, --prompt NAME what the model reads of it, --schema NAME what holds its type"
        )
    if prompt is None and conversation is not None:
        raise InvalidRequest("--conversation goes with --prompt only")
    with download_bar() as progress:
        explained = Explained(file, progress)
        if prompt is not None:
            asyncio.run(show_prompt(explained, prompt, context.args, conversation))
        elif schema is not None:
            asyncio.run(show_schema(explained, schema))
        else:
            asyncio.run(show_settings(explained, assistant, set_ or []))
