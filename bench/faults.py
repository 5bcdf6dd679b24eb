"""What happens to answers while processes, connections, disks and databases fail.

    python -m bench.faults [--short] [ROW …]

Real `leafstream serve` processes on loopback. Each row says what was done, and what came of it;
`holds` is whether nothing was lost, doubled or changed. Writes bench/results/faults.json and the
table of docs/reliability.md.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
from tests.postgresql import postgres_server
from tests.redis import RedisServer
from tests.serving import client

from bench.disk import fill, small_disk
from bench.reader import ENDS, Reading, Wishes, frames, read, request
from bench.replicas import BODY, SAID, SCHEMA, SCRIPT, kill_at_random, many, meanwhile, replicas, up

RESULTS = Path(__file__).parent / "results" / "faults.json"
DOCUMENT = Path(__file__).parents[1] / "docs" / "reliability.md"
TABLE_BEGINS, TABLE_ENDS = "<!-- faults -->", "<!-- /faults -->"
COUNTS = ("answers", "finished", "lost", "doubled", "wrong", "longest_gap_s")
HEAD = (
    "| what was done | answers | finished | lost | doubled | wrong | longest gap | more | holds |",
    "|---|---|---|---|---|---|---|---|---|",
)
MOST_GROWTH = 1.05
"""Of the soak's memory, from the median of the first half to that of the second."""

Row = dict[str, Any]


def row(case: str, readings: Sequence[Reading], said: str | None = SAID, **more: Any) -> Row:
    """What came of the answers: all must be finished, whole and exact."""
    lost = sum(len(r.text) < len(said or "") for r in readings)
    wrong = sum(said is not None and len(r.text) >= len(said) and r.text != said for r in readings)
    counts = {
        "answers": len(readings),
        "finished": sum(r.ends == ["finished"] for r in readings),
        "lost": lost,
        "doubled": sum(r.doubled for r in readings),
        "wrong": wrong,
        "reconnects": sum(r.reconnects for r in readings),
        "longest_gap_s": round(max(r.longest_gap for r in readings), 2),
        **more,
    }
    holds = counts["finished"] == len(readings) and not (lost or counts["doubled"] or wrong)
    return {"row": "faults", "case": case, "ours": counts, "target": "none lost", "holds": holds}


async def kills(*, short: bool) -> Row:
    count, at_once = (8, 8) if short else (1000, 200)
    killed = [0]
    async with (
        replicas(2 if short else 3) as (servers, _),
        meanwhile(kill_at_random(servers, 2.0, killed)),
    ):
        readings = await many(servers, count, at_once)
    case = f"{count} answers, {at_once} at once; kill -9 of a replica every 2 s"
    return row(case, readings, killed=killed[0])


async def redis_restart(*, short: bool) -> Row:
    count, at_once = (8, 8) if short else (200, 100)

    async def restart(redis: RedisServer) -> None:
        await asyncio.sleep(1.5)
        await redis.stop()
        await asyncio.sleep(1)
        await redis.start()

    async with replicas(1 if short else 2) as (servers, redis):
        assert redis is not None
        async with meanwhile(restart(redis)):
            readings = await many(servers, count, at_once, drop=0.0)
    return row(f"{count} answers; Redis is killed and started again", readings)


async def postgres_restart(*, short: bool) -> Row:
    """PostgreSQL dies while answers to conversations are written; each must be kept once."""
    count = 4 if short else 60
    with postgres_server() as database:

        async def restart() -> None:
            await asyncio.sleep(1)
            await asyncio.to_thread(database.stop)
            await asyncio.sleep(2)
            await asyncio.to_thread(database.start)

        async with (
            replicas(1 if short else 2, database_url=database.url) as (servers, _),
            client(servers[0].url) as http,
        ):
            names = [await conversation(http) for _ in range(count)]
            bodies = [
                json.dumps({"assistant": "chat", "input": "go", "conversation": name}).encode()
                for name in names
            ]
            async with meanwhile(restart()):
                readings = await asyncio.gather(
                    *(read(lambda: up(servers), Wishes(body)) for body in bodies)
                )
            kept = [(await http.get(f"/v1/conversations/{name}")).json() for name in names]
    turns = sum(len(found["turns"]) == 2 for found in kept)
    made = row(
        f"{count} answers to conversations; PostgreSQL is killed and started again",
        readings,
        said=SCRIPT,
        kept_once=turns,
    )
    made["holds"] = made["holds"] and turns == count
    return made


async def conversation(http: httpx2.AsyncClient) -> str:
    made = await http.post("/v1/conversations", json={"assistant": "chat"})
    return str(made.json()["id"])


