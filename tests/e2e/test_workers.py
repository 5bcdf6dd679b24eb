"""`leafstream serve --workers`: processes that share a port, a log and one loaded model."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from leafstream import workers
from leafstream.commands.serving import serve
from leafstream.errors import SetupError
from leafstream.events import Finished
from leafstream.notify import Notices
from leafstream.settings import Settings
from leafstream.workers import Crew, serve_workers
from tests.house import texts
from tests.redis import free_port, redis_server
from tests.rude_server import MODEL, RudeServer
from tests.rude_server import serving as rude
from tests.serving import Reading, client, is_ready, until

SAID = " ".join(f"{n}번째 컵은 다시 쓴다." for n in range(25))
SERVE = (sys.executable, "-m", "leafstream", "serve", "--workers", "2")
SCHEMA = {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]}


@asynccontextmanager
async def crew(folder: Path, model: str | None, **more: str) -> AsyncIterator[tuple[str, int]]:
    """The URL of two workers, and the parent's process id; `more` in its environment.

    What they say is in `crew.log`.
    """
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if "LEAFSTREAM" not in name},
        "LEAFSTREAM_PORT": str(port),
        **({} if model is None else {"LEAFSTREAM_MODEL": model}),
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
        await until_ready(url)
        yield url, process.pid
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            await process.wait()


async def until_ready(url: str) -> None:
    async with asyncio.timeout(90), client(url, timeout=60) as http:
        while not await is_ready(http):
            await asyncio.sleep(0.1)


def scripted(folder: Path, said: str = SAID) -> str:
    (folder / "script.txt").write_text(json.dumps({"said": said}, ensure_ascii=False))
    return f"scripted:{folder / 'script.txt'}?delay=0.03"


def is_running(process: int) -> bool:
    """A zombie, which nobody has waited for yet, runs no more."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


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


async def read_on(reading: Reading, url: str) -> None:
    while not reading.is_over:
        try:
            await reading.go_on(url)
        except httpx2.TransportError:
            await asyncio.sleep(0.1)


@pytest.mark.timeout(180)
async def test_a_worker_that_dies_is_replaced_its_answers_go_on_and_none_outlives_the_parent(
    tmp_path: Path,
) -> None:
    log = tmp_path / "crew.log"
    async with crew(tmp_path, scripted(tmp_path)) as (url, parent):
        serving = children(parent, "serve")
        assert len(serving) == 2
        body = {"schema": SCHEMA, "input": "go", "background": True}
        readings = [Reading() for _ in range(6)]
        await asyncio.gather(*(reading.begin(url, body, upto=4) for reading in readings))
        os.kill(serving[0], signal.SIGKILL)
        await asyncio.gather(*(read_on(reading, url) for reading in readings))
        for reading in readings:
            assert isinstance(reading.events[-1][1], Finished)
            assert texts(reading.events) == {"/said": SAID}
        await until(lambda: log.read_text().count(f"at {url}") == 3)
        serving = children(parent, "serve")
        assert len(serving) == 2
        os.kill(parent, signal.SIGKILL)
        await until(lambda: not any(map(is_running, serving)), 10)
    assert log.read_text().count("it drains and ends") == 2


@pytest.mark.timeout(180)
async def test_workers_share_one_engine_process_set_by_any_source_and_survive_its_death(
    tmp_path: Path, model_path: Path
) -> None:
    (tmp_path / "leafstream.toml").write_text(f"model = '{model_path}'\n")
    (tmp_path / ".env").write_text("LEAFSTREAM_THREADS=1\n")
    async with crew(tmp_path, None, LEAFSTREAM_REPEATABLE="true") as (url, parent):
        (engine,) = children(parent, "engine_process")
        assert len(children(parent, "serve")) == 2
        reading = Reading()
        body = {"assistant": "chat", "input": "Tell me a story.", "max_tokens": 80}
        await reading.begin(url, {**body, "background": True}, upto=6)
        os.kill(engine, signal.SIGKILL)
        await read_on(reading, url)
        finished = reading.events[-1][1]
        assert isinstance(finished, Finished), finished
        assert finished.value == texts(reading.events)[""]


