"""Promises about the end of a server: it ends, whatever holds it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import httpx2
import pytest

from leafstream import stopping
from leafstream.instances.control import stop_seconds
from leafstream.settings import Settings
from tests.promises.stuck import END_SECONDS, LET_GO_SECONDS

DRAIN_SECONDS = 0.2


@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_a_server_whose_engine_is_stuck_lets_its_readers_go_and_ends(
    tmp_path: Path, how: signal.Signals
) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if "LEAFSTREAM" not in name},
        "PYTHONPATH": os.pathsep.join(sys.path),
        "LEAFSTREAM_DRAIN_SECONDS": str(DRAIN_SECONDS),
        "LEAFSTREAM_DATABASE_URL": f"sqlite:///{tmp_path / 'test.db'}",
    }
    server = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.promises.stuck"),
        env=environment,
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert server.stdout is not None
        url = (await server.stdout.readline()).decode().strip()
        begun, told = await read_until_let_go(url, server, how)
        assert time.monotonic() - begun < DRAIN_SECONDS + LET_GO_SECONDS + 3
        assert b"event: finished" not in told
        _, said = await server.communicate()
        assert time.monotonic() - begun < DRAIN_SECONDS + END_SECONDS + 3
        assert "1 answers could not be let go" in said.decode()
        assert "the engine does not close in 0.75 seconds" in said.decode()
        # After SIGINT Python waits for its threads, and one of them never ends.
        is_held = "not closed 4.2 seconds after the signal" in said.decode()
        assert is_held is (how == signal.SIGINT)
        assert server.returncode == (1 if is_held else -how)
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()


async def read_until_let_go(
    url: str, server: asyncio.subprocess.Process, how: signal.Signals
) -> tuple[float, bytes]:
    """When the server was told to end, and what a reader got before the connection closed."""
    body = {"assistant": "chat", "input": {"message": "go"}}
    told, begun = b"", 0.0
    async with (
        httpx2.AsyncClient(trust_env=False, timeout=30, base_url=url) as http,
        http.stream(
            "POST", "/v1/answers", json=body, headers={"Accept": "text/event-stream"}
        ) as response,
    ):
        async for piece in response.aiter_raw():
            told += piece
            if b"event: text" in told and not begun:
                begun = time.monotonic()
                server.send_signal(how)
    return begun, told


def test_who_waits_for_an_end_is_more_patient_than_what_ends() -> None:
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    inside = 2 * stopping.LET_GO_SECONDS + stopping.CLOSE_SECONDS
    assert inside < stopping.END_SECONDS < stopping.KILL_SECONDS
    crew = settings.drain_seconds + stopping.KILL_SECONDS + stopping.ENGINE_SECONDS
    assert crew < stop_seconds(settings)
