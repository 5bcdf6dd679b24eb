"""`leafstream top`: what a server does now, from its /metrics and /readyz."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import httpx2
import msgspec
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from leafstream.client.connection import server_url
from leafstream.errors import EngineUnavailable, InvalidRequest
from leafstream.models.cache import megabytes
from leafstream.settings import shown_url

Labels = tuple[tuple[str, str], ...]


class Sample(msgspec.Struct, frozen=True):
    """The metrics at a time, by name and labels."""

    at: float
    values: dict[str, dict[Labels, float]]

    def total(self, name: str) -> float:
        """A metric summed over its labels."""
        return sum(self.values.get(name, {}).values())

    def by(self, name: str, label: str) -> dict[str, float]:
        """A metric summed for each value of one label."""
        found: dict[str, float] = defaultdict(float)
        for labels, value in self.values.get(name, {}).items():
            found[dict(labels)[label]] += value
        return found


def parse(text: str, at: float) -> Sample:
    values: dict[str, dict[Labels, float]] = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            values[sample.name][tuple(sorted(sample.labels.items()))] = sample.value
    return Sample(at, values)


class Span(msgspec.Struct, frozen=True):
    """What happened between two samples."""

    before: Sample
    now: Sample

    def rate(self, name: str) -> float:
        """How much of a counter a second."""
        grown = self.now.total(name) - self.before.total(name)
        return grown / max(self.now.at - self.before.at, 1e-9)

    def quantile(self, name: str, share: float) -> float | None:
        """The bound of the bucket in which the quantile lies; None where nothing was observed."""
        late, early = (sample.by(f"{name}_bucket", "le") for sample in (self.now, self.before))
        grown = sorted((float(bound), late[bound] - early.get(bound, 0.0)) for bound in late)
        if not grown or not grown[-1][1]:
            return None
        return next(bound for bound, count in grown if count >= share * grown[-1][1])


class Server:
    """A server to look at. Raises EngineUnavailable where it does not answer."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = shown_url(url)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx2.Client(
            base_url=server_url(url), headers=headers, timeout=5, trust_env=False
        )

    def sample(self) -> Sample:
        response = self._get("/metrics")
        if response.status_code == 404:
            raise InvalidRequest(f"{self.url} shows no metrics; set LEAFSTREAM_METRICS=true there")
        if response.status_code in (401, 403):
            raise InvalidRequest(
                f"{self.url} wants a key for its metrics: `leafstream keys add NAME --scope "
                "metrics` there, and LEAFSTREAM_KEY here"
            )
        return parse(response.text, time.monotonic())

    def ready(self) -> dict[str, Any]:
        try:
            found = self._get("/readyz").json()
        except ValueError:
            found = None
        if not isinstance(found, dict) or "model" not in found:
            raise EngineUnavailable(f"what answers at {self.url} is no leafstream server")
        return found

    def _get(self, path: str) -> httpx2.Response:
        try:
            return self._http.get(path)
        except httpx2.HTTPError as error:
            raise EngineUnavailable(f"no server answers at {self.url}: {error}") from None

    def close(self) -> None:
        self._http.close()


def watch(server: Server, interval: float, *, once: bool) -> None:
    """Show the server until the user leaves, or once after one interval."""
    console = Console(highlight=False)
    try:
        ready, before = server.ready(), server.sample()
        if once:
            time.sleep(interval)
            console.print(drawn(ready, Span(before, server.sample())))
            return
        with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
            while True:
                now = server.sample()
                live.update(drawn(ready, Span(before, now)), refresh=True)
                before = now
                time.sleep(interval)
    finally:
        server.close()


def drawn(ready: dict[str, Any], span: Span) -> RenderableType:
    now = span.now
    head = f"{ready['model']}, {ready['context_window']} tokens of context"
    slots, free = now.total("leafstream_slots"), now.total("leafstream_slots_free")
    told = {
        "slots": f"{slots - free:.0f} of {slots:.0f} busy",
        "streams": f"{now.total('leafstream_readers'):.0f} open",
        "queue": f"{now.total('leafstream_answers_queued'):.0f} waiting",
        "answers": f"{now.total('leafstream_answers_running'):.0f} running",
        "tokens": f"{span.rate('leafstream_completion_tokens_total'):.1f}/s",
        "sent": f"{span.rate('leafstream_sent_bytes_total') / 1000:.1f} kB/s",
        "first token": _quantiles(span, "time_to_first_token_seconds"),
        "between tokens": _quantiles(span, "inter_token_seconds"),
        "memory": megabytes(int(now.total("process_resident_memory_bytes"))),
        "CPU": f"{100 * span.rate('process_cpu_seconds_total'):.0f} %",
        "ended": _counts(now.by("leafstream_answers_total", "end")),
        "refused": _counts(now.by("leafstream_refusals_total", "code")),
    }
    if upstreams := now.by("leafstream_upstream_out", "url"):
        told["upstreams"] = _upstreams(upstreams)
        told["reason"] = str(ready.get("reason", "")) or "–"
    grid = Table.grid(padding=(0, 2))
    pairs = list(told.items())
    for (left, says), (right, more) in zip(pairs[::2], pairs[1::2], strict=True):
        grid.add_row(Text(left, style="dim"), says, Text(right, style="dim"), more)
    return Group(Text(head, style="bold"), grid)


def _upstreams(out: dict[str, float]) -> str:
    return ", ".join(f"{url} {'out' if is_out else 'in'}" for url, is_out in out.items())


def _quantiles(span: Span, name: str) -> str:
    found = [span.quantile(f"leafstream_{name}", share) for share in (0.5, 0.95)]
    return f"half ≤ {_bound(found[0])}, 95 % ≤ {_bound(found[1])}"


def _bound(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:g} s"


def _counts(counts: dict[str, float]) -> str:
    return ", ".join(f"{name} {count:.0f}" for name, count in sorted(counts.items())) or "none"
