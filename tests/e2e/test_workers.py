"""`leafstream serve --workers`: processes that share a port, a log and one loaded model."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from leafstream.events import Finished
from tests.house import texts
from tests.redis import free_port
from tests.serving import Reading

SAID = " ".join(f"{n}번째 컵은 다시 쓴다." for n in range(50))
SCHEMA = {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]}


@asynccontextmanager
async def crew(folder: Path, model: str) -> AsyncIterator[tuple[str, int]]:
    """The URL of two workers, and the parent's process id."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if "LEAFSTREAM" not in name},
        "LEAFSTREAM_PORT": str(port),
        "LEAFSTREAM_MODEL": model,
        "LEAFSTREAM_CONTEXT_WINDOW": "1024",
        "LEAFSTREAM_DATABASE_URL": f"sqlite:///{folder / 'test.db'}",
        "LEAFSTREAM_DRAIN_SECONDS": "0.2",
    }
    command = (sys.executable, "-m", "leafstream", "serve", "--workers", "2")
    process = await asyncio.create_subprocess_exec(*command, env=environment, cwd=folder)
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(90), httpx2.AsyncClient(trust_env=False) as http:
            while True:
                try:
                    if (await http.get(f"{url}/readyz", timeout=60)).is_success:
                        break
                except httpx2.TransportError:
                    await asyncio.sleep(0.1)
        yield url, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            await process.wait()


def children(parent: int, word: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "status").read_text()
            command = (folder / "cmdline").read_text()
        except OSError:
            continue
        if f"\nPPid:\t{parent}\n" in status and word in command:
            found.append(int(folder.name))
    return found


@pytest.mark.timeout(180)
async def test_a_worker_that_dies_is_replaced_and_its_answers_go_on(tmp_path: Path) -> None:
    script = tmp_path / "script.txt"
    script.write_text(json.dumps({"said": SAID}, ensure_ascii=False))
    async with crew(tmp_path, f"scripted:{script}?delay=0.03") as (url, parent):
        workers = children(parent, "serve")
        assert len(workers) == 2
        readings = [Reading() for _ in range(6)]
        for reading in readings:
            await reading.begin(url, {"schema": SCHEMA, "input": "go", "background": True}, upto=4)
        os.kill(workers[0], signal.SIGKILL)
        for reading in readings:
            while not reading.is_over:
                try:
                    await reading.go_on(url)
                except httpx2.TransportError:
                    await asyncio.sleep(0.1)
            assert isinstance(reading.events[-1][1], Finished)
            assert texts(reading.events) == {"/said": SAID}
        async with asyncio.timeout(60):
            while len(children(parent, "serve")) < 2:
                await asyncio.sleep(0.1)


@pytest.mark.timeout(180)
async def test_workers_share_one_engine_process_and_survive_its_death(
    tmp_path: Path, model_path: Path
) -> None:
    async with crew(tmp_path, str(model_path)) as (url, parent):
        (engine,) = children(parent, "engine_process")
        assert len(children(parent, "serve")) == 2
        reading = Reading()
        body = {"assistant": "chat", "input": "Tell me a story.", "max_tokens": 120}
        await reading.begin(url, {**body, "background": True}, upto=6)
        os.kill(engine, signal.SIGKILL)
        while not reading.is_over:
            try:
                await reading.go_on(url)
            except httpx2.TransportError:
                await asyncio.sleep(0.1)
        finished = reading.events[-1][1]
        assert isinstance(finished, Finished), finished
        assert finished.value == texts(reading.events)[""]


async def test_workers_that_cannot_share_a_log_are_refused(tmp_path: Path) -> None:
    environment = {**os.environ, "LEAFSTREAM_ANSWERS_URL": "memory:", "LEAFSTREAM_PORT": "0"}
    command = (sys.executable, "-m", "leafstream", "serve", "--workers", "2")
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    )
    said = (await process.communicate())[1].decode()
    assert process.returncode == 2
    assert "LEAFSTREAM_ANSWERS_URL" in said
