"""All rows of the benchmark: one table, and bench/results/bench.json."""

from __future__ import annotations

import json
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from bench import decoder, draft, engine, fairness, start, turns

RESULTS = Path(__file__).parent / "results" / "bench.json"


def main() -> None:
    rows = [*decoder.rows(), *draft.rows(), *start.rows()]
    for served in (engine, turns, fairness):
        rows += uvloop.run(served.rows())
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    columns = ("row", "case", "ours", "baseline", "unit", "ratio", "target", "holds")
    table = Table(*columns)
    for row in rows:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in columns))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
