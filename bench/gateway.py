"""A gateway in front of an OpenAI-compatible upstream that plays tokens at full speed.

    python -m bench.gateway
    python -m bench.gateway delays

leafstream and LiteLLM's proxy get the same requests from the same client and ask the same upstream.
Speeds are tokens over the CPU time of the one process that is named: of the proxy, or of a client
that reads the upstream itself and parses every event. The delay is from the upstream's write of
one token to the client's read of it, at 50 streams of 40 tokens/s; what the same client sees
without a proxy is taken off.
"""

from __future__ import annotations

import asyncio
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop
from tests.redis import free_port

from bench.processes import BASELINES, Server, cores, leafstream, pinned, started
from bench.rows import Row, at_least, at_most, beside

LITELLM = BASELINES.with_name("litellm")
TOKENS, STREAMS = 1000, 50
PACE, PACED_TOKENS = 40, 200
REPEATS = 3
UNIT = "tokens/s of a core"
CONFIG = """
model_list:
  - model_name: fake
    litellm_params: {model: openai/fake, api_base: "http://127.0.0.1:%d/v1", api_key: none}
litellm_settings: {telemetry: false}
"""


class Read:
    """What a client has read: how many tokens, and how long each paced one was on its way."""

    def __init__(self) -> None:
        self.tokens = 0
        self.delays: list[float] = []

    def take(self, data: bytes) -> None:
        choices = json.loads(data)["choices"] if data != b"[DONE]" else ()
        text = choices[0]["delta"].get("content") if choices else None
        if text:
            now = time.perf_counter()
            self.tokens += 1
            if text.endswith("\n"):
                self.delays += [now - float(sent) for sent in text.split()]


async def read(port: int, message: str, into: Read) -> None:
    """One chat completion, every event parsed."""
    asked = {"model": "fake", "stream": True, "messages": [{"role": "user", "content": message}]}
    body = json.dumps(asked).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    kind = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    writer.write(head + kind + body)
    answer = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in answer[:16]:
        raise RuntimeError((answer + await reader.read(2000)).decode(errors="replace"))
    rest = b""
    while b"[DONE]" not in rest:
        *lines, rest = (rest + await reader.read(1 << 18)).split(b"\n")
        for line in lines:
            if line.startswith(b"data: "):
                into.take(line[6:].rstrip())
            if line.startswith(b"data: [DONE]"):
                writer.close()
                return
    writer.close()


async def together(port: int, message: str, streams: int) -> Read:
    read_by_all = Read()
    async with asyncio.timeout(120):
        await asyncio.gather(*(read(port, message, read_by_all) for _ in range(streams)))
    return read_by_all


async def speed(server: Server, streams: int) -> float:
    """Tokens over seconds of the server's CPU."""
    before = server.cpu
    got = await together(server.port, "go", streams)
    assert got.tokens >= streams
    return TOKENS * streams / (server.cpu - before)


async def own_speed(server: Server, streams: int) -> float:
    """Tokens over seconds of this client's CPU."""
    before = _own_cpu()
    got = await together(server.port, "go", streams)
    assert got.tokens == TOKENS * streams
    return TOKENS * streams / (_own_cpu() - before)


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@asynccontextmanager
async def player(tokens: int) -> AsyncIterator[Server]:
    port = free_port()
    command = (sys.executable, "-m", "bench.servers.player", str(port), str(tokens))
    async with started(*command, port=port, core=cores()[0]) as server:
        yield server


@asynccontextmanager
async def ours(folder: Path, upstream: Server) -> AsyncIterator[Server]:
    settings = {
        "LEAFSTREAM_UPSTREAM": f"http://127.0.0.1:{upstream.port}/v1",
        "LEAFSTREAM_UPSTREAM_VENDOR": "openai",
        "LEAFSTREAM_CONTEXT_WINDOW": "100000",
        "LEAFSTREAM_SLOTS": "1000",
        "LEAFSTREAM_QUEUE": "2000",
    }
    async with leafstream(folder, free_port(), **settings) as server:
        yield server


@asynccontextmanager
async def litellm(folder: Path, upstream: Server) -> AsyncIterator[Server]:
    port = free_port()
    config = folder / f"litellm-{port}.yaml"
    config.write_text(CONFIG % upstream.port)
    command = (str(LITELLM), "--config", str(config), "--port", str(port), "--host", "127.0.0.1")
    environment = {
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
        "PYTHONPATH": "",
    }
    async with started(*command, port=port, environment=environment) as server:
        yield server


async def speeds(servers: tuple[Server, Server, Server], repeats: int) -> list[Row]:
    upstream, mine, theirs = servers
    found: dict[str, list[float]] = {"ours": [], "litellm": [], "direct": []}
    for server in (mine, theirs):
        await together(server.port, "go", 2)
    for _ in range(repeats):
        found["ours"].append(await speed(mine, 2 * STREAMS))
        found["litellm"].append(await speed(theirs, STREAMS // 10))
        found["direct"].append(await own_speed(upstream, 2 * STREAMS))
    middle = {name: statistics.median(several) for name, several in found.items()}
    other, direct = (middle["ours"], middle["litellm"]), (middle["ours"], middle["direct"])
    return [
        beside("gateway", "full speed, beside LiteLLM", other, UNIT, 25),
        beside("gateway", "full speed, beside a client that reads the upstream", direct, UNIT, 0.4),
    ]


async def delays(servers: Sequence[Server]) -> list[Row]:
    """Of the upstream, of leafstream and, where it is there, of LiteLLM."""
    message = f"paced {PACE} {PACED_TOKENS}"
    middle, spent = [], []
    for server in servers:
        before = server.cpu
        got = await together(server.port, message, STREAMS)
        spent.append(server.cpu - before)
        middle.append(1000 * statistics.median(got.delays))
    direct, *added = middle
    speeds = [STREAMS * PACED_TOKENS / seconds for seconds in spent]
    load = f"{STREAMS} streams of {PACE} tokens/s"
    told = [at_most("gateway", f"{load}, median added delay", added[0] - direct, "ms", 1.0)]
    if len(added) == 1:
        return [at_least("gateway", load, speeds[1], UNIT), *told]
    case = f"{load}, LiteLLM's median added delay"
    return [
        beside("gateway", f"{load}, beside LiteLLM", (speeds[1], speeds[2]), UNIT),
        *told,
        at_most("gateway", case, added[1] - direct, "ms"),
    ]


async def only_delays() -> list[Row]:
    """Without LiteLLM, which need not be installed."""
    pinned()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with player(TOKENS) as upstream, ours(folder, upstream) as mine:
            await together(mine.port, "go", 2)
            return await delays((upstream, mine))


async def rows(repeats: int = REPEATS) -> list[Row]:
    pinned()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with (
            player(TOKENS) as upstream,
            ours(folder, upstream) as mine,
            litellm(folder, upstream) as theirs,
        ):
            servers = upstream, mine, theirs
            return [*await speeds(servers, repeats), *await delays(servers)]


if __name__ == "__main__":
    for made in uvloop.run(only_delays() if "delays" in sys.argv else rows()):
        print(made)
