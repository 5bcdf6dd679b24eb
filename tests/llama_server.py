"""llama.cpp's own HTTP server as a process of its own: a real upstream that tests may kill.

python -m tests.llama_server MODEL PORT KEY
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SLOTS = 4
WINDOW = 1024
KEY = "a key for tests"
# A server that its test forgot ends by itself.
LONGEST_SECONDS = 600


class LlamaServer:
    """A process that can be killed and started again on the same port."""

    def __init__(self, model: Path, port: int = 0) -> None:
        self._model = model
        self._process: subprocess.Popen[bytes] | None = None
        self.port = port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def is_up(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        """Returns when it answers."""
        command = [sys.executable, "-m", "tests.llama_server", str(self._model), str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        assert line.startswith("http://"), f"llama.cpp's server did not start: {line!r}"
        self.port = int(line.rsplit(":", 1)[1])

    def kill(self) -> None:
        if self._process is None:
            return
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait(10)
        self._process.stdout.close()
        self._process = None


@contextmanager
def llama_server(model: Path) -> Iterator[LlamaServer]:
    server = LlamaServer(model)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def main(path: str, port: int) -> None:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    import xllamacpp  # noqa: PLC0415

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {"small"}
    params.n_ctx = WINDOW * SLOTS
    params.n_parallel = SLOTS
    params.kv_unified = False
    params.n_batch = params.n_ubatch = 128
    params.cpuparams.n_threads = 2
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.api_keys = [KEY]
    params.cache_ram_mib = 128
    params.warmup = False
    params.verbosity = 1
    params.ui = False
    server = xllamacpp.Server(params)
    server.handle_completions('{"prompt": "a", "n_predict": 1}', lambda _: False)
    print(server.listening_address, flush=True)  # noqa: T201
    parent, end = os.getppid(), time.monotonic() + LONGEST_SECONDS
    while os.getppid() == parent and time.monotonic() < end:
        time.sleep(0.2)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
