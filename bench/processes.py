"""Server processes that are measured: pinned to one core, with their CPU time and memory."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
BASELINES = ROOT / ".venv-bench" / "bin" / "python"
"""The Python of the programs that leafstream is measured beside: `make bench` installs them."""
PAGE = os.sysconf("SC_PAGE_SIZE")


class Server:
    """A server process, its CPU time and its memory."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    @property
    def cpu(self) -> float:
        """Seconds, of all its threads."""
        # Linux's name of another process's CPU clock (clock_getcpuclockid(3)), which is exact:
        # /proc counts in hundredths of a second.
        return time.clock_gettime(~self._process.pid << 3 | 2)

    @property
    def memory(self) -> int:
        """Resident bytes."""
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * PAGE


def cores() -> tuple[int, int]:
    """The clients' core and the servers'."""
    allowed = os.sched_getaffinity(os.getppid())
    return min(allowed), max(allowed)


@asynccontextmanager
async def started(
    *command: str, port: int, environment: dict[str, str] | None = None, core: int | None = None
) -> AsyncIterator[Server]:
    """The command, on one core (else on the servers'), when something listens at its port."""
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **(environment or {})}, stdout=sys.stderr, stderr=sys.stderr
    )
    os.sched_setaffinity(process.pid, {cores()[1] if core is None else core})
    try:
        await _listens(port, process)
        yield Server(process, port)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _listens(port: int, process: asyncio.subprocess.Process) -> None:
    for _ in range(1200):
        if process.returncode is not None:
            raise RuntimeError(f"a server ended with {process.returncode} before it listened")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise TimeoutError("a server does not listen after a minute")


@asynccontextmanager
async def leafstream(folder: Path, port: int, **settings: str) -> AsyncIterator[Server]:
    """leafstream itself, with its default log of answers."""
    environment = {
        "LEAFSTREAM_PORT": str(port),
        "LEAFSTREAM_DATABASE_URL": f"sqlite:///{folder / 'bench.db'}",
        "LEAFSTREAM_LOG_LEVEL": "warning",
        **settings,
    }
    command = (sys.executable, "-m", "leafstream", "serve")
    async with started(*command, port=port, environment=environment) as server:
        yield server


def pinned() -> None:
    """The clients stay off the servers' core."""
    os.sched_setaffinity(0, {cores()[0]})
