"""`leafstream doctor`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from leafstream.commands.looking import CONFIG
from leafstream.commands.serving import HOST, MODEL, PORT, SOURCE

_SIGNS = {
    "ok": "[green]ok[/green]",
    "warning": "[yellow]warning[/yellow]",
    "problem": "[red]problem[/red]",
}


def doctor(
    source: SOURCE = None,
    host: HOST = None,
    port: PORT = None,
    model: MODEL = None,
    config: CONFIG = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """Check this machine and what is to be served; exit code 1 where there is a problem."""
    from leafstream.checks import Target, look_at_all  # noqa: PLC0415
    from leafstream.settings import adopt_variables, read_settings  # noqa: PLC0415

    settings = read_settings(config, host=host, port=port, model=model)
    adopt_variables()
    found = []
    for check, finding in look_at_all(Target(settings, source)):
        found.append((check.name, finding))
        if not json:
            _show(check.name, finding)
    if json:
        _show_json(found)
    if any(finding.level == "problem" for _, finding in found):
        raise typer.Exit(1)


def _show(name: str, finding: Any) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415

    from leafstream.lines import escaped  # noqa: PLC0415

    told = escape(escaped(finding.sentence))
    sign = _SIGNS[finding.level] + " " * (8 - len(finding.level))
    Console(highlight=False, soft_wrap=True).print(f"{sign} {name:<13} {told}")


def _show_json(found: list[tuple[str, Any]]) -> None:
    import msgspec  # noqa: PLC0415

    from leafstream.lines import escaped  # noqa: PLC0415

    rows = [{"check": name, **msgspec.structs.asdict(finding)} for name, finding in found]
    typer.echo(escaped(msgspec.json.encode(rows).decode()))
