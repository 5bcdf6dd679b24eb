"""Delivery: typed tokens/s through the whole server, from a scripted engine to the socket.

    python -m bench.delivery
    python -m bench.delivery delays

The server is one process pinned to one core; the client that reads it is on another. Beside it, in
turn, two servers that play the same tokens: what the chatbot did that leafstream replaces
(`servers/original.py`) and a Starlette stream that writes ready bytes (`servers/bare.py`). Speeds
are tokens over the server's CPU time: that is what one core delivers, whatever else the machine
does meanwhile. The delay of a token, from the engine to the client, is seen at a steady load.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop
from tests.redis import free_port

from bench.processes import BASELINES, ROOT, Server, leafstream, pinned, started
from bench.rows import Row, at_least, at_most, beside
from bench.words import prose

TOKENS, BURST = 1000, 16
REPEATS = 3
PACE, PACED_TOKENS = 52, 400
"""Tokens/s of each stream while delays are seen, and tokens of its answer."""
TARGET = 50_000
SCHEMA = {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]}
BODY = json.dumps({"schema": SCHEMA, "input": "go"}).encode()
REQUEST = (
    b"POST /v1/answers HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
    b"Content-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"
    % (len(BODY), BODY)
)
UNIT = "tokens/s of a core"
_stamps = re.compile(rb"<(\d+\.\d+)>").findall


def tokens(count: int = TOKENS) -> list[str]:
    """A JSON document in tokens of four characters."""
    text = json.dumps({"said": "".join(prose(count))[:-12]}, ensure_ascii=False)
    return [text[at : at + 4] for at in range(0, len(text), 4)]


def limits() -> dict[str, str]:
    return {"LEAFSTREAM_QUEUE": "2000", "LEAFSTREAM_CONTEXT_WINDOW": "100000"}


@asynccontextmanager
async def ours(folder: Path, burst: int = BURST) -> AsyncIterator[Server]:
    """leafstream itself, with its default log, playing the script without waiting."""
    script = folder / "script.txt"
    script.write_text("".join(tokens()))
    model = f"scripted:{script}?slots=2000&delay=none&burst={burst}"
    async with leafstream(folder, free_port(), LEAFSTREAM_MODEL=model, **limits()) as server:
        yield server


@asynccontextmanager
async def stamped(folder: Path, burst: int) -> AsyncIterator[Server]:
    """leafstream at a steady load, over an engine that tells when it wrote."""
    script = folder / "stamped.txt"
    script.write_text("".join(tokens(PACED_TOKENS)))
    port = free_port()
    played = (str(script), str(burst), str(burst / PACE), "2000")
    environment = {
        "LEAFSTREAM_PORT": str(port),
        "LEAFSTREAM_DATABASE_URL": f"sqlite:///{folder / 'stamped.db'}",
        **limits(),
    }
    command = (sys.executable, "-m", "bench.servers.stamped", *played)
    async with started(*command, port=port, environment=environment) as server:
        yield server


@asynccontextmanager
async def theirs(folder: Path, name: str) -> AsyncIterator[Server]:
    port = free_port()
    played = folder / "tokens.json"
    played.write_text(json.dumps(tokens()))
    command = (str(BASELINES), "-m", f"bench.servers.{name}", str(port), str(played))
    async with started(*command, port=port, environment={"PYTHONPATH": str(ROOT)}) as server:
        yield server


Seen = list[tuple[float, float]]
"""When each stamped chunk of a stream was written, and how long it was on its way, in seconds."""


async def read(port: int, seen: Seen | None = None) -> None:
    """One answer, to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    writer.write(REQUEST)
    rest = tail = b""
    while piece := await reader.read(1 << 16):
        tail = (tail + piece)[-16_000:]
        if seen is not None:
            now = time.perf_counter()
            *whole, rest = (rest + piece).split(b"\n\n")
            for frame in whole:
                # The end holds the whole text once more.
                if b"event: text" in frame:
                    seen += [(float(sent), now - float(sent)) for sent in _stamps(frame)]
    writer.close()
    if not (b"event: finished" in tail or b"event: close" in tail or b"event: text" in tail):
        raise RuntimeError(f"an answer without an end: {tail[-300:]!r}")


async def together(port: int, streams: int) -> None:
    async with asyncio.timeout(120):
        await asyncio.gather(*(read(port) for _ in range(streams)))


async def speed(server: Server, streams: int) -> float:
    """Tokens over seconds of the server's CPU."""
    # One answer alone is too short for the clock of CPU times.
    times = max(1, 40 // streams)
    before = server.cpu
    for _ in range(times):
        await together(server.port, streams)
    return len(tokens()) * streams * times / (server.cpu - before)


async def speeds(folder: Path, repeats: int) -> list[Row]:
    found: dict[tuple[str, int], list[float]] = {}
    async with (
        ours(folder) as mine,
        theirs(folder, "original") as original,
        theirs(folder, "bare") as bare,
    ):
        servers = {"ours": mine, "original": original, "bare": bare}
        for server in servers.values():
            await together(server.port, 2)
        for _ in range(repeats):
            for streams in (1, 50, 200, 1000):
                for label, server in servers.items():
                    if label == "ours" or streams <= 50 or (streams == 200 and label != "bare"):
                        got = await speed(server, streams)
                        found.setdefault((label, streams), []).append(got)
    middle = {case: statistics.median(several) for case, several in found.items()}
    return _speed_rows(middle)


def _speed_rows(middle: dict[tuple[str, int], float]) -> list[Row]:
    rows = []
    for other, told, cases in (
        ("original", "the original's way", {1: None, 50: None, 200: 5.0}),
        ("bare", "bare bytes", {1: 0.8, 50: None}),
    ):
        for n, target in cases.items():
            figures = middle["ours", n], middle[other, n]
            rows.append(beside("delivery", f"{_many(n)}, beside {told}", figures, UNIT, target))
    return [*rows, at_least("delivery", _many(1000), middle["ours", 1000], UNIT, TARGET)]


def _many(streams: int) -> str:
    return "1 stream" if streams == 1 else f"{streams} streams"


async def delays(folder: Path) -> list[Row]:
    async with stamped(folder, BURST) as server:
        await together(server.port, 2)
        return [await _delay(server, streams) for streams in (1, 50, 200, 1000)]


async def _delay(server: Server, streams: int) -> Row:
    """Of what was written while all streams ran."""
    seen: list[Seen] = [[] for _ in range(streams)]
    async with asyncio.timeout(120):
        await asyncio.gather(*(read(server.port, of_one) for of_one in seen))
    begun, ended = max(of_one[0][0] for of_one in seen), min(of_one[-1][0] for of_one in seen)
    within = [delay for of_one in seen for sent, delay in of_one if begun <= sent <= ended]
    load = BURST * len(within) / (ended - begun)
    ninety_ninth = 1000 * statistics.quantiles(within, n=100)[-1]
    case = f"{_many(streams)} at {load:.0f} tokens/s, p99 delay of a token"
    return at_most("delivery", case, ninety_ninth, "ms", 50 if streams == 1000 else None)


async def rows(repeats: int = REPEATS) -> list[Row]:
    pinned()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [*await speeds(folder, repeats), *await delays(folder)]


async def only_delays() -> list[Row]:
    """Without the other servers, which need not be installed."""
    pinned()
    with tempfile.TemporaryDirectory() as name:
        return await delays(Path(name))


if __name__ == "__main__":
    for made in uvloop.run(only_delays() if "delays" in sys.argv else rows()):
        print(made)
