"""What a process does, in numbers: the metrics of /metrics (Prometheus text format).

Theory of operation. A token costs two comparisons and three additions here: everything is written
by the event loop's one thread into plain numbers, and becomes metrics when somebody asks for them.
What happens once in an answer goes to the client library's own counters.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from leafstream.ask import Ask
from leafstream.engines.base import Standing
from leafstream.events import Cancelled, Event, Failed, Finished, Noticed
from leafstream.meter import Watch

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
GAPS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0)
FIRST = (0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0)
WHOLE = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 900.0)


class Load(msgspec.Struct, frozen=True):
    """How busy the runs are, and how the servers stand that write for the engine."""

    running: int
    queued: int
    readers: int
    slots: int
    free_slots: int
    standings: tuple[Standing, ...] = ()


class Metrics:
    """The meter behind /metrics; `model` is what the engine calls itself."""

    def __init__(self, version: str, model: str, load: Callable[[], Load]) -> None:
        self.load = load
        self.labels = {"version": version, "model": model}
        self.num_tokens = 0
        self.num_bytes = 0
        self.gaps = [0] * (len(GAPS) + 1)
        self.gap_seconds = 0.0
        self.registry = CollectorRegistry(auto_describe=False)
        self._answers = self._counter("answers", "Answers that ended, by how.", "assistant", "end")
        self._failed = self._counter("failures", "Answers that failed, by error code.", "code")
        self._refused = self._counter(
            "refusals", "Requests answered with an error, by code.", "code"
        )
        self._notices = self._counter("notices", "Notices in answers: continued …", "code")
        self._prompt = self._counter("prompt_tokens", "Tokens of prompts of ended answers.")
        self._cached = self._counter("cached_tokens", "Those that the engine's cache had.")
        self._first = self._histogram("time_to_first_token_seconds", "From admission.", FIRST)
        self._waited = self._histogram("queue_seconds", "Waiting for a slot.", FIRST)
        self._total = self._histogram("answer_seconds", "From admission to the end.", WHOLE)
        self.registry.register(_Now(self))
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def _counter(self, name: str, says: str, *labels: str) -> Counter:
        return Counter(f"leafstream_{name}", says, labels, registry=self.registry)

    def _histogram(self, name: str, says: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(f"leafstream_{name}", says, buckets=buckets, registry=self.registry)

    def watch(self, answer: str, ask: Ask) -> Watch:  # noqa: ARG002
        return _Watch(self, ask.assistant or ("(schema)" if ask.schema else "(text)"))

    def sent(self, num_bytes: int) -> None:
        self.num_bytes += num_bytes

    def refused(self, code: str) -> None:
        self._refused.labels(code).inc()

    def noticed(self, code: str) -> None:
        self._notices.labels(code).inc()

    def waited(self, seconds: float) -> None:
        self._waited.observe(seconds)

    def began(self, seconds: float) -> None:
        """An answer's first tokens came so many seconds after its admission."""
        self._first.observe(seconds)

    def ended(self, assistant: str, event: Finished | Failed | Cancelled) -> None:
        how = event.finish if isinstance(event, Finished) else event.kind
        self._answers.labels(assistant, how).inc()
        if isinstance(event, Failed):
            self._failed.labels(event.code).inc()
        if isinstance(event, Finished):
            self._prompt.inc(event.usage.prompt_tokens)
            self._cached.inc(event.usage.cached_tokens)
            self._total.observe(event.timings.total)

    def left(self, assistant: str) -> None:
        """An answer that another process is to end."""
        self._answers.labels(assistant, "left").inc()

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry)


class _Watch:
    """One answer; `_last` is when its last tokens came, 0.0 before the first.

    `_admitted` is when it was; None where another process had begun it.
    """

    __slots__ = ("_admitted", "_assistant", "_ended", "_last", "_metrics")

    def __init__(self, metrics: Metrics, assistant: str) -> None:
        self._metrics = metrics
        self._assistant = assistant
        self._last = 0.0
        self._admitted: float | None = None
        self._ended = False

    def admitted(self, queued: float) -> None:
        self._admitted = time.monotonic()
        self._metrics.waited(queued)

    def wrote(self, num_tokens: int) -> None:
        if not num_tokens:
            return
        metrics, now = self._metrics, time.monotonic()
        metrics.num_tokens += num_tokens
        if self._last:
            # Tokens that came together share the time since the last ones.
            gap = now - self._last
            metrics.gaps[bisect_left(GAPS, gap / num_tokens)] += num_tokens
            metrics.gap_seconds += gap
        elif self._admitted is not None:
            metrics.began(now - self._admitted)
        self._last = now

    def told(self, event: Event) -> None:
        if isinstance(event, Noticed):
            self._metrics.noticed(event.code)
        elif isinstance(event, Finished | Failed | Cancelled):
            self._ended = True
            self._metrics.ended(self._assistant, event)

    def close(self) -> None:
        if not self._ended:
            self._metrics.left(self._assistant)


class _Now(Collector):
    """The plain numbers as metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        it, load = self._metrics, self._metrics.load()
        yield InfoMetricFamily("leafstream", "What is served.", value=it.labels)
        yield _counter("completion_tokens", "Tokens written.", it.num_tokens)
        yield _counter("sent_bytes", "Bytes of response bodies.", it.num_bytes)
        yield _gauge("readers", "Connections that read an answer.", load.readers)
        yield _gauge("answers_running", "Answers not ended, the queued too.", load.running)
        yield _gauge("answers_queued", "Answers that wait for a slot.", load.queued)
        yield _gauge("slots", "Answers that can be generated at once.", load.slots)
        yield _gauge("slots_free", "Slots nobody uses.", load.free_slots)
        yield from _upstreams(load.standings)
        gaps = HistogramMetricFamily("leafstream_inter_token_seconds", "Between two tokens.")
        gaps.add_metric([], list(_cumulated(it.gaps)), it.gap_seconds)
        yield gaps


def _upstreams(standings: tuple[Standing, ...]) -> Iterator[Metric]:
    out = GaugeMetricFamily("leafstream_upstream_out", "1: not asked now.", labels=["url"])
    busy = GaugeMetricFamily("leafstream_upstream_busy", "Requests it has.", labels=["url"])
    for one in standings:
        out.add_metric([one.url], float(one.out))
        busy.add_metric([one.url], one.busy)
    if standings:
        yield from (out, busy)


def _cumulated(counts: Iterable[int]) -> Iterator[tuple[str, float]]:
    total = 0
    for bound, count in zip((*map(str, GAPS), "+Inf"), counts, strict=True):
        total += count
        yield bound, total


def _counter(name: str, says: str, value: float) -> Metric:
    return CounterMetricFamily(f"leafstream_{name}", says, value=value)


def _gauge(name: str, says: str, value: float) -> Metric:
    return GaugeMetricFamily(f"leafstream_{name}", says, value=value)
