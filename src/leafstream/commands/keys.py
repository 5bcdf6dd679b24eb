"""`leafstream keys`: add, list, remove."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

app = typer.Typer(help="Keys of callers.", no_args_is_help=True)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What you call it.")],
    scope: Annotated[list[str], typer.Option(help="answers, metrics")] = ["answers"],  # noqa: B006
    share: Annotated[int | None, typer.Option(min=1, help="Answers at once.")] = None,
    per_minute: Annotated[int | None, typer.Option(min=1, help="Requests a minute.")] = None,
) -> None:
    """Make a key and print it, this once."""
    from leafstream.keys import add_key  # noqa: PLC0415
    from leafstream.settings import read_settings  # noqa: PLC0415

    path = read_settings().keys_path
    text = add_key(path, name, scope, share, per_minute)
    typer.echo(text)
    typer.echo(f"It is not shown again. Serve with LEAFSTREAM_KEYS_FILE={path}", err=True)


@app.command("list")
def list_() -> None:
    """The keys there are, without their secrets."""
    from leafstream.keys import read_keys  # noqa: PLC0415
    from leafstream.settings import read_settings  # noqa: PLC0415

    for key in read_keys(read_settings().keys_path):
        made = datetime.fromtimestamp(key.created, UTC).date()
        limits = f"share {key.share or '-'}, per minute {key.per_minute or '-'}"
        typer.echo(f"{key.name}  lf_{key.id}_…  {', '.join(key.scopes)}  {limits}  {made}")


@app.command()
def remove(name: Annotated[str, typer.Argument(help="Whose key it was.")]) -> None:
    """Remove a key; a running server stops taking it within a second."""
    from leafstream.keys import remove_key  # noqa: PLC0415
    from leafstream.settings import read_settings  # noqa: PLC0415

    remove_key(read_settings().keys_path, name)
