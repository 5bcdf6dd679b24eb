"""vLLM as a process of its own, on the CPU, from the virtual environment that the reader names."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

KEY = "a key for tests"
WINDOW = 1024
SLOTS = 4
_READY_SECONDS = 300


class VllmServer:
    def __init__(self, python: str, model: Path, log: Path) -> None:
        self._python = python
        self._model = model
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def start(self) -> None:
        """Returns when it answers."""
        options = {
            "model": self._model,
            "served-model-name": "small",
            "host": "127.0.0.1",
            "port": self._port,
            "api-key": KEY,
            "max-model-len": WINDOW,
            "max-num-seqs": SLOTS,
            "dtype": "float32",
        }
        flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
        # One thread: on a busy machine several spend their time waiting for each other.
        one = {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"}
        cpu = {"VLLM_CPU_KVCACHE_SPACE": "1", **one}
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                # The module and not `vllm serve`: the latter crashes in the build for CPUs.
                [
                    *(self._python, "-m", "vllm.entrypoints.openai.api_server"),
                    *("--enforce-eager", *flags),
                ],
                env=kept | quiet | cpu,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait()

    def _wait(self) -> None:
        assert self._process is not None
        end = time.monotonic() + _READY_SECONDS
        health = self.url.removesuffix("/v1") + "/health"
        while time.monotonic() < end:
            assert self._process.poll() is None, self._log.read_text()[-4000:]
            try:
                urllib.request.urlopen(health, timeout=2).close()
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
            else:
                return
        raise AssertionError(f"vLLM was not ready in time: {self._log.read_text()[-4000:]}")

    def kill(self) -> None:
        """End it and the processes that it started, as a power cut would."""
        if self._process is None:
            return
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        self._process = None
