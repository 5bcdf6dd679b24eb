"""What a person sees of a running process: its log and its progress bars."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn
from rich.progress import TimeRemainingColumn as Remaining

from leafstream.models.fetch import Progress as Report


def set_up_logging(level: str) -> None:
    """One line an event on standard error; libraries speak only from warnings on."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("leafstream").setLevel(level.upper())


@contextmanager
def download_bar() -> Iterator[Report]:
    """A progress report for downloads: a bar in a terminal, a line per tenth elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), Remaining())
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what)
            bars.update(tasks[what], completed=done, total=total)

        yield report


def _lines(console: Console) -> Report:
    told: dict[str, int] = {}

    def report(what: str, done: int, total: int | None) -> None:
        tenth = 10 * done // total if total else 0
        if told.get(what) != tenth:
            told[what] = tenth
            size = f" of {total / 1e6:.0f}" if total else ""
            console.print(f"{what}: {done / 1e6:.0f}{size} MB", highlight=False)

    return report
