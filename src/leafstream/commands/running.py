"""`leafstream up`, `status`, `logs`, `restart`, `down` and `unit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leafstream.commands.looking import CONFIG
from leafstream.commands.serving import HOST, MODEL, PORT, RELOAD, SOURCE

NAME = Annotated[str, typer.Argument(help="The instance's name.")]
MAIN = "main"


def up(
    name: NAME = MAIN,
    source: SOURCE = None,
    host: HOST = None,
    port: PORT = None,
    model: MODEL = None,
    config: CONFIG = None,
    reload: RELOAD = False,
) -> None:
    """Serve in the background, as an instance that outlives the terminal and its own crashes."""
    from leafstream.instances import control, view  # noqa: PLC0415
    from leafstream.instances.instance import Instance  # noqa: PLC0415
    from leafstream.settings import read_settings  # noqa: PLC0415

    settings = read_settings(config, host=host, port=port, model=model)
    given = {"--host": host, "--port": port, "--model": model, "--config": config}
    options = [
        part for flag, value in given.items() if value is not None for part in (flag, str(value))
    ]
    if reload:
        options.append("--reload")
    instance = Instance(settings.state, name)
    control.start(instance, [source, *options] if source else options, settings)
    with view.waiting(instance, "starting") as told:
        state = control.wait_ready(instance, told)
    typer.echo(f"{name} is ready at {state.url}")


def status(
    name: Annotated[
        str | None, typer.Argument(help="An instance; all of them if not given.")
    ] = None,
    config: CONFIG = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON array.")] = False,
) -> None:
    """Show the instances; exit code 3 where one of them does not run."""
    from leafstream.instances import view  # noqa: PLC0415
    from leafstream.instances.instance import Instance, instances  # noqa: PLC0415
    from leafstream.settings import read_settings  # noqa: PLC0415

    root = read_settings(config).state
    found = [Instance(root, name)] if name else instances(root)
    if not view.show_status(found, json=json):
        raise typer.Exit(3)


def logs(
    name: NAME = MAIN,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="How many to begin with.")
    ] = 100,
    config: CONFIG = None,
) -> None:
    """Print what an instance has logged."""
    from leafstream.instances import view  # noqa: PLC0415
    from leafstream.instances.instance import Instance  # noqa: PLC0415
    from leafstream.settings import read_settings  # noqa: PLC0415

    instance = Instance(read_settings(config).state, name)
    instance.read()
    view.show_log(instance, lines, follow=follow)


def restart(name: NAME = MAIN, config: CONFIG = None) -> None:
    """End an instance's server gently and start it again; settings files are read anew."""
    from leafstream.instances import control, view  # noqa: PLC0415
    from leafstream.instances.instance import Instance  # noqa: PLC0415
    from leafstream.settings import read_settings  # noqa: PLC0415

    instance = Instance(read_settings(config).state, name)
    with view.waiting(instance, "restarting") as told:
        state = control.restart(instance, told)
    typer.echo(f"{name} is ready at {state.url}")


def down(
    name: NAME = MAIN,
    config: CONFIG = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Remove what is kept of it too, its log with it.")
    ] = False,
) -> None:
    """End an instance; answers may end first, and what is left goes on at the next start."""
    from leafstream.instances import control, view  # noqa: PLC0415
    from leafstream.instances.instance import Instance  # noqa: PLC0415
    from leafstream.settings import read_settings  # noqa: PLC0415

    instance = Instance(read_settings(config).state, name)
    if not forget or instance.is_running():
        with view.waiting(instance, "stopping") as told:
            control.stop(instance, told)
    if forget:
        instance.forget()
    typer.echo(f"{name} is {'forgotten' if forget else 'down'}")


def unit(
    source: SOURCE = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file of settings for the unit.")
    ] = None,
) -> None:
    """Print a systemd unit that runs this installation, shut off from what it does not need."""
    from leafstream.instances import control  # noqa: PLC0415
    from leafstream.instances import unit as units  # noqa: PLC0415
    from leafstream.settings import read_settings  # noqa: PLC0415

    stop = control.stop_seconds(read_settings(config))
    typer.echo(units.text(source, config, stop), nl=False)
