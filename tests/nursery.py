"""Processes that begin with leafstream imported: `python -c CODE`, without a second of imports.

Theory of operation. One process imports everything, starts no thread, and forks for each request:
a keeper, which waits, and its child, which becomes the process that was asked for, with an
environment, a folder and standard streams of its own. It runs until whoever started it is gone.

    python -m tests.nursery FD
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec

COMMAND = "from leafstream.cli import main; main()"
IMPORTED: tuple[str, ...] = (
    "leafstream.apps.default",
    "leafstream.checks",
    "leafstream.cli",
    "leafstream.explained",
    "leafstream.instances.view",
    "leafstream.log.redis",
    "leafstream.reporting",
    "leafstream.server",
    "leafstream.terminal",
    "httptools",
    "rich.table",
    "uvloop",
    "xllamacpp",
)
NUMBER = struct.Struct("i")
LONGEST_REQUEST = 200_000
ROOT = Path(__file__).parents[1]


class Done(msgspec.Struct, frozen=True):
    """How a process ended (a signal's number is negative), and what it said."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The one line that a refusal is."""
        assert self.err.startswith("leafstream: "), self.err
        assert self.err.count("\n") == 1, self.err
        return self.err


class Wish(msgspec.Struct, frozen=True):
    """What a process is to run, and where."""

    code: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path


class Child:
    """A process that goes on by itself. Made by `Nursery.begin`."""

    def __init__(self, told: int) -> None:
        self._told = told
        self._code: int | None = None
        self.pid: int = NUMBER.unpack(os.read(told, NUMBER.size))[0]

    @property
    def returncode(self) -> int | None:
        """None while it runs; a signal's number is negative."""
        if self._code is None and _can_read(self._told):
            self._code = NUMBER.unpack(os.read(self._told, NUMBER.size))[0]
            os.close(self._told)
        return self._code

    def send_signal(self, which: int) -> None:
        os.kill(self.pid, which)

    async def wait(self) -> int:
        while (code := self.returncode) is None:
            await asyncio.sleep(0.01)
        return code


def _can_read(file: int) -> bool:
    waiting = select.poll()
    waiting.register(file, select.POLLIN)
    return bool(waiting.poll(0))


class Nursery:
    """The process that forks; its children are asked for one at a time."""

    def __init__(self) -> None:
        self._asking, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.nursery", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=(theirs.fileno(),),
            )

    def run(
        self,
        code: str,
        *arguments: str,
        environment: Mapping[str, str],
        folder: Path,
        timeout: float = 60,
    ) -> Done:
        """Run `code` until it has ended and nobody can write to its streams any more.

        Raises TimeoutError, and kills it, where that does not come.
        """
        with ExitStack() as open_pipes:
            ours, theirs = zip(*(os.pipe() for _ in range(3)), strict=True)
            for file in ours:
                open_pipes.callback(os.close, file)
            try:
                self._ask(theirs, Wish(code, arguments, environment, folder))
            finally:
                for file in theirs:
                    os.close(file)
            told, out, err = _read_all(ours, timeout)
        _, code_of_end = struct.unpack("ii", told)
        return Done(code_of_end, out.decode(), err.decode())

    def begin(
        self, *arguments: str, environment: Mapping[str, str], folder: Path, log: int
    ) -> Child:
        """Start `leafstream ARGUMENTS`, which says what it says to the file `log`."""
        ours, theirs = os.pipe()
        try:
            self._ask((theirs, log, log), Wish(COMMAND, arguments, environment, folder))
        finally:
            os.close(theirs)
        return Child(ours)

    def _ask(self, files: Sequence[int], wish: Wish) -> None:
        socket.send_fds(self._asking, [msgspec.json.encode(wish, enc_hook=str)], files)

    def close(self) -> None:
        self._asking.close()
        self._process.wait(10)


def _read_all(files: tuple[int, ...], timeout: float) -> list[bytes]:
    """What comes out of each until all are closed; the first tells the number of the process."""
    read, deadline = dict.fromkeys(files, b""), time.monotonic() + timeout
    waiting = select.poll()
    for file in files:
        waiting.register(file, select.POLLIN)
    num_open = len(files)
    while num_open:
        ready = waiting.poll(1000 * max(0, deadline - time.monotonic()))
        if not ready:
            os.kill(NUMBER.unpack_from(read[files[0]])[0], signal.SIGKILL)
            raise TimeoutError(f"it did not end in {timeout:g} seconds")
        for file, _ in ready:
            if data := os.read(file, 65536):
                read[file] += data
            else:
                waiting.unregister(file)
                num_open -= 1
    return list(read.values())


@functools.cache
def nursery() -> Nursery:
    """The one of this process, started when it is wanted first."""
    opened = Nursery()
    atexit.register(opened.close)
    return opened


def command(*arguments: str, environment: Mapping[str, str], folder: Path) -> Done:
    """Run `leafstream ARGUMENTS` to its end."""
    return nursery().run(COMMAND, *arguments, environment=environment, folder=folder)


def serve(asked: socket.socket) -> str:
    """Fork for every request. Returns in each child, with its code, and at the end, with none."""
    while True:
        request, files, _, _ = socket.recv_fds(asked, LONGEST_REQUEST, 3)
        _reap()
        if not request:
            return ""
        if os.fork() == 0:
            asked.close()
            return _kept(json.loads(request), *files)
        for file in files:
            os.close(file)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _kept(request: dict[str, Any], tell: int, out: int, err: int) -> str:
    """Fork once more: the parent tells the child's number and its end; the child returns."""
    if child := os.fork():
        os.close(out)
        os.close(err)
        os.write(tell, NUMBER.pack(child))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with suppress(BrokenPipeError):  # nobody waits any more
            os.write(tell, NUMBER.pack(code))
        os._exit(0)
    for file, place in ((out, 1), (err, 2)):
        os.dup2(file, place)
    for file in (out, err, tell):
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["-c", *request["arguments"]]
    sys.path[0] = ""
    return str(request["code"])


if __name__ == "__main__":
    for name in IMPORTED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as listening:
        wanted = serve(listening)
    exec(compile(wanted, "<string>", "exec"), {"__name__": "__main__"})