async def full_disk(*, short: bool) -> Row:
    """The log's disk fills up: new answers are refused or fail; when there is room, all is well."""
    patience, readers_patience = (0.5, 2.0) if short else (2.0, 8.0)
    async with small_disk(16) as folder:
        settings: dict[str, Any] = {
            "answers_url": f"sqlite:///{folder / 'answers.db'}",
            "log_patience_seconds": patience,
        }
        async with replicas(1, "sqlite", **settings) as (made, _):
            before = await many(made, 4, 4, drop=0.0)
            writing = asyncio.create_task(many(made, 6, 6, drop=0.0, patience=readers_patience))
            await asyncio.sleep(0.3)
            fill(folder / "filler")
            during = [*await many(made, 6, 6, drop=0.0, patience=readers_patience), *await writing]
            (folder / "filler").unlink()
            await asyncio.sleep(patience)
            after = await many(made, 4, 4, drop=0.0)
    ends = {kind: sum(kind in reading.ends for reading in during) for kind in ENDS}
    refused = sum(reading.refusals > 0 for reading in during)
    made_row = row(
        "the log's disk is full, then not", [*before, *after], during=ends, refused=refused
    )
    exact = all(SAID.startswith(r.text) and len(r.ends) < 2 and not r.doubled for r in during)
    made_row["holds"] = made_row["holds"] and exact and refused + ends["failed"] > 0
    return made_row


async def slow_reader(*, short: bool) -> Row:
    """One reader of 500 takes nothing; the others must not notice, and it must get all later."""
    count, stall, seconds = (15, 1, 2) if short else (500, 3, 5)
    async with replicas(1, "sqlite", stall_seconds=stall) as (servers, _):
        port = servers[0].port
        alone = await many_of_one(port, count)
        begun = asyncio.create_task(take_nothing(port, seconds))
        beside = await many_of_one(port, count)
        slow = await begun
    gap, before = (max(r.longest_gap for r in readings) for readings in (beside, alone))
    return row(
        f"a reader that takes nothing for {seconds} s beside {count} fast ones of one answer",
        [*alone, *beside, slow],
        gap_without_it_s=round(before, 2),
        gap_beside_it_s=round(gap, 2),
    )


async def many_of_one(port: int, count: int) -> list[Reading]:
    first = Reading()
    body = json.dumps({"schema": SCHEMA, "input": "go", "background": True}).encode()
    async for frame in frames(port, "/v1/answers", body):
        first.take(frame)
        break
    path = f"/v1/answers/{first.answer}/events"
    wishes = Wishes(b"", path=path)
    return await asyncio.gather(*(read(lambda: [port], wishes) for _ in range(count)))


