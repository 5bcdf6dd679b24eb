"""`leafstream settings`: what is set, and by whom."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CONFIG = Annotated[
    Path | None, typer.Option(envvar="LEAFSTREAM_CONFIG", help="A TOML file of settings.")
]


def settings(
    config: CONFIG = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the reference page of all settings.")
    ] = False,
) -> None:
    """Show every setting with its value and where that comes from; secrets are hidden."""
    from leafstream import reference  # noqa: PLC0415
    from leafstream.settings import read_layers  # noqa: PLC0415

    if markdown:
        typer.echo(reference.page(), nl=False)
        return
    reading = read_layers(config)
    if json:
        typer.echo(reference.as_json(reading))
    else:
        reference.show(reading)
