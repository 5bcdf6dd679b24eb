"""The command line: the commands by name, and how their errors end it."""

from __future__ import annotations

import sys

import typer

from leafstream.commands import (
    asking,
    doctor,
    explaining,
    keys,
    looking,
    measuring,
    models,
    running,
    serving,
    watching,
)
from leafstream.errors import LeafstreamError, SetupError

app = typer.Typer(
    name="leafstream",
    help="Typed answers from the model you run yourself, streamed field by field.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_FIELDS_ARE_OPTIONS = {"allow_extra_args": True, "ignore_unknown_options": True}

app.command()(serving.serve)
app.command(context_settings=_FIELDS_ARE_OPTIONS)(asking.ask)
app.command()(asking.chat)
app.add_typer(keys.app, name="keys")
app.command()(looking.settings)
for command in (running.up, running.status, running.logs, running.restart, running.down):
    app.command()(command)
app.command()(running.unit)
app.command()(watching.top)
app.command()(doctor.doctor)
app.add_typer(models.app, name="models")
app.command()(measuring.plan)
app.command()(measuring.quant)
app.command(context_settings=_FIELDS_ARE_OPTIONS)(explaining.explain)


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
