"""All rows of the benchmark: one table, bench/results/bench.json and a picture.

python -m bench [--only ROW] [--only ROW] …
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from bench import (
    decoder,
    delivery,
    draft,
    engine,
    fairness,
    gateway,
    growth,
    memory,
    picture,
    resume,
    start,
    turns,
)
from bench.rows import Row

RESULTS = Path(__file__).parent / "results"
COLUMNS = ("row", "case", "ours", "baseline", "unit", "ratio", "target", "holds")


def awaited(rows: Callable[[], Awaitable[list[Row]]]) -> list[Row]:
    async def gathered() -> list[Row]:
        return await rows()

    return uvloop.run(gathered())


PARTS: dict[str, Callable[[], list[Row]]] = {
    "delivery": partial(awaited, delivery.rows),
    "gateway": partial(awaited, gateway.rows),
    "engine": partial(awaited, engine.rows),
    "fairness": partial(awaited, fairness.rows),
    "turns": partial(awaited, turns.rows),
    "decoder": decoder.rows,
    "draft": draft.rows,
    "resume": partial(awaited, resume.rows),
    "memory": partial(awaited, memory.rows),
    "start": start.rows,
    "growth": partial(awaited, growth.rows),
}


def measured(names: list[str], console: Console) -> list[Row]:
    """The rows of each part; what fails is told and ends nothing else."""
    rows: list[Row] = []
    allowed = os.sched_getaffinity(0)
    for name in names:
        begun = time.perf_counter()
        try:
            rows += PARTS[name]()
        except Exception as error:
            logging.getLogger("bench").exception("%s could not be measured", name)
            rows.append(dict.fromkeys(COLUMNS) | {"row": name, "case": f"failed: {error}"})
        os.sched_setaffinity(0, allowed)  # some parts keep to one core
        console.print(f"{name}: {time.perf_counter() - begun:.0f} s", style="dim")
    return rows


def kept(measured_again: list[str]) -> list[Row]:
    """The rows of earlier runs that this one did not measure."""
    path = RESULTS / "bench.json"
    earlier: list[Row] = json.loads(path.read_text()) if path.exists() else []
    return [row for row in earlier if row["row"].partition(":")[0] not in measured_again]


def shown(rows: list[Row]) -> Table:
    table = Table(*COLUMNS)
    for row in rows:
        missed = row["holds"] is False
        told = ("" if row[name] is None else str(row[name]) for name in COLUMNS)
        table.add_row(*told, style="red" if missed else None)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--only", action="append", choices=PARTS, metavar="ROW")
    only = parser.parse_args().only
    console = Console(width=160)
    rows = measured(only or list(PARTS), console)
    console.print(shown(rows))
    RESULTS.mkdir(exist_ok=True)
    rows = [*(kept(only) if only else ()), *rows]
    told = json.dumps(rows, indent=1, ensure_ascii=False)
    (RESULTS / "bench.json").write_text(told + "\n")
    (RESULTS / "bench.svg").write_text(picture.drawn(rows))


if __name__ == "__main__":
    main()
