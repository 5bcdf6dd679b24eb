"""llama.cpp in a process of its own, which the workers of one server share.

    LEAFSTREAM_ENGINE_KEY=… python -m leafstream.engine_process PORT

It listens on loopback, asks for the key, and ends with the process that started it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

from leafstream.engine_choice import llamacpp_model
from leafstream.engines.llamacpp import Address, load_server, warm_up
from leafstream.errors import SetupError
from leafstream.models.gguf import read_header
from leafstream.settings import Settings, adopt_variables, read_settings
from leafstream.stderr import recorded

KEY = "LEAFSTREAM_ENGINE_KEY"
LOOK_SECONDS = 0.2


def main(port: int, key: str) -> None:
    """Load and serve. Raises SetupError."""
    settings = read_settings()
    with recorded(settings.log_format):
        _serve(settings, port, key)


def _serve(settings: Settings, port: int, key: str) -> None:
    parent = os.getppid()
    path, options = asyncio.run(llamacpp_model(settings))
    adopt_variables()
    server = load_server(path, read_header(path), Address("127.0.0.1", port, key), options)
    warm_up(server, path)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the whole group
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), os.environ.pop(KEY))
    except SetupError as error:
        sys.stderr.write(f"leafstream: {error.message}\n")
        sys.exit(2)
