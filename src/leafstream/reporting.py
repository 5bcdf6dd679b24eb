"""What a person or a machine sees of a running process: its log and its progress bars.

A record is a line: time, level, who speaks, what, and fields by name. `lines.py` knows both forms.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn
from rich.progress import TimeRemainingColumn as Remaining
from rich.table import Table

from leafstream.models.fetch import Progress as Report
from leafstream.settings import Settings

PIPE_WIDTH = 400
# What steers a terminal, or ends a line to some reader.
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def set_up_logging(settings: Settings) -> None:
    """Records on standard error; libraries speak only from warnings on."""
    handler = _Stderr()
    handler.setFormatter(JsonRecords() if settings.log_format == "json" else TextRecords())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    ours = logging.getLogger("leafstream")
    ours.setLevel(settings.log_level.upper())
    logging.getLogger("leafstream.access").disabled = not settings.log_access


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stderr` is when there is something to write."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """What a record says by name; the answer's id also where the speaker did not think of it."""
    told: dict[str, Any] = dict(getattr(record, "fields", {}))
    if answer := _current_answer():
        told.setdefault("answer", answer)
    return told


def _current_answer() -> str | None:
    """The answer that this task writes, whose name it bears."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop in this thread
        return None
    return task.get_name() if task is not None and task.get_name().startswith("ans_") else None


def _stamp(record: logging.LogRecord) -> str:
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03}Z"


class JsonRecords(logging.Formatter):
    """An object a line."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": _stamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields(record),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        return escaped(json.dumps(told, ensure_ascii=False, default=str))


class TextRecords(logging.Formatter):
    """A line for people; fields follow as name=value, and below it a traceback that is indented.

    Whatever it quotes, nothing in it looks like another record.
    """

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        told = {name: value for name, value in fields(record).items() if str(value) not in message}
        named = "".join(f" {name}={value}" for name, value in told.items())
        lines = [f"{_stamp(record)} {record.levelname} {record.name}: {message}{named}"]
        if record.exc_info:
            traceback = self.formatException(record.exc_info)
            lines += [f"  {line}" for line in traceback.split("\n")]
        return "\n".join(map(escaped, lines))


def escaped(text: str) -> str:
    """One line that steers no terminal, whoever wrote it."""
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def print_table(table: Table) -> None:
    """A table as wide as a terminal; in a pipe each row is one line."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPE_WIDTH)
    console.print(table)


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
