"""Standard error of a process that loads C libraries: what these write to it becomes records.

File descriptor 2 is the pipe of a small process that runs `lines.py`. A thread here would lose the
one line that matters: that of a library which says why, and aborts.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from leafstream import lines

RECORDED = "LEAFSTREAM_RECORDED"
"""Set where whoever started this process makes records of what it writes (the supervisor)."""

END_SECONDS = 2.0


@contextmanager
def recorded(log_format: str) -> Iterator[None]:
    """While the context is open, a line written to file descriptor 2 becomes a record of the log.

    `sys.stderr` and faulthandler stay on the real standard error.
    """
    if RECORDED in os.environ:
        yield
        return
    with contextlib.ExitStack() as undoing:
        real = os.dup(2)
        undoing.callback(os.close, real)
        command = [sys.executable, "-I", "-S", lines.__file__, log_format]
        recorder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=real, stderr=real)  # noqa: S603 -- ourselves
        undoing.callback(_wait, recorder)
        assert recorder.stdin is not None
        sys.stderr.flush()
        os.dup2(recorder.stdin.fileno(), 2)
        recorder.stdin.close()
        undoing.callback(os.dup2, real, 2)
        undoing.enter_context(_python_on(real))
        yield


@contextmanager
def _python_on(real: int) -> Iterator[None]:
    """What Python itself writes goes to the file descriptor `real`."""
    before, is_watched = sys.stderr, faulthandler.is_enabled()
    with open(real, "w", buffering=1, errors="backslashreplace", closefd=False) as python:
        sys.stderr = python
        if is_watched:
            faulthandler.enable(python)
        try:
            yield
        finally:
            sys.stderr = before
            if is_watched:
                faulthandler.enable(before)


def _wait(recorder: subprocess.Popen[bytes]) -> None:
    """Until the last record is written; a child of ours that lives on may hold the pipe open."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        recorder.wait(END_SECONDS)
