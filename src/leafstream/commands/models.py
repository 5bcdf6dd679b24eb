"""`leafstream models`."""

from __future__ import annotations

from typing import Annotated

import typer

from leafstream.commands.looking import CONFIG

app = typer.Typer(help="The models on this machine.", no_args_is_help=True)
JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
NAME = Annotated[
    str, typer.Argument(help="A short name, hf:owner/repo/file.gguf, or a path to a file.")
]


@app.command("list")
def list_models(config: CONFIG = None, json: JSON = False) -> None:
    """List what is in the cache, and the models that have a short name."""
    from leafstream import shelf  # noqa: PLC0415
    from leafstream.settings import read_settings  # noqa: PLC0415

    shelf.show_list(read_settings(config), json=json)


@app.command()
def pull(name: NAME, config: CONFIG = None) -> None:
    """Fetch a model; goes on where it was interrupted, and checks what came."""
    from leafstream.models.fetch import cache_folder, resolve  # noqa: PLC0415
    from leafstream.reporting import download_bar  # noqa: PLC0415
    from leafstream.settings import adopt_variables, read_settings  # noqa: PLC0415

    settings = read_settings(config)
    adopt_variables()
    with download_bar() as progress:
        path = resolve(name, cache=cache_folder(settings.cache_folder), progress=progress)
    typer.echo(str(path))


@app.command()
def remove(name: NAME, config: CONFIG = None) -> None:
    """Delete a model, and what was downloaded of it, from the cache."""
    from leafstream.models.cache import megabytes  # noqa: PLC0415
    from leafstream.models.fetch import cache_folder  # noqa: PLC0415
    from leafstream.models.fetch import remove as delete  # noqa: PLC0415
    from leafstream.settings import read_settings  # noqa: PLC0415

    freed = delete(name, cache_folder(read_settings(config).cache_folder))
    typer.echo(f"removed {name}: {megabytes(freed)} freed")


@app.command()
def show(name: NAME, config: CONFIG = None, json: JSON = False) -> None:
    """Show what a model is, and whether its file is still what it was when it came."""
    from leafstream import shelf  # noqa: PLC0415
    from leafstream.reporting import download_bar  # noqa: PLC0415
    from leafstream.settings import read_settings  # noqa: PLC0415

    with download_bar() as progress:
        card = shelf.read_card(name, read_settings(config), progress)
    shelf.show_card(card, json=json)
