"""The command line: the commands by name, and how their errors end it."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
import typer.core

from leafstream import __version__
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


class Commands(typer.core.TyperGroup):
    """Says of an option's value what is wrong with it in our words."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            if (cause := error.__cause__) is not None:
                error.message = _told(cause) or error.message
            raise


def _told(cause: BaseException) -> str | None:
    from pydantic import ValidationError  # noqa: PLC0415

    from leafstream.invalid import fault  # noqa: PLC0415

    return f"it {fault(cause.errors()[0])}" if isinstance(cause, ValidationError) else None


app = typer.Typer(
    name="leafstream",
    cls=Commands,
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
    typer.echo(__version__)


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; an error of ours is one sentence and exit code 1 (2 at set-up)."""
    try:
        app()
    except LeafstreamError as error:
        typer.echo(f"leafstream: {error.message}", err=True)
        sys.exit(2 if isinstance(error, SetupError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
