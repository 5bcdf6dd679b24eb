"""`leafstream serve --workers`: processes that share a port, a log and one loaded model."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from leafstream import workers
from leafstream.errors import SetupError
from leafstream.events import Finished
from leafstream.notify import Notices
from leafstream.settings import Settings
from leafstream.workers import Crew, serve_workers
from tests.house import texts
from tests.redis import free_port, redis_server
from tests.serving import Reading

SAID = " ".join(f"{n}번째 컵은 다시 쓴다." for n in range(50))
SERVE = (sys.executable, "-m", "leafstream", "serve", "--workers", "2")
SCHEMA = {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]}


@asynccontextmanager
async def crew(folder: Path, model: str, **more: str) -> AsyncIterator[tuple[str, int]]:
    """The URL of two workers, and the parent's process id; `more` in its environment.

    What they say is in `crew.log`.
    """
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if "LEAFSTREAM" not in name},
        "LEAFSTREAM_PORT": str(port),
        "LEAFSTREAM_MODEL": model,
        "LEAFSTREAM_CONTEXT_WINDOW": "1024",
        "LEAFSTREAM_DATABASE_URL": f"sqlite:///{folder / 'test.db'}",
        "LEAFSTREAM_DRAIN_SECONDS": "0.2",
        **more,
    }
    with (folder / "crew.log").open("a") as log:
        process = await asyncio.create_subprocess_exec(
            *SERVE, env=environment, cwd=folder, stdout=log, stderr=log
        )
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
        if process.returncode is None:
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
        serving = children(parent, "serve")
        assert len(serving) == 2
        readings = [Reading() for _ in range(6)]
        for reading in readings:
            await reading.begin(url, {"schema": SCHEMA, "input": "go", "background": True}, upto=4)
        os.kill(serving[0], signal.SIGKILL)
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
    process = await asyncio.create_subprocess_exec(
        *SERVE, env=environment, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    )
    said = (await process.communicate())[1].decode()
    assert process.returncode == 2
    assert "LEAFSTREAM_ANSWERS_URL" in said


def scripted(folder: Path) -> str:
    (folder / "script.txt").write_text(json.dumps({"said": SAID}, ensure_ascii=False))
    return f"scripted:{folder / 'script.txt'}?delay=0.03"


async def until(happened: Callable[[], bool], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not happened():
            await asyncio.sleep(0.1)


def is_running(process: int) -> bool:
    """A zombie, which nobody has waited for yet, runs no more."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


@pytest.mark.timeout(180)
async def test_a_worker_that_cannot_start_again_is_tried_until_what_it_needs_is_back(
    tmp_path: Path,
) -> None:
    async with (
        redis_server(tmp_path) as redis,
        crew(tmp_path, scripted(tmp_path), LEAFSTREAM_ANSWERS_URL=redis.url) as (url, parent),
    ):
        log = tmp_path / "crew.log"
        await until(lambda: log.read_text().count(f"at {url}") == 2, 60)
        await redis.stop()
        os.kill(children(parent, "serve")[0], signal.SIGKILL)
        await until(lambda: "ended with code 2" in log.read_text(), 60)
        assert is_running(parent)
        await redis.start()
        await until(lambda: log.read_text().count(f"at {url}") == 3, 60)
        reading = Reading()
        await reading.begin(url, {"schema": SCHEMA, "input": "go"})
        assert isinstance(reading.events[-1][1], Finished)


@pytest.mark.timeout(180)
async def test_workers_drain_and_end_where_their_parent_was_killed(tmp_path: Path) -> None:
    async with crew(tmp_path, scripted(tmp_path)) as (url, parent):
        await until(lambda: (tmp_path / "crew.log").read_text().count(f"at {url}") == 2, 60)
        serving = children(parent, "serve")
        os.kill(parent, signal.SIGKILL)
        await until(lambda: not any(map(is_running, serving)), 10)
    assert (tmp_path / "crew.log").read_text().count("it drains and ends") == 2


@pytest.mark.timeout(180)
async def test_a_worker_that_does_not_end_is_killed(tmp_path: Path) -> None:
    async with crew(tmp_path, scripted(tmp_path)) as (url, parent):
        await until(lambda: (tmp_path / "crew.log").read_text().count(f"at {url}") == 2, 60)
        serving = children(parent, "serve")
        os.kill(serving[0], signal.SIGSTOP)
    assert not any(map(is_running, serving))
    assert "did not end in 11.2 seconds and is killed" in (tmp_path / "crew.log").read_text()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_while_the_engine_loads_ends_the_crew(
    tmp_path: Path, model_path: Path, how: signal.Signals
) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if "LEAFSTREAM" not in name},
        "LEAFSTREAM_PORT": str(free_port()),
        "LEAFSTREAM_MODEL": str(model_path),
        "LEAFSTREAM_DRAIN_SECONDS": "0.2",
    }
    process = await asyncio.create_subprocess_exec(*SERVE, env=environment, cwd=tmp_path)
    await until(lambda: bool(children(process.pid, "engine_process")), 60)
    (engine,) = children(process.pid, "engine_process")
    os.kill(engine, signal.SIGSTOP)  # so that it is never ready
    process.send_signal(how)
    try:
        async with asyncio.timeout(20):
            assert await process.wait() == 0
        assert not is_running(engine)
    finally:
        for left in (engine, process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)


@pytest.mark.timeout(180)
async def test_an_engine_that_takes_too_long_to_load_is_told_in_a_sentence(
    tmp_path: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "LOAD_SECONDS", 0.1)
    settings = Settings(_env_file=None, port=free_port(), model=str(model_path))  # type: ignore[call-arg]
    with pytest.raises(SetupError, match="not ready after"):
        await serve_workers(settings, Crew(1, flags={"LEAFSTREAM_MODEL": str(model_path)}))


@pytest.mark.timeout(180)
async def test_who_started_the_crew_is_told_once_that_it_is_ready(tmp_path: Path) -> None:
    with Notices() as notices:
        async with crew(tmp_path, scripted(tmp_path), NOTIFY_SOCKET=notices.address) as (url, _):
            log = tmp_path / "crew.log"
            await until(lambda: log.read_text().count(f"at {url}") == 2, 60)
            await asyncio.sleep(0.5)
        told = [notices.take() for _ in range(3)]
    assert told[0] == {"READY": "1", "STATUS": f"serving at {url}", "X_LEAFSTREAM_URL": url}
    assert told[1:] == [{"STOPPING": "1"}, {}]


@pytest.mark.timeout(60)
async def test_a_signal_while_the_model_is_fetched_ends_the_crew(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as hub:
        environment = {
            **{name: value for name, value in os.environ.items() if "LEAFSTREAM" not in name},
            "HF_ENDPOINT": f"http://127.0.0.1:{hub.sockets[0].getsockname()[1]}",
            "LEAFSTREAM_MODEL": "hf:maker/slow/a.gguf",
            "LEAFSTREAM_CACHE_FOLDER": str(tmp_path / "cache"),
            "LEAFSTREAM_PORT": str(free_port()),
        }
        process = await asyncio.create_subprocess_exec(*SERVE, env=environment, cwd=tmp_path)
        await asyncio.wait_for(asked.wait(), 40)
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(5):
                assert await process.wait() == -signal.SIGTERM
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
