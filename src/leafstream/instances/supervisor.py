"""The process that keeps one named server running: `python -m leafstream.instances.supervisor`.

It starts the server, writes what it says into a log that is turned, and starts it again when it
crashes, later each time. It ends when it is told to, when the server ends by itself without an
error, and when the server could not start at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from leafstream.instances.instance import Instance, State
from leafstream.instances.logfile import LogFile
from leafstream.lines import Lines
from leafstream.notify import Notices
from leafstream.stderr import RECORDED

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
# A server that ran this long was healthy: the next crash is a new one.
HEALTHY_SECONDS = 60.0
# What systemd takes for a clean end, too.
CLEAN = (0, -signal.SIGHUP, -signal.SIGINT, -signal.SIGTERM)
SETUP_FAILED = 2
PR_SET_PDEATHSIG = 1


class Order(msgspec.Struct, frozen=True):
    """What to run and how to keep its log."""

    root: str
    name: str
    command: list[str]
    log_format: str
    log_bytes: int
    log_files: int
    stop_seconds: float


class Supervisor:
    def __init__(self, order: Order) -> None:
        self._order = order
        self._instance = Instance(Path(order.root), order.name)
        self._log = LogFile(self._instance.log, order.log_bytes, order.log_files)
        self._lines = Lines(self._log.write, json=order.log_format == "json")
        self._state = State(
            "starting", time.time(), supervisor=os.getpid(), stop_seconds=order.stop_seconds
        )
        self._was_ready = False
        self._wish = ""
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Keep the server running until it is to stop."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._wish_for, "stop")
        loop.add_signal_handler(signal.SIGINT, self._wish_for, "stop")
        loop.add_signal_handler(signal.SIGHUP, self._wish_for, "restart")
        pause = FIRST_PAUSE
        with Notices() as notices:
            loop.add_reader(notices.fileno(), self._notice, notices)
            while True:
                begun = time.monotonic()
                code = await self._run_once(notices)
                if self._wish == "stop":
                    return self._say("stopped", "")
                if self._wish == "restart":
                    self._was_ready, pause = False, FIRST_PAUSE
                    continue
                if code in CLEAN:
                    return self._say("stopped", f"the server ended by itself: {_told(code)}")
                if code == SETUP_FAILED and not self._was_ready:
                    return self._say("failed", self._lines.last_words)
                pause = FIRST_PAUSE if time.monotonic() - begun > HEALTHY_SECONDS else pause
                await self._pause(code, pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _wish_for(self, wish: str) -> None:
        self._wish = "stop" if "stop" in (wish, self._wish) else wish
        self._woken.set()

    async def _run_once(self, notices: Notices) -> int:
        """Start the server, log what it says, and wait for its end."""
        if self._wish == "stop":
            return 0
        self._wish = ""
        self._woken.clear()
        server = await asyncio.create_subprocess_exec(
            *self._order.command,
            env={**os.environ, "NOTIFY_SOCKET": notices.address, RECORDED: "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            preexec_fn=_end_with_parent,
        )
        self._set(phase="starting", server=server.pid, starts=self._state.starts + 1, url="")
        self._lines.note("info", f"started the server as process {server.pid}")
        reading = asyncio.create_task(self._read(server))
        code = await self._ended(server)
        # Something it started may hold the pipe open for longer than it lived.
        await asyncio.wait({reading}, timeout=1)
        reading.cancel()
        self._lines.end()
        return code

    async def _ended(self, server: asyncio.subprocess.Process) -> int:
        """Wait for the server's end, and bring it about when that is wished for."""
        ended = asyncio.ensure_future(server.wait())
        woken = asyncio.ensure_future(self._woken.wait())
        await asyncio.wait({ended, woken}, return_when=asyncio.FIRST_COMPLETED)
        woken.cancel()
        if not ended.done():
            self._set(phase="stopping")
            server.terminate()
            await asyncio.wait({ended}, timeout=self._order.stop_seconds)
        if not ended.done():
            late = f"it did not end in {self._order.stop_seconds:g} seconds"
            self._lines.note("warning", f"{late} and is killed")
            server.kill()
        return await ended

    async def _read(self, server: asyncio.subprocess.Process) -> None:
        assert server.stdout is not None
        while data := await server.stdout.read(65536):
            self._lines.feed(data)
            if self._log.trouble != self._state.log_trouble:
                self._set(log_trouble=self._log.trouble)

    def _notice(self, notices: Notices) -> None:
        told = notices.take()
        if told.get("READY") == "1":
            self._was_ready = True
            self._set(phase="ready", url=told.get("X_LEAFSTREAM_URL", ""))

    async def _pause(self, code: int, seconds: float) -> None:
        crashes = self._state.crashes + 1
        why = f"the server ended with {_told(code)}"
        if self._lines.last_words:
            why += f" ({self._lines.last_words})"
        self._lines.note("error", f"{why}; starting it again in {seconds:g} s (crash {crashes})")
        self._set(phase="waiting", server=0, url="", crashes=crashes, message=why)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), seconds)

    def _say(self, phase: str, message: str) -> None:
        self._lines.note("error" if phase == "failed" else "info", message or "stopped as told")
        self._set(phase=phase, message=message, server=0, url="")

    def _set(self, **changes: Any) -> None:
        if changes.get("phase", self._state.phase) != self._state.phase:
            changes["since"] = time.time()
        self._state = msgspec.structs.replace(self._state, **changes)
        self._instance.write(self._state)


def _told(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _end_with_parent() -> None:
    # A server whose supervisor was killed would run on without a log and without a name.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def main() -> None:
    """Run the order in the first argument; the lock is inherited."""
    order = msgspec.json.decode(sys.argv[1], type=Order)
    asyncio.run(Supervisor(order).run())


if __name__ == "__main__":
    main()
