"""The example in deploy/: replicas over PostgreSQL and Redis behind nginx, started for real."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import httpx2
import msgspec
import pytest

from leafstream.events import Finished
from tests.house import texts
from tests.postgresql import postgres_server
from tests.redis import free_port
from tests.serving import Reading, Serving, client, replicas, until

ROOT = Path(__file__).parents[2]
SAID = " ".join(f"{n}번째 컵은 다시 쓴다." for n in range(20))
SCHEMA = {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]}
ASK = {"schema": SCHEMA, "input": "go"}


class Site(msgspec.Struct, frozen=True):
    url: str
    replicas: tuple[Serving, Serving]


@asynccontextmanager
async def nginx(folder: Path, first: str, second: str) -> AsyncIterator[str]:
    """deploy/nginx.conf with other ports."""
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("nginx is not installed")
    port = free_port()
    config = (ROOT / "deploy" / "nginx.conf").read_text()
    for old, new in (
        ("127.0.0.1:8001", first.removeprefix("http://")),
        ("127.0.0.1:8002", second.removeprefix("http://")),
        ("listen 127.0.0.1:8080", f"listen 127.0.0.1:{port}"),
        ("pid nginx.pid", f"pid {folder}/nginx.pid"),
    ):
        assert old in config
        config = config.replace(old, new)
    (folder / "nginx.conf").write_text(config)
    words = ["-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]
    process = await asyncio.create_subprocess_exec(program, *words)
    try:
        await until(lambda: (folder / "nginx.pid").exists() or process.returncode is not None)
        assert process.returncode is None
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        script = json.dumps({"said": SAID}, ensure_ascii=False)
        database = stack.enter_context(postgres_server()).url
        made = await stack.enter_async_context(
            replicas(folder, script, "redis", database_url=database, slots=50)
        )
        both = await made.both()
        url = await stack.enter_async_context(nginx(folder, *(one.url for one in both)))
        yield Site(url, both)


async def read_whatever_happens(reading: Reading, url: str) -> None:
    with suppress(httpx2.TransportError):
        await reading.begin(url, ASK)
    while not reading.is_over:
        try:
            await reading.go_on(url)
        except (httpx2.TransportError, AssertionError):
            await asyncio.sleep(0.2)


async def test_answers_behind_nginx_survive_a_replica_and_conversations_are_shared(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as made:
        readings = [Reading() for _ in range(10)]
        reading = asyncio.gather(*(read_whatever_happens(one, made.url) for one in readings))
        await until(lambda: all(one.last > 8 for one in readings))
        await made.replicas[0].kill()
        await made.replicas[0].start()
        async with asyncio.timeout(90):
            await reading
            for read in readings:
                assert isinstance(read.events[-1][1], Finished)
                assert texts(read.events) == {"/said": SAID}
                numbers = [number for number, _ in read.events]
                assert numbers == sorted(set(numbers))
        async with client() as http:
            new = await http.post(f"{made.url}/v1/conversations", json={"assistant": "chat"})
            conversation = new.json()["id"]
            body = {"assistant": "chat", "input": "안녕", "conversation": conversation}
            both = [http.post(f"{one.url}/v1/answers", json=body) for one in made.replicas]
            assert {told.status_code for told in await asyncio.gather(*both)} == {200}
            for one in made.replicas:
                kept = (await http.get(f"{one.url}/v1/conversations/{conversation}")).json()
                assert [turn["role"] for turn in kept["turns"]] == ["user", "assistant"] * 2
