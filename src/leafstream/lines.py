"""What a server writes, line by line, as records of one format.

Our own records pass as they are. What is not one (llama.cpp's messages, a traceback, the last words
of a process that aborts) becomes a record here, outside of the process, so that it is not lost
when that dies. Control characters are escaped in all of them.

    python -I -S lines.py FORMAT    standard input → records on standard output, to its end

The standard library alone is imported: it runs beside every server, and starts with it.
"""

from __future__ import annotations

import json as js
import os
import re
import signal
import sys
import time
from collections.abc import Callable

RECORD = re.compile(rb'\d{4}-\d\d-\d\dT\S+ [A-Z]+ |\{"time":')
# Minutes.seconds.milliseconds.microseconds, a letter for the level, and the message.
LLAMA = re.compile(r"\d+\.\d\d\.\d{3}\.\d{3} ([DIWE]) (.*)")
LEVELS = {"D": "debug", "I": "info", "W": "warning", "E": "error"}
OURS = "leafstream: "
LLAMACPP, STDERR = "leafstream.llamacpp", "leafstream.stderr"
MAX_PENDING = 64 * 1024
# What steers a terminal, or ends a line to some reader.
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def escaped(text: str) -> str:
    """A line of a log, as text or as JSON, without what a terminal would obey."""
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Lines:
    """Cuts bytes into lines and gives each to `write`. `last_words`: the last error of a start."""

    def __init__(self, write: Callable[[bytes], None], *, json: bool) -> None:
        self._write = write
        self._json = json
        self._pending = b""
        self.last_words = ""

    def feed(self, data: bytes) -> None:
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._take(line)
        if len(self._pending) > MAX_PENDING:
            self.end()

    def end(self) -> None:
        """The last line, which had no end."""
        pending, self._pending = self._pending, b""
        if pending:
            self._take(pending)

    def _take(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        if RECORD.match(line):
            self._put(text)
            return
        if not text.strip():
            return
        if text.startswith(OURS):
            self.last_words = text.removeprefix(OURS)
        if found := LLAMA.fullmatch(text):
            self._record(LEVELS[found[1]], LLAMACPP, found[2])
        else:
            self._record("error" if text.startswith(OURS) else "info", STDERR, text)

    def note(self, level: str, message: str) -> None:
        """A record of the supervisor itself."""
        if level == "info":
            self.last_words = ""
        self._record(level, "supervisor", message)

    def _record(self, level: str, logger: str, message: str) -> None:
        now = time.time()
        stamp = (
            time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03}Z"
        )
        if self._json:
            told = {"time": stamp, "level": level, "logger": logger, "message": message}
            self._put(js.dumps(told, ensure_ascii=False))
        else:
            self._put(f"{stamp} {level.upper()} {logger}: {message}")

    def _put(self, record: str) -> None:
        self._write(escaped(record).encode())


def main(log_format: str) -> None:
    """Make records until nobody holds the other end of the pipe."""
    # A terminal and systemd send these to every process; the server's last words come after them.
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    lines = Lines(_put, json=log_format == "json")
    while data := os.read(0, 65536):
        lines.feed(data)
    lines.end()


def _put(record: bytes) -> None:
    os.write(1, record + b"\n")


if __name__ == "__main__":
    main(sys.argv[1])
