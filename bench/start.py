"""Seconds from `leafstream serve` to ready, the model in the cache already."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from typing import Any

from bench.sitting import row

REPEATS, PATIENCE = 5, 120.0


def start(folder: str) -> float:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = "from leafstream.cli import main; main()"
    begun = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-c", command, "serve", "--port", str(port)],
        env={"LEAFSTREAM_DATABASE_URL": f"sqlite:///{folder}/bench.db", **_kept()},
        stderr=subprocess.DEVNULL,
    )
    try:
        while time.perf_counter() - begun < PATIENCE:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).read()
            except (urllib.error.URLError, OSError):
                time.sleep(0.01)
            else:
                return time.perf_counter() - begun
    finally:
        server.terminate()
        server.wait()
    raise RuntimeError(f"not ready after {PATIENCE} s")


def _kept() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}


def rows() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        times = [start(folder) for _ in range(REPEATS)]
    return [row("start", "ready again, model in the cache", statistics.median(times), None)]


if __name__ == "__main__":
    print(rows())
