"""Instances in a terminal."""

from __future__ import annotations

import json as js
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from leafstream.instances.control import Told
from leafstream.instances.instance import Instance
from leafstream.instances.logfile import Following, last_lines
from leafstream.reporting import print_table

FOLLOW_SECONDS = 0.1
COLUMNS = ("name", "state", "url", "pid", "since", "starts", "crashes", "last trouble")


@contextmanager
def waiting(instance: Instance, doing: str) -> Iterator[Told]:
    """Shows, in a terminal, what the log said last while something is waited for."""
    console = Console(stderr=True)
    with console.status(f"{doing} {instance.name}") as status:

        def told(_: object) -> None:
            lines = last_lines(instance.log, 1) if console.is_terminal else []
            if lines:
                said = lines[0].decode(errors="replace")[: console.width - 20]
                status.update(f"{doing} {instance.name}  [dim]{said}[/dim]")

        yield told


def show_status(instances: list[Instance], *, json: bool) -> bool:
    """Print them; whether there are any and all of them are ready."""
    rows = [_row(instance) for instance in instances]
    if json:
        sys.stdout.write(js.dumps(rows) + "\n")
    elif rows:
        _print_table(rows)
    else:
        sys.stdout.write("there are no instances; `leafstream up` starts one\n")
    return bool(rows) and all(row["state"] == "ready" for row in rows)


def _row(instance: Instance) -> dict[str, Any]:
    running, state = instance.is_running(), instance.read()
    phase: str = state.phase
    if not running and phase not in ("stopped", "failed"):
        phase = "died"
    told = msgspec.structs.asdict(state)
    trouble = state.message
    if state.log_trouble:
        trouble = "; ".join(filter(None, (trouble, f"the log is not written: {state.log_trouble}")))
    return {
        "name": instance.name,
        "state": phase,
        **{name: value for name, value in told.items() if name != "phase"},
        "url": state.url if running else "",
        "log": str(instance.log),
        "trouble": trouble,
    }


def _print_table(rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for row in rows:
        numbers = (str(row[name]) for name in ("starts", "crashes"))
        pid = str(row["server"] or "")
        since = ago(time.time() - row["since"])
        table.add_row(row["name"], row["state"], row["url"], pid, since, *numbers, row["trouble"])
    print_table(table)


def ago(seconds: float) -> str:
    """A span as a person says it: 42s, 5m, 3h, 2d."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def show_log(instance: Instance, lines: int, *, follow: bool) -> None:
    """Print the last lines, and what comes after them where it is to follow."""
    with closing(Following(instance.log)) as following:
        for line in last_lines(instance.log, lines):
            sys.stdout.buffer.write(line + b"\n")
        sys.stdout.flush()
        while follow:
            time.sleep(FOLLOW_SECONDS)
            sys.stdout.buffer.write(following.more())
            sys.stdout.flush()
