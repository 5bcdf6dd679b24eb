"""The example in deploy/: replicas over PostgreSQL and Redis behind nginx, started for real."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from leafstream.events import Finished
from tests.house import texts
from tests.postgresql import postgres_server
from tests.redis import free_port, redis_server
from tests.serving import Reading, Serving, serving

ROOT = Path(__file__).parents[2]
SAID = " ".join(f"{n}번째 컵은 다시 쓴다." for n in range(40))
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
        await asyncio.sleep(0.5)
        assert process.returncode is None
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        settings: dict[str, Any] = {
            "database_url": stack.enter_context(postgres_server()).url,
            "answers_url": (await stack.enter_async_context(redis_server(folder))).url,
            "slots": 50,
        }
        script = json.dumps({"said": SAID}, ensure_ascii=False)
        replicas = [
            await stack.enter_async_context(serving(folder, script, **settings)) for _ in "ab"
        ]
        url = await stack.enter_async_context(nginx(folder, *(one.url for one in replicas)))
        yield Site(url, (replicas[0], replicas[1]))


async def read_whatever_happens(url: str) -> Reading:
    reading = Reading()
    with suppress(httpx2.TransportError):
        await reading.begin(url, ASK)
    while not reading.is_over:
        try:
            await reading.go_on(url)
        except (httpx2.TransportError, AssertionError):
            await asyncio.sleep(0.2)
    return reading


async def test_answers_behind_nginx_survive_a_replica_and_conversations_are_shared(
    tmp_path: Path,
) -> None:
    async with site(tmp_path) as made:
        reading = [asyncio.create_task(read_whatever_happens(made.url)) for _ in range(20)]
        await asyncio.sleep(2)
        await made.replicas[0].kill()
        await asyncio.sleep(1)
        await made.replicas[0].start()
        async with asyncio.timeout(90):
            for read in await asyncio.gather(*reading):
                assert isinstance(read.events[-1][1], Finished)
                assert texts(read.events) == {"/said": SAID}
                numbers = [number for number, _ in read.events]
                assert numbers == sorted(set(numbers))
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as http:
            new = await http.post(f"{made.url}/v1/conversations", json={"assistant": "chat"})
            conversation = new.json()["id"]
            body = {"assistant": "chat", "input": "안녕", "conversation": conversation}
            both = [http.post(f"{one.url}/v1/answers", json=body) for one in made.replicas]
            assert {told.status_code for told in await asyncio.gather(*both)} == {200}
            for one in made.replicas:
                kept = (await http.get(f"{one.url}/v1/conversations/{conversation}")).json()
                assert [turn["role"] for turn in kept["turns"]] == ["user", "assistant"] * 2
