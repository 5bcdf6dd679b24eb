"""`leafstream serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from leafstream.commands.looking import CONFIG

SOURCE = Annotated[
    str | None,
    typer.Argument(help="Python file that declares assistants, or a bundled app: leafresh."),
]
HOST = Annotated[str | None, typer.Option(help="Address to listen on.")]
PORT = Annotated[int | None, typer.Option(help="Port to listen on.")]
MODEL = Annotated[
    str | None, typer.Option(help="A GGUF path, hf:owner/repo/file.gguf, or a short name.")
]
RELOAD = Annotated[bool, typer.Option("--reload", help="Take up changes of the assistants file.")]


def serve(
    source: SOURCE = None,
    host: HOST = None,
    port: PORT = None,
    model: MODEL = None,
    config: CONFIG = None,
    reload: RELOAD = False,
) -> None:
    """Serve assistants over HTTP and SSE."""
    from leafstream.checks import Target, refuse_fatal  # noqa: PLC0415
    from leafstream.reload import reloadable  # noqa: PLC0415
    from leafstream.reporting import download_bar, set_up_logging  # noqa: PLC0415
    from leafstream.served import read_served  # noqa: PLC0415
    from leafstream.server import run  # noqa: PLC0415
    from leafstream.settings import adopt_variables, read_settings  # noqa: PLC0415

    settings = read_settings(config, host=host, port=port, model=model)
    adopt_variables()
    set_up_logging(settings)
    served = read_served(source)
    refuse_fatal(Target(settings, source, served))
    watched = reloadable(source, served) if reload else None
    with download_bar() as progress:
        run(settings, served, progress, watched)
