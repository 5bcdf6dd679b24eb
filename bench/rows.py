"""A line of the benchmark's table."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]


def at_least(name: str, case: str, ours: float, unit: str, target: float | None = None) -> Row:
    """More is better."""
    return _row(name, case, unit, ours) | _target(">=", target, holds=ours >= (target or 0))


def at_most(name: str, case: str, ours: float, unit: str, target: float | None = None) -> Row:
    """Less is better."""
    return _row(name, case, unit, ours) | _target("<=", target, holds=ours <= (target or 0))


def beside(
    name: str, case: str, figures: tuple[float, float], unit: str, target: float | None = None
) -> Row:
    """`figures` are ours and the baseline's, of which more is better; `target` is for the ratio."""
    ours, baseline = figures
    ratio = ours / baseline
    told = {"baseline": short(baseline), "ratio": round(ratio, 2)}
    least = _target(">=", target, holds=ratio >= (target or 0))
    return _row(name, case, unit, ours) | told | least


def flat(name: str, case: str, figures: tuple[float, float], unit: str, target: float) -> Row:
    """`figures` are the largest case's and the smallest one's cost; `target` bounds the ratio."""
    ours, baseline = figures
    ratio = ours / baseline
    told = {"baseline": short(baseline), "ratio": round(ratio, 2)}
    return _row(name, case, unit, ours) | told | _target("<=", target, holds=ratio <= target)


def _row(name: str, case: str, unit: str, ours: float) -> Row:
    return {
        "row": name,
        "case": case,
        "ours": short(ours),
        "baseline": None,
        "unit": unit,
        "ratio": None,
    }


def _target(sign: str, target: float | None, *, holds: bool) -> Row:
    if target is None:
        return {"target": None, "holds": None}
    return {"target": f"{sign} {target:g}", "holds": holds}


def short(figure: float) -> float:
    """Four digits are more than any of these is good for."""
    return float(f"{figure:.4g}") if abs(figure) < 10_000 else float(round(figure))
