"""What counting costs: `python -m bench.metrics` prints microseconds a token."""

from __future__ import annotations

import time

from leafstream.ask import Ask
from leafstream.meter import AnswerRecords, Meters, Watch
from leafstream.metrics import Load, Metrics

TOKENS = 100_000
REPEATS = 7


def main() -> None:
    metrics = Metrics("0", "bench", lambda: Load(0, 0, 0, 0, 0))
    for name, meter in (("metrics", metrics), ("all meters", Meters(metrics, AnswerRecords()))):
        watch = meter.watch("ans_bench", Ask(messages=()))
        # The best of several: the machine may be busy with something else.
        best = min(_seconds(watch) for _ in range(REPEATS)) / TOKENS
        print(f"{name}: {best * 1e6:.2f} µs a token")


def _seconds(watch: Watch) -> float:
    begun = time.perf_counter()
    for _ in range(TOKENS):
        watch.wrote(1)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
