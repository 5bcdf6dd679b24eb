"""A file that tells whether the process that made it lives."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Lock:
    """A file that is locked as long as this process lives."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Named only when it is locked: whoever finds an unlocked file takes its holder for dead.
        unnamed = path.with_name(f".{path.name}")
        self._file: int | None = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        unnamed.rename(path)

    def release(self) -> None:
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    @staticmethod
    def is_held(path: Path) -> bool:
        """Whether a process lives that holds it; a dead one's file is removed."""
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            path.unlink(missing_ok=True)
            return False
        finally:
            os.close(file)
