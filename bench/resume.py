"""Coming back: events/s replayed from the log, to one client and to 500 at once.

    python -m bench.resume

The answer is an array of integers, an event each, so that none can be merged; it was written
through the storage by a process that is gone. Speeds are events over the server's CPU time.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import uvloop
from tests.redis import free_port

from bench.processes import Server, leafstream, pinned
from bench.rows import Row, at_least
from leafstream.ask import Ask
from leafstream.events import Cancelled, Event, Plan, Started, ValueSet
from leafstream.log.records import Opening, Record, encode_record
from leafstream.log.sqlite import SqliteStorage
from leafstream.log.storage import Write
from leafstream.messages import Message

EVENTS, OF_RECORD = 10_000, 50
CLIENTS, BEHIND = 500, 2000
ANSWER = "ans_replayed0000000000000"


async def write(path: Path) -> None:
    """An answer of EVENTS events that is over."""
    storage = await SqliteStorage.open(path)
    await storage.create(Opening(ANSWER, Ask((Message("user", "go"),)), time.time()))
    events: list[Event] = [Started(ANSWER, None, "none", Plan(1, EVENTS, EVENTS))]
    events += [ValueSet(f"/numbers/{n}", n) for n in range(EVENTS - 2)]
    events.append(Cancelled("over"))
    for at in range(0, EVENTS, OF_RECORD):
        record = Record(at + OF_RECORD, events[at : at + OF_RECORD], [])
        ended = record.last == EVENTS
        await storage.write([Write(ANSWER, 1, record.last, ended, encode_record(record))])
    await storage.close()


async def replay(port: int, after: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    path = f"/v1/answers/{ANSWER}/events?after={after}"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    count, kept = 0, b""
    while piece := await reader.read(1 << 18):
        count += (kept + piece).count(b"\nevent: ")
        kept = piece[-7:]
    writer.close()
    if count != EVENTS - after:
        raise RuntimeError(f"{count} events of {EVENTS - after} came")


async def speed(server: Server, clients: int, after: int, times: int) -> float:
    before = server.cpu
    async with asyncio.timeout(120):
        for _ in range(times):
            await asyncio.gather(*(replay(server.port, after) for _ in range(clients)))
    return clients * times * (EVENTS - after) / (server.cpu - before)


async def rows(times: int = 20) -> list[Row]:
    pinned()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "script.txt").write_text("none")
        await write(folder / "answers.db")
        settings = {
            "LEAFSTREAM_MODEL": f"scripted:{folder / 'script.txt'}",
            "LEAFSTREAM_ANSWERS_URL": f"sqlite:///{folder / 'answers.db'}",
        }
        async with leafstream(folder, free_port(), **settings) as server:
            await replay(server.port, 0)
            alone = await speed(server, 1, 0, times)
            crowd = await speed(server, CLIENTS, EVENTS - BEHIND, 1)
    unit = "events/s of a core"
    return [
        at_least("resume", f"{EVENTS} events, 1 client", alone, unit, 200_000),
        at_least("resume", f"{CLIENTS} clients at once, {BEHIND} behind", crowd, unit, 200_000),
    ]


if __name__ == "__main__":
    for made in uvloop.run(rows()):
        print(made)
