"""Whether anything gets slower as it grows: answers, conversations, the log.

    python -m bench.growth

All costs are CPU time of the server. Of an answer's length it is the cost of a further token: what
an answer costs by itself is the same for all lengths and taken off.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from sqlalchemy import create_engine, insert
from tests.redis import free_port

from bench.processes import Server, leafstream, pinned
from bench.rows import Row, flat
from bench.words import prose
from leafstream.ask import Ask
from leafstream.events import Event, ValueSet
from leafstream.log.records import Opening, Record, encode_record
from leafstream.log.sqlite import SqliteStorage
from leafstream.log.storage import Write
from leafstream.store.conversations import Conversations
from leafstream.store.tables import conversations, turns

LENGTHS = (250, 2_500, 25_000, 50_000)
"""Tokens of four characters."""
REPEATS = 3
MANY_CONVERSATIONS, FEW = 100_000, 100
MANY_EVENTS, OF_RECORD, OF_ANSWER = 10_000_000, 100, 10_000
FLAT = 1.2


async def ask(port: int, **body: object) -> None:
    """One answer of the plain-text assistant, to its end."""
    data = json.dumps({"assistant": "chat", "input": "go", **body}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    writer.write(
        b"POST /v1/answers HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
        b"Content-Type: application/json\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(data), data)
    )
    tail = b""
    while piece := await reader.read(1 << 18):
        tail = (tail + piece)[-1_000_000:]
    writer.close()
    if b"event: finished" not in tail:
        raise RuntimeError(f"an answer without an end: {tail[-300:]!r}")


async def cost(server: Server, times: int, **body: object) -> float:
    """Seconds of CPU an answer."""
    before = server.cpu
    for _ in range(times):
        await ask(server.port, **body)
    return (server.cpu - before) / times


def settings(folder: Path) -> dict[str, str]:
    script = folder / "script.txt"
    script.write_text("".join(prose(LENGTHS[-1] + 100)))
    return {
        "LEAFSTREAM_MODEL": f"scripted:{script}?slots=100&delay=none&burst=16",
        "LEAFSTREAM_CONTEXT_WINDOW": "200000",
    }


async def lengths(folder: Path) -> list[Row]:
    """The cost of a further token between two lengths, beside that between the two before."""
    async with leafstream(folder, free_port(), **settings(folder)) as server:
        await cost(server, 20, max_tokens=LENGTHS[0])
        costs = [
            min([await cost(server, max(1, 100_000 // n), max_tokens=n) for _ in range(REPEATS)])
            for n in LENGTHS
        ]
    further = [
        1e6 * (costs[at + 1] - costs[at]) / (LENGTHS[at + 1] - LENGTHS[at])
        for at in range(len(LENGTHS) - 1)
    ]
    case = "a further token, at 100k to 200k characters beside 1k to 10k"
    return [flat("growth", case, (further[-1], further[0]), "µs", FLAT)]


async def with_conversations(folder: Path, count: int) -> list[str]:
    """A database of so many conversations of two turns; the ids of some."""
    folder.mkdir()
    url = f"sqlite:///{folder / 'bench.db'}"
    await (await Conversations.open(url)).close()
    now = datetime.now(UTC)
    ids = ["conv_" + secrets.token_urlsafe(16) for _ in range(count)]
    made = {"assistant": "chat", "title": "", "created": now, "updated": now}
    said = {"content": "word " * 20, "created": now}
    both = [
        {"conversation": each, "number": n, "role": role, **said}
        for each in ids
        for n, role in ((1, "user"), (2, "assistant"))
    ]
    engine = create_engine(url)
    with engine.begin() as db:
        db.execute(insert(conversations), [{"id": each, **made} for each in ids])
        db.execute(insert(turns), both)
    engine.dispose()
    return ids[:: max(1, count // FEW)]


async def turn_costs(folder: Path) -> list[Row]:
    few = await with_conversations(folder / "few", FEW)
    many = await with_conversations(folder / "many", MANY_CONVERSATIONS)
    async with (
        leafstream(folder / "few", free_port(), **settings(folder)) as small,
        leafstream(folder / "many", free_port(), **settings(folder)) as large,
    ):
        found: dict[Server, list[float]] = {small: [], large: []}
        for _ in range(REPEATS):
            for server, ids in ((small, few), (large, many)):
                before = server.cpu
                for conversation in ids[:FEW]:
                    await ask(server.port, conversation=conversation, max_tokens=50)
                found[server].append((server.cpu - before) / FEW)
    case = f"a turn, with {MANY_CONVERSATIONS} conversations beside {FEW}"
    best = 1000 * min(found[large]), 1000 * min(found[small])
    return [flat("growth", case, best, "ms", FLAT)]


async def fill(path: Path, num_events: int) -> None:
    """A log of answers that are over, OF_ANSWER events each."""
    storage = await SqliteStorage.open(path)
    events: list[Event] = [ValueSet(f"/{n}", n) for n in range(OF_RECORD)]
    body = encode_record(Record(OF_RECORD, events, []))
    asked = Ask(())
    for number in range(num_events // OF_ANSWER):
        answer = f"ans_{number:022d}"
        await storage.create(Opening(answer, asked, time.time()))
        lasts = range(OF_RECORD, OF_ANSWER + 1, OF_RECORD)
        await storage.write([Write(answer, 1, n, n == OF_ANSWER, body) for n in lasts])
    await storage.close()


async def log_costs(folder: Path) -> list[Row]:
    (folder / "empty").mkdir()
    (folder / "full").mkdir()
    await fill(folder / "full" / "answers.db", MANY_EVENTS)
    async with (
        leafstream(folder / "empty", free_port(), **settings(folder)) as small,
        leafstream(folder / "full", free_port(), **settings(folder)) as large,
    ):
        found: dict[Server, list[float]] = {small: [], large: []}
        for _ in range(REPEATS):
            for server in (small, large):
                found[server].append(await cost(server, 20, max_tokens=1000))
    case = f"a token, with {MANY_EVENTS:,} events in the log beside an empty one"
    best = 1000 * min(found[large]), 1000 * min(found[small])
    return [flat("growth", case, best, "µs", FLAT)]


async def rows() -> list[Row]:
    pinned()
    made = []
    for part in (lengths, turn_costs, log_costs):
        with tempfile.TemporaryDirectory() as name:
            made += await part(Path(name))
    return made


if __name__ == "__main__":
    for made in uvloop.run(rows()):
        print(made)
