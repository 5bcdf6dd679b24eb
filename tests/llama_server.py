"""llama.cpp's own HTTP server as a process of its own: a real upstream that tests may kill.

python -m tests.llama_server MODEL PORT KEY
"""

from __future__ import annotations

import os
import sys
import time

SLOTS = 4
WINDOW = 1024
# A server that its test forgot ends by itself.
LONGEST_SECONDS = 600


def main(path: str, port: int, key: str) -> None:
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
    params.api_keys = [key]
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
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
