"""How long a server may take to end, from the inside out: each gives up before who waits for it.

END, KILL and STOP are seconds from the signal, on top of `drain_seconds`.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import threading

logger = logging.getLogger("leafstream.stopping")

LET_GO_SECONDS = 2.0
"""For the engine and the log to let go of the answers that are left."""
CLOSE_SECONDS = 3.0
"""For the engine to close after that."""
END_SECONDS = 9.0
"""A serving process ends by itself, whatever still holds it."""
KILL_SECONDS = END_SECONDS + 2
"""A worker is killed by its parent."""
ENGINE_SECONDS = 2.0
"""For the engine's process to end after the workers; then it is killed, too."""
STOP_SECONDS = KILL_SECONDS + ENGINE_SECONDS + 3
"""The server that somebody started is killed by its supervisor, or by systemd."""
SUPERVISOR_SECONDS = 5.0
"""For the supervisor to end after its server; then `leafstream down` gives up."""


def end_process_after(seconds: float) -> None:
    """End this process, with exit code 1, where it still runs after so many seconds."""
    timer = threading.Timer(seconds, _end, (seconds,))
    timer.daemon = True
    timer.start()
    # An engine may be stuck with the interpreter's lock: then only the kernel can end it.
    signal.alarm(math.ceil(seconds) + 1)


def _end(seconds: float) -> None:
    logger.error("not closed %g seconds after the signal; the process ends without it", seconds)
    logging.shutdown()
    os._exit(1)
