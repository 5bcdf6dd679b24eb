"""`leafstream serve`."""

from __future__ import annotations

from typing import Annotated

import typer


def serve(
    source: Annotated[
        str | None,
        typer.Argument(help="Python file that declares assistants, or a bundled app: leafresh."),
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A GGUF path, hf:owner/repo/file.gguf, or a short name.")
    ] = None,
) -> None:
    """Serve assistants over HTTP and SSE."""
    from leafstream.reporting import download_bar, set_up_logging  # noqa: PLC0415
    from leafstream.served import read_served  # noqa: PLC0415
    from leafstream.server import run  # noqa: PLC0415
    from leafstream.settings import read_settings  # noqa: PLC0415

    settings = read_settings(host=host, port=port, model=model)
    set_up_logging(settings.log_level)
    served = read_served(source)
    with download_bar() as progress:
        run(settings, served, progress)