async def test_workers_take_the_model_that_their_upstream_serves(tmp_path: Path) -> None:
    upstream = RudeServer()
    async with rude(upstream):
        told = f"http://127.0.0.1:{upstream.port}"
        async with crew(tmp_path, None, LEAFSTREAM_UPSTREAM=told) as (url, _), client(url) as http:
            listed = (await http.get("/v1/models")).json()
    assert MODEL in json.dumps(listed)


def test_workers_that_should_take_up_changes_are_refused() -> None:
    with pytest.raises(SetupError, match="--reload is for one process"):
        serve(reload=True, workers=2)


async def test_workers_that_cannot_share_a_log_are_refused(tmp_path: Path) -> None:
    environment = {**os.environ, "LEAFSTREAM_ANSWERS_URL": "memory:", "LEAFSTREAM_PORT": "0"}
    process = await asyncio.create_subprocess_exec(
        *SERVE, env=environment, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    )
    said = (await process.communicate())[1].decode()
    assert process.returncode == 2
    assert "LEAFSTREAM_ANSWERS_URL" in said


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"dtype": "fp16"}, "LEAFSTREAM_DTYPE has no effect"),
        ({"quant": "nf4", "upstream": "http://127.0.0.1:9"}, "LEAFSTREAM_QUANT has no effect"),
        ({"model": "transformers:some/model"}, "engine that processes can share"),
        ({"model": "transformers:a/b", "upstream": "http://127.0.0.1:9"}, "two engines"),
    ],
)
def test_workers_are_refused_settings_of_another_engine_before_a_model_is_looked_for(
    given: dict[str, Any], sentence: str
) -> None:
    settings = Settings(**{"model": "/nowhere/model.gguf", **given})
    with pytest.raises(SetupError, match=sentence):
        workers.run(settings, Crew(2))


@pytest.mark.timeout(180)
async def test_a_worker_that_cannot_start_is_tried_again_and_who_started_the_crew_is_told_once(
    tmp_path: Path,
) -> None:
    log = tmp_path / "crew.log"
    model = scripted(tmp_path, "Bring a cup.")
    with Notices() as notices:
        more = {"NOTIFY_SOCKET": notices.address}
        async with (
            redis_server(tmp_path) as redis,
            crew(tmp_path, model, LEAFSTREAM_ANSWERS_URL=redis.url, **more) as (url, parent),
        ):
            await until(lambda: log.read_text().count(f"at {url}") == 2)
            await redis.stop()
            os.kill(children(parent, "serve")[0], signal.SIGKILL)
            await until(lambda: "ended with code 2" in log.read_text())
            assert is_running(parent)
            await redis.start()
            await until(lambda: log.read_text().count(f"at {url}") == 3)
            reading = Reading()
            await reading.begin(url, {"schema": SCHEMA, "input": "go"})
            assert isinstance(reading.events[-1][1], Finished)
        told = [notices.take() for _ in range(3)]
    assert told[0] == {"READY": "1", "STATUS": f"serving at {url}", "X_LEAFSTREAM_URL": url}
    assert told[1:] == [{"STOPPING": "1"}, {}]


@pytest.mark.timeout(180)
async def test_a_worker_that_does_not_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "KILL_SECONDS", 1)
    model, port = scripted(tmp_path), free_port()
    database = f"sqlite:///{tmp_path / 'test.db'}"
    given: dict[str, Any] = {
        "port": port,
        "model": model,
        "database_url": database,
        "drain_seconds": 0.2,
    }
    crew = asyncio.create_task(serve_workers(Settings(**given), Crew(1)))
    await until_ready(f"http://127.0.0.1:{port}")
    (serving,) = children(os.getpid(), "serve")
    os.kill(serving, signal.SIGSTOP)
    os.kill(os.getpid(), signal.SIGTERM)
    await crew
    assert not is_running(serving)
    assert "did not end in 1.2 seconds and is killed" in caplog.text


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
    await until(lambda: bool(children(process.pid, "engine_process")))
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
    given: dict[str, Any] = {"port": free_port(), "model": str(model_path)}
    with pytest.raises(SetupError, match="not ready after"):
        await serve_workers(Settings(**given), Crew(1))


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
