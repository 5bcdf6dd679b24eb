"""What the page for operators names is there."""

from __future__ import annotations

import re
from pathlib import Path

import typer.main

from leafstream.cli import app
from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.settings import NAMES, OTHER_VARIABLES
from leafstream.top import parse
from tests.house import ASK_PAIR, house

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()


def test_every_command_and_option_of_the_page_is_one_of_the_command_line() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    used = re.findall(r"^\$ (?:[A-Z_]+=\S+ )?leafstream (.*?)(?: \||$)", PAGE, re.MULTILINE)
    assert len(used) > 15
    for line in used:
        name, *words = line.split()
        command = commands[name]
        if words and hasattr(command, "commands"):
            command = command.commands[words[0]]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known, line


def test_every_setting_of_the_page_is_one() -> None:
    named = set(re.findall(r"LEAFSTREAM_([A-Z_]+)", PAGE)) - {"PROT"}
    assert named <= {name.upper() for name in NAMES} | set(OTHER_VARIABLES)


async def test_every_metric_of_the_page_is_served(tmp_path: Path) -> None:
    async with house(tmp_path, ScriptedEngine("no JSON", Play(cap=1))) as served:
        await served.stream(ASK_PAIR)
        await served.http.get("/nowhere")
        told = parse((await served.http.get("/metrics")).text, 0)
    table = PAGE[PAGE.index("| `leafstream_…` |") : PAGE.index("`process_…`")]
    rows = [row.split("|")[1] for row in table.splitlines()[2:] if row.startswith("|")]
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert len(names) == 17
    for name in names:
        assert {f"leafstream_{name}", f"leafstream_{name}_count"} & set(told.values), name
