"""`leafstream serve`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from leafstream.commands.looking import CONFIG

if TYPE_CHECKING:
    from leafstream.settings import Settings

SOURCE = Annotated[
    str | None,
    typer.Argument(help="Python file that declares assistants, or a bundled app: leafresh."),
]
HOST = Annotated[str | None, typer.Option(help="Address to listen on.")]
PORT = Annotated[int | None, typer.Option(help="Port to listen on.")]
MODEL = Annotated[
    str | None, typer.Option(help="A GGUF path, hf:owner/repo/file.gguf, or a short name.")
]
WORKERS = Annotated[
    int, typer.Option(min=1, max=64, help="Processes over one engine, which is loaded once.")
]
RELOAD = Annotated[bool, typer.Option("--reload", help="Take up changes of the assistants file.")]


def serve(
    source: SOURCE = None,
    host: HOST = None,
    port: PORT = None,
    model: MODEL = None,
    config: CONFIG = None,
    reload: RELOAD = False,
    workers: WORKERS = 1,
) -> None:
    """Serve assistants over HTTP and SSE."""
    from leafstream.checks import BEFORE_LOADING, CHECKS, Target, refuse_fatal  # noqa: PLC0415
    from leafstream.engine_choice import loads_model  # noqa: PLC0415
    from leafstream.errors import SetupError  # noqa: PLC0415
    from leafstream.port import is_worker  # noqa: PLC0415
    from leafstream.reload import reloadable  # noqa: PLC0415
    from leafstream.reporting import download_bar, set_up_logging  # noqa: PLC0415
    from leafstream.served import read_served  # noqa: PLC0415
    from leafstream.settings import adopt_variables, read_settings  # noqa: PLC0415
    from leafstream.start import run  # noqa: PLC0415
    from leafstream.stderr import recorded  # noqa: PLC0415

    if reload and workers > 1:
        raise SetupError("--reload is for one process; leave it out, or --workers")
    settings = read_settings(config, host=host, port=port, model=model)
    adopt_variables()
    set_up_logging(settings)
    served = read_served(source)
    if not is_worker():  # then its parent looked, and holds the port
        checks = CHECKS if workers > 1 else BEFORE_LOADING
        refuse_fatal(Target(settings, source, served), checks)
    watched = reloadable(source, served) if reload else None
    if workers > 1:
        _serve_with(workers, settings, source)
        return
    heard = recorded(settings.log_format) if loads_model(settings) else nullcontext()
    with heard, download_bar() as progress:
        run(settings, served, progress, watched)


def _serve_with(workers: int, settings: Settings, source: str | None) -> None:
    from leafstream.reporting import download_bar  # noqa: PLC0415
    from leafstream.workers import Crew, run  # noqa: PLC0415

    crew = Crew(workers, () if source is None else (source,))
    with download_bar() as progress:
        run(settings, crew, progress)
