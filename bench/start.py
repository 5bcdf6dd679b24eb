"""Seconds to the first line of help, to the package, and from `leafstream serve` to ready.

Help and import are measured in CPU time, which other work on the machine does not change much; on a
quiet machine it is the time on the clock. The model of `serve` is in the cache already.
"""

from __future__ import annotations

import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from bench.rows import Row, at_most

REPEATS, PATIENCE = 5, 120.0


def cpu(*words: str) -> float:
    """CPU seconds of a Python process."""
    before = _children()
    command = [sys.executable, *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE)
    return _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def start(folder: str) -> float:
    """Seconds from the command to the first answer of /readyz."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    begun = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-m", "leafstream", "serve", "--port", str(port)],
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


def rows() -> list[Row]:
    told = statistics.median(cpu("-m", "leafstream", "--help") for _ in range(REPEATS))
    loaded = statistics.median(cpu("-c", "import leafstream") for _ in range(REPEATS))
    with tempfile.TemporaryDirectory() as folder:
        ready = min(start(folder) for _ in range(REPEATS))  # other work only makes it longer
    return [
        at_most("start", "leafstream --help", 1000 * told, "ms of CPU", 250),
        at_most("start", "import leafstream", 1000 * loaded, "ms of CPU", 150),
        at_most("start", "serve to ready, model in the cache", ready, "s", 2.5),
    ]


if __name__ == "__main__":
    for made in rows():
        print(made)
