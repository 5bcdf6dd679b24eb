"""The table as a picture: of each row with a target, how much better than the target it is."""

from __future__ import annotations

import math
from html import escape

from bench.rows import Row

WIDTH, LEFT, HEIGHT, TOP = 1000, 560, 22, 48
REACH = 10.0
"""The axis goes from a tenth of the target to ten times as good."""
MET, MISSED = "#2e7d4f", "#c0392b"


def margin(row: Row) -> float | None:
    """1 where the target is just met, 2 where the figure is twice as good; None without target."""
    target = row["target"]
    if target is None or row["holds"] is None:
        return None
    sign, _, bound = str(target).rpartition(" ")
    # A target without a sign is of whichever figure, and in whichever sense, agrees with `holds`.
    for candidate in filter(None, (row["ratio"], row["ours"])):
        at_least: float = candidate / float(bound)
        for better in {">=": (at_least,), "<=": (1 / at_least,)}.get(
            sign, (at_least, 1 / at_least)
        ):
            if (better >= 1) == row["holds"]:
                return better
    return None


def drawn(rows: list[Row]) -> str:
    bars = [(row, found) for row in rows if (found := margin(row)) is not None]
    height = TOP + HEIGHT * len(bars) + 20
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            'font-family="sans-serif" font-size="12" fill="#222">'
        ),
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        '<text x="12" y="20" font-size="15">leafstream: measured beside its targets</text>',
    ]
    for factor, told in ((0.1, "10 times worse"), (1.0, "target"), (10.0, "10 times better")):
        x = place(factor)
        anchor = {0.1: "start", 1.0: "middle", 10.0: "end"}[factor]
        lines.append(f'<text x="{x:.0f}" y="40" text-anchor="{anchor}">{told}</text>')
        lines.append(f'<path d="M{x:.0f} {TOP}V{height - 12}" stroke="#bbb"/>')
    for number, (row, better) in enumerate(bars):
        lines.append(bar(row, better, TOP + HEIGHT * number))
    return "\n".join([*lines, "</svg>", ""])


def place(better: float) -> float:
    within = max(-1.0, min(1.0, math.log(better, REACH)))
    return LEFT + (WIDTH - LEFT - 12) * (within + 1) / 2


def bar(row: Row, better: float, y: int) -> str:
    start, end = sorted((place(1.0), place(better)))
    color = MET if row["holds"] else MISSED
    name = escape(f"{row['row']}: {row['case']}"[:88])
    told = f"{row['ours']:g} {row['unit']}"
    return (
        f'<text x="12" y="{y + 15}">{name}<title>{escape(told)}</title></text>'
        f'<rect x="{start:.1f}" y="{y + 4}" width="{max(end - start, 1.5):.1f}" '
        f'height="{HEIGHT - 8}" fill="{color}"/>'
    )
