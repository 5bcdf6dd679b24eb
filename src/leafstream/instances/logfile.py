"""A log file that is turned at a size, and that a full disk cannot stop."""

from __future__ import annotations

import os
from pathlib import Path

MAX_LINE = 64 * 1024


class LogFile:
    """`path`, `path.1` … `path.{keep - 1}`: together never more than `keep` files of `size` bytes.

    `write` never raises: what cannot be written is counted in `num_lost`, `trouble` says why, and
    the next line that goes through is preceded by one that tells of the gap.
    """

    def __init__(self, path: Path, size: int, keep: int) -> None:
        self._path = path
        self._max = size
        self._keep = keep
        self._file: int | None = None
        self._size = 0
        self.num_lost = 0
        self.trouble = ""

    def write(self, line: bytes) -> None:
        """Add a line, which has no line end yet."""
        data = line[:MAX_LINE] + b"\n"
        try:
            if self.num_lost:
                self._put(b"(%d lines were lost: %b)\n" % (self.num_lost, self.trouble.encode()))
                self.num_lost, self.trouble = 0, ""
            self._put(data)
        except OSError as error:
            self.num_lost += 1
            self.trouble = error.strerror or str(error)

    def _put(self, data: bytes) -> None:
        file = self._opened(len(data))
        written = 0
        try:
            while written < len(data):
                written += os.write(file, data[written:])
        except OSError:
            # Not half a line: what came after it would be glued to it.
            os.ftruncate(file, self._size)
            raise
        self._size += len(data)

    def _opened(self, coming: int) -> int:
        if self._file is not None and self._size + coming > self._max:
            self.close()
            self._turn()
        if self._file is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._file = os.open(self._path, flags, 0o600)
            self._size = os.fstat(self._file).st_size
            if self._size and self._size + coming > self._max:
                return self._opened(coming)
        return self._file

    def _turn(self) -> None:
        if self._keep == 1:
            self._path.unlink()
            return
        for number in range(self._keep - 1, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                os.replace(older, self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self._path if number == 0 else self._path.with_name(f"{self._path.name}.{number}")

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def last_lines(path: Path, count: int) -> list[bytes]:
    """The last lines of a log file, read from its end."""
    if count <= 0 or not path.exists():
        return []
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        tail = b""
        while end > 0 and tail.count(b"\n") <= count:
            begin = max(0, end - MAX_LINE)
            file.seek(begin)
            tail = file.read(end - begin) + tail
            end = begin
    return tail.splitlines()[-count:]


class Following:
    """What is added to a log file from now on, also after it was turned."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb") if path.exists() else None
        if self._file is not None:
            self._file.seek(0, os.SEEK_END)

    def more(self) -> bytes:
        """What was added since the last call."""
        if self._file is None:
            if not self._path.exists():
                return b""
            self._file = self._path.open("rb")
        data = self._file.read()
        if not data and self._was_turned():
            self.close()
            return self.more()
        return data

    def _was_turned(self) -> bool:
        assert self._file is not None
        try:
            return os.fstat(self._file.fileno()).st_ino != self._path.stat().st_ino
        except FileNotFoundError:
            return False

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