async def take_nothing(port: int, seconds: float) -> Reading:
    """Ask, do not read, and then read it all from the beginning."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, ("127.0.0.1", port))
    await loop.sock_sendall(connection, request("POST", "/v1/answers", BODY))
    head = await loop.sock_recv(connection, 2048)
    answer = head.lower().split(b"leafstream-answer: ")[1].split(b"\r\n")[0]
    # Header names are lowered by us, the id is not: find it again as it was sent.
    at = head.lower().index(answer)
    name = head[at : at + len(answer)].decode()
    await asyncio.sleep(seconds)
    connection.close()
    return await read(lambda: [port], Wishes(b"", path=f"/v1/answers/{name}/events"))


async def soak(*, short: bool) -> Row:
    """The same load for ten minutes: the memory of the server must not grow."""
    seconds = 20 if short else 600
    readings: list[Reading] = []
    sizes: list[int] = []
    async with replicas(1, "sqlite", keep_seconds=30) as (servers, _):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            readings += await many(servers, 40, 40)
            sizes.append(servers[0].memory)
    half = len(sizes) // 2
    first, second = statistics.median(sizes[:half]), statistics.median(sizes[half:])
    made = row(
        f"{seconds} s of 40 answers at once; memory of the second half by the first",
        readings,
        memory_mb=round(second / 1e6),
        growth=round(second / first, 3),
    )
    made["target"] = f"none lost, memory < {MOST_GROWTH}"
    made["holds"] = made["holds"] and (short or second / first < MOST_GROWTH)
    return made


async def clock(*, short: bool) -> Row:
    """The clock of a server is set back by an hour while it writes."""
    count = 1 if short else 100
    library = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
    if library is None:
        raise OSError("libfaketime is not installed")
    with tempfile.NamedTemporaryFile("w", suffix=".clock") as stamp:
        Path(stamp.name).write_text("+0")
        environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": stamp.name,
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

        async def set_back() -> None:
            await asyncio.sleep(1)
            Path(stamp.name).write_text("-1h")

        async with replicas(1, "sqlite", environment=environment) as (servers, _):
            async with meanwhile(set_back()):
                readings = await many(servers, count, count)
            readings += await many(servers, count, count)
        is_set_back = Path(stamp.name).read_text() == "-1h"
    made = row(f"{count} answers; the clock is set back by an hour", readings)
    made["holds"] = made["holds"] and is_set_back
    return made


async def real_engine(*, short: bool) -> Row:
    """The default model, greedily: answers cut by kills equal those of a quiet server.

    Computed token by token (`repeatable`): in batches of other sizes a model's numbers round
    differently, with or without us.
    """
    count, kinds = (2, 2) if short else (24, 4)
    shorter = {"max_tokens": 60} if short else {}
    bodies = [
        json.dumps(
            {
                "assistant": "recipe",
                "input": {"wish": f"a soup with {thing}"},
                "temperature": 0,
                "repetition_penalty": 1,
                **shorter,
            }
        ).encode()
        for thing in ("carrots", "beans", "rice", "apples")
    ]
    real: dict[str, Any] = {
        "model": "smollm2-135m", "slots": 4, "context_window": 1024, "repeatable": "true"
    }  # fmt: skip
    if short:
        real["threads"] = 1
    killed = [0]
    async with replicas(1 if short else 2, "sqlite", **real) as (servers, _):

        async def one(number: int) -> Reading:
            async with turn:
                wishes = Wishes(bodies[number % 4], drop=0.02, patience=240)
                return await read(lambda: up(servers), wishes)

        turn = asyncio.Semaphore(4)
        begun = time.monotonic()
        quiet = [await one(number) for number in range(kinds)]
        # Two at once take no less than half of what they take one after the other.
        every, most = ((time.monotonic() - begun) / 4, 1) if short else (4.0, math.inf)
        async with meanwhile(kill_at_random(servers, every, killed, most)):
            readings = await asyncio.gather(*(one(number) for number in range(count)))
    equal = sum(r.value == quiet[number % kinds].value for number, r in enumerate(readings))
    made = row(
        f"{count} answers of the default model, {kinds} at once; kill -9 every {every:.2g} s",
        readings,
        said=None,
        killed=killed[0],
        equal_to_unbroken=equal,
    )
    made["holds"] = made["holds"] and equal == count and killed[0] > 0
    return made


async def schemathesis(*, short: bool) -> Row:
    """Requests made from the OpenAPI document, right and wrong ones: never a 5xx."""
    async with replicas(1, "sqlite") as (servers, _):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{servers[0].url}/openapi.json"),
            *("--checks", "not_a_server_error", "--request-timeout", "10", "--no-color"),
            *("--max-examples", "1" if short else "50", "--phases", "examples,coverage,fuzzing"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out = (await process.communicate())[0].decode()
    tried = re.search(r"(\d[\d,]*) generated", out)
    ours = {"test cases": tried[1] if tried else "?", "server errors": out.count("Server error")}
    if process.returncode:
        print(out[-6000:])
    return {
        "row": "faults",
        "case": "schemathesis over the OpenAPI document",
        "ours": ours,
        "target": "no 5xx",
        "holds": process.returncode == 0 and tried is not None,
    }


ROWS: dict[str, Callable[..., Awaitable[Row]]] = {
    "kills": kills,
    "redis": redis_restart,
    "postgres": postgres_restart,
    "disk": full_disk,
    "slow": slow_reader,
    "clock": clock,
    "soak": soak,
    "model": real_engine,
    "schemathesis": schemathesis,
}


async def main(names: Sequence[str], *, short: bool) -> list[Row]:
    made = []
    for name in names or ROWS:
        begun = time.monotonic()
        made.append({**await ROWS[name](short=short), "name": name})
        print(
            json.dumps(made[-1], ensure_ascii=False),
            f"{time.monotonic() - begun:.0f} s",
            flush=True,
        )
    return made


def keep(rows: Sequence[Row]) -> None:
    """Put the rows among those of earlier runs, and their table into docs/reliability.md."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    found = {row["name"]: row for row in [*kept, *rows]}
    ordered = [found[name] for name in ROWS if name in found]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n")
    before, _, rest = DOCUMENT.read_text().partition(TABLE_BEGINS)
    after = rest.partition(TABLE_ENDS)[2]
    table = "\n".join(["", *HEAD, *map(_line, ordered), ""])
    DOCUMENT.write_text(before + TABLE_BEGINS + table + TABLE_ENDS + after)


def _line(row: Row) -> str:
    ours = dict(row["ours"])
    columns = [str(ours.pop(name, "–")) for name in COUNTS]
    more = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in ours.items())
    return f"| {row['case']} | {' | '.join(columns)} | {more} | {'yes' if row['holds'] else 'no'} |"


if __name__ == "__main__":
    words = sys.argv[1:]
    short = "--short" in words
    made = asyncio.run(main([word for word in words if word != "--short"], short=short))
    if not short:
        keep(made)
    sys.exit(0 if all(row["holds"] for row in made) else 1)
