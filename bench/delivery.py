"""Delivery: typed tokens/s through the whole server, from a scripted engine to the socket.

    python -m bench.delivery

The server is one process pinned to one core; the client that reads it is on another. Beside it, in
turn, two servers that play the same tokens: what the chatbot did that leafstream replaces
(`servers/original.py`) and a Starlette stream that writes ready bytes (`servers/bare.py`). Speeds
are tokens over the server's CPU time: that is what one core delivers, whatever else the machine
does meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from tests.redis import free_port

from leafstream.engines.scripted import tokens_of

WORDS = '그는 \\"텀블러\\"를 챙기고, reuse the cup {every day} 그리고 다시 쓴다. '
TOKENS = 400
REPEATS = 3
TICKS = os.sysconf("SC_CLK_TCK")
SCHEMA = {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]}
BODY = json.dumps({"schema": SCHEMA, "input": "go"}).encode()
REQUEST = (
    b"POST /v1/answers HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
    b"Content-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
    % (len(BODY), BODY)
)


class Sample(msgspec.Struct, frozen=True):
    """Of one server: tokens delivered, seconds of the wall and of its CPU."""

    tokens: int
    wall: float
    cpu: float

    @property
    def speed(self) -> float:
        return self.tokens / self.cpu


def script() -> str:
    text = WORDS * (TOKENS * 4 // len(WORDS) + 1)
    return '{"said":"' + text[: TOKENS * 4].rpartition(" ")[0] + '"}'


class Server:
    """A server process on one core, and its CPU time."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port

    @property
    def cpu(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def memory(self) -> int:
        """Resident bytes."""
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * 4096


@asynccontextmanager
async def started(*command: str, port: int, **environment: str) -> AsyncIterator[Server]:
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **environment}, stderr=sys.stderr
    )
    os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
    try:
        for _ in range(600):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:
                await asyncio.sleep(0.05)
        else:
            raise TimeoutError(f"{command} did not start")
        writer.close()
        yield Server(process, port)
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def ours(folder: Path, **settings: str) -> AsyncIterator[Server]:
    """leafstream itself, with its default log, playing the script without waiting."""
    port = free_port()
    (folder / "script.txt").write_text(script())
    environment = {
        "LEAFSTREAM_PORT": str(port),
        "LEAFSTREAM_DATABASE_URL": f"sqlite:///{folder / 'bench.db'}",
        "LEAFSTREAM_MODEL": f"scripted:{folder / 'script.txt'}?slots=2000&delay=none&burst=16",
        "LEAFSTREAM_QUEUE": "2000",
        "LEAFSTREAM_CONTEXT_WINDOW": "100000",
        "LEAFSTREAM_LOG_LEVEL": "warning",
        **settings,
    }
    command = (sys.executable, "-m", "leafstream", "serve")
    async with started(*command, port=port, **environment) as server:
        yield server


@asynccontextmanager
async def theirs(folder: Path, name: str) -> AsyncIterator[Server]:
    port = free_port()
    tokens = folder / "tokens.json"
    tokens.write_text(json.dumps(tokens_of(script())))
    command = (sys.executable, "-m", f"bench.servers.{name}", str(port), str(tokens))
    async with started(*command, port=port) as server:
        yield server


async def read(port: int) -> int:
    """One answer, to its end; the bytes of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    writer.write(REQUEST)
    count, tail = 0, b""
    while piece := await reader.read(1 << 16):
        count += len(piece)
        tail = (tail + piece)[-4000:]
    assert b"event: " in tail, tail
    writer.close()
    return count


async def sample(server: Server, streams: int) -> Sample:
    cpu, wall = server.cpu, time.perf_counter()
    await asyncio.gather(*(read(server.port) for _ in range(streams)))
    tokens = len(tokens_of(script())) * streams
    return Sample(tokens, time.perf_counter() - wall, server.cpu - cpu)


def row(case: str, mine: float, other: float, target: float, unit: str) -> dict[str, Any]:
    return {
        "row": "delivery",
        "case": case,
        "ours": round(mine),
        "baseline": round(other),
        "unit": unit,
        "ratio": round(mine / other, 2),
        "target": target,
        "holds": mine / other >= target,
    }


async def rows() -> list[dict[str, Any]]:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    found: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with (
            ours(folder) as leafstream,
            theirs(folder, "original") as original,
            theirs(folder, "bare") as bare,
        ):
            servers = {"ours": leafstream, "original": original, "bare": bare}
            for server in servers.values():
                await sample(server, 2)
            for _ in range(REPEATS):
                for streams in (1, 50, 200, 1000):
                    for label, server in servers.items():
                        if label == "ours" or streams <= 200:
                            # One answer alone is too short for the clock of CPU times.
                            times = 20 if streams == 1 else 1
                            got = [await sample(server, streams) for _ in range(times)]
                            speed = sum(g.tokens for g in got) / sum(g.cpu for g in got)
                            found.setdefault((label, streams), []).append(speed)
    middle = {case: statistics.median(speeds) for case, speeds in found.items()}
    unit = "tokens/s of a core"
    made = [
        row(
            f"{n} streams, beside the original's way",
            middle["ours", n],
            middle["original", n],
            5,
            unit,
        )
        for n in (1, 50, 200)
    ]
    made.append(row("1 stream, beside bare bytes", middle["ours", 1], middle["bare", 1], 0.8, unit))
    made.append(row("1000 streams, beside 50,000", middle["ours", 1000], 50_000, 1, unit))
    return made


if __name__ == "__main__":
    for made in asyncio.run(rows()):
        print(made)
