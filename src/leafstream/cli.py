"""The command line: serve, ask, chat."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from leafstream.errors import LeafstreamError, SetupError

app = typer.Typer(
    name="leafstream",
    help="Typed answers from the model you run yourself, streamed field by field.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

URL = Annotated[
    str,
    typer.Option(
        envvar="LEAFSTREAM_URL",
        help="The server to ask; without one there, a model is loaded here.",
    ),
]
HERE = "http://127.0.0.1:8000"


@app.command()
def serve(
    file: Annotated[
        Path | None, typer.Argument(help="Python file that declares assistants.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A GGUF path, hf:owner/repo/file.gguf, or a short name.")
    ] = None,
) -> None:
    """Serve assistants over HTTP and SSE."""
    from leafstream.reporting import download_bar, set_up_logging  # noqa: PLC0415
    from leafstream.server import read_assistants  # noqa: PLC0415
    from leafstream.server import serve as run  # noqa: PLC0415
    from leafstream.settings import read_settings  # noqa: PLC0415

    settings = read_settings(host=host, port=port, model=model)
    set_up_logging(settings.log_level)
    assistants = read_assistants(file)
    with download_bar() as progress:
        asyncio.run(run(settings, assistants, progress))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def ask(
    context: typer.Context,
    assistant: Annotated[str, typer.Argument(help="The assistant's name.")],
    file: Annotated[Path | None, typer.Option(help="Python file that declares assistants.")] = None,
    url: URL = HERE,
    max_tokens: Annotated[int | None, typer.Option(help="The longest answer, in tokens.")] = None,
    seed: Annotated[int | None, typer.Option(help="For the same answer again.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print events as JSON lines.")] = False,
) -> None:
    """Ask an assistant once; its input's fields are options: --location city."""
    from leafstream.terminal import Options, ask_once  # noqa: PLC0415

    options = Options(url, file, max_tokens, seed, json)
    asyncio.run(ask_once(assistant, context.args, options))


@app.command()
def chat(
    assistant: Annotated[str, typer.Argument(help="A plain-text assistant.")] = "chat",
    file: Annotated[Path | None, typer.Option(help="Python file that declares assistants.")] = None,
    url: URL = HERE,
) -> None:
    """Hold a conversation in the terminal."""
    from leafstream.terminal import Options, hold_conversation  # noqa: PLC0415

    asyncio.run(hold_conversation(assistant, Options(url, file)))


@app.command()
def version() -> None:
    """Print the version."""
    from leafstream import __version__  # noqa: PLC0415

    typer.echo(__version__)


def main() -> None:
    """Run the command line; an error of ours is one sentence and exit code 1 (2 at set-up)."""
    try:
        app()
    except LeafstreamError as error:
        typer.echo(f"leafstream: {error.message}", err=True)
        sys.exit(2 if isinstance(error, SetupError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
