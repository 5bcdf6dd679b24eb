"""What `leafstream quant` does: each kind of weights in a process of its own, then one table, JSON
and a page with a plot.
"""

from __future__ import annotations

import asyncio
import html
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from leafstream.engines.checkpoint import PREFIX, checkpoint
from leafstream.engines.trial import KINDS, Plan, Trial
from leafstream.engines.weights import choice_of
from leafstream.errors import SetupError
from leafstream.models.fetch import cache_folder
from leafstream.models.shape import read_shape
from leafstream.reporting import download_bar
from leafstream.settings import read_settings
from leafstream.sizing import weight_bytes

TRIAL_SECONDS = 1800


class Comparison(msgspec.Struct, frozen=True):
    """`planned` are the bytes of weights that `leafstream plan` tells for each kind."""

    model: str
    trials: list[Trial]
    planned: dict[str, int]
    failed: dict[str, str]


def compare(model: str, kinds: list[str], output: Path | None, tokens: int) -> None:
    """Measure and print; write quant.json and quant.html into `output`. Raises SetupError."""
    for kind in kinds:
        if kind not in KINDS:
            raise SetupError(f"there is no kind {kind!r}; the kinds are {', '.join(KINDS)}")
    if output is not None:
        _make_folder(output)
    settings = read_settings()
    with download_bar() as progress:
        folder = checkpoint(
            model.removeprefix(PREFIX),
            cache_folder(settings.cache_folder),
            progress=progress,
            offline=settings.offline,
        )
    console = Console(stderr=True)

    def tell(kind: str) -> None:
        console.print(f"measuring {kind} …", highlight=False)

    found = asyncio.run(measure_all(model, folder, kinds, Plan(tokens=tokens), tell))
    Console(width=max(Console().width, 100)).print(_table(found))
    for kind, reason in found.failed.items():
        console.print(f"{kind}: {reason}", highlight=False)
    if output is not None:
        encoded = msgspec.json.format(msgspec.json.encode(found))
        (output / "quant.json").write_bytes(encoded + b"\n")
        (output / "quant.html").write_text(page(found), "utf-8")
        console.print(f"wrote quant.json and quant.html into {output}", highlight=False)


def _make_folder(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"--output {output} cannot be made: {error.strerror}") from None


async def measure_all(
    model: str, folder: Path, kinds: list[str], plan: Plan, tell: Callable[[str], None]
) -> Comparison:
    """The kinds one after the other. A kind that cannot be loaded is told with its reason."""
    trials, failed = [], {}
    for kind in kinds:
        tell(kind)
        try:
            trials.append(await _measure(folder, kind, plan))
        except SetupError as error:
            failed[kind] = error.message
    if not trials:
        raise SetupError(next(iter(failed.values()), "no kinds are given: --kinds bf16,nf4"))
    shape = read_shape(folder)
    planned = {
        trial.kind: weight_bytes(shape, choice_of(KINDS[trial.kind], piece=1)) for trial in trials
    }
    return Comparison(model, trials, planned, failed)


async def _measure(folder: Path, kind: str, plan: Plan) -> Trial:
    arguments = ("-m", "leafstream.engines.trial", str(folder), kind)
    told = msgspec.json.encode(plan).decode()
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, told, stdout=pipe, stderr=pipe
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), TRIAL_SECONDS)
    except TimeoutError:
        raise SetupError(f"{kind} took longer than {TRIAL_SECONDS // 60} minutes") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last = (err.decode("utf-8", "replace").strip().splitlines() or ["no reason given"])[-1]
        raise SetupError(f"measuring {kind} failed: {last}")
    return msgspec.json.decode(out.splitlines()[-1], type=Trial)


def _table(found: Comparison) -> Table:
    batches = list(found.trials[0].tokens_per_second)
    lengths = list(found.trials[0].ttft_seconds)
    table = Table(title=f"{found.model} on {found.trials[0].device}", title_justify="left")
    table.add_column("kind")
    for name in ("load", "weights", "planned", "memory", "peak"):
        table.add_column(name, justify="right")
    for length in lengths:
        table.add_column(f"TTFT {length}", justify="right")
    for batch in batches:
        table.add_column(f"tok/s ×{batch}", justify="right")
    table.add_column("perplexity", justify="right")
    for trial in found.trials:
        table.add_row(
            trial.kind,
            f"{trial.load_seconds:.1f} s",
            *(
                f"{count / 1e6:,.0f} MB"
                for count in (
                    trial.footprint,
                    found.planned[trial.kind],
                    trial.memory,
                    trial.peak_memory,
                )
            ),
            *(f"{seconds:.2f} s" for seconds in trial.ttft_seconds.values()),
            *(f"{rate:.1f}" for rate in trial.tokens_per_second.values()),
            f"{trial.perplexity:.2f}",
        )
    return table


BARS: dict[str, Callable[[Trial], float]] = {
    "weights, MB": lambda trial: trial.footprint / 1e6,
    "peak memory, MB": lambda trial: trial.peak_memory / 1e6,
    "perplexity": lambda trial: trial.perplexity,
}


def page(found: Comparison) -> str:
    """A page of bars, one group for each figure, that needs nothing but a browser."""
    groups = {name: [of(trial) for trial in found.trials] for name, of in BARS.items()}
    for batch in found.trials[0].tokens_per_second:
        rates = [trial.tokens_per_second[batch] for trial in found.trials]
        groups[f"tokens/s, batch {batch}"] = rates
    for length in found.trials[0].ttft_seconds:
        waits = [trial.ttft_seconds[length] for trial in found.trials]
        groups[f"TTFT after {length} tokens, s"] = waits
    kinds = [trial.kind for trial in found.trials]
    drawn = "\n".join(_bars(name, kinds, values) for name, values in groups.items())
    title = html.escape(f"{found.model}: kinds of weights, measured")
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        "<style>body{font:16px system-ui,sans-serif;margin:2rem auto;max-width:44rem}"
        "svg{width:100%;height:auto}text{font:13px system-ui,sans-serif;fill:currentColor}"
        "rect{fill:#2f855a}@media(prefers-color-scheme:dark){body{background:#111;color:#eee}}"
        f"</style><h1>{title}</h1>\n{drawn}\n</html>\n"
    )


def _bars(name: str, kinds: list[str], values: list[float]) -> str:
    most = max(values) or 1
    rows = []
    for row, (kind, value) in enumerate(zip(kinds, values, strict=True)):
        y, wide = 28 * row, 420 * value / most
        rows.append(
            f'<text x="0" y="{y + 17}">{html.escape(kind)}</text>'
            f'<rect x="110" y="{y + 3}" width="{wide:.1f}" height="20" rx="3"/>'
            f'<text x="{116 + wide:.1f}" y="{y + 17}">{value:,.4g}</text>'
        )
    label = html.escape(name)
    return (
        f'<h2>{label}</h2><svg viewBox="0 0 620 {28 * len(kinds)}" role="img" '
        f'aria-label="{label}">{"".join(rows)}</svg>'
    )
