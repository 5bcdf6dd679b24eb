"""The clients that JavaScript programs use, from npm, against a running server."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from leafstream.engines.scripted import Play, ScriptedEngine
from tests.house import PAIR_TEXT, house

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
PAIR = {"title": "Bring a cup", "count": 3}
PAIR_JSON = '{"title":"Bring a cup","count":3}'


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    """The packages of package.json, installed once."""
    npm, stamp = shutil.which("npm"), MODULES / ".package-lock.json"
    if npm is None or shutil.which("node") is None:
        pytest.skip("there is no node here, so its clients are not tried")
    wanted = (HERE / "package.json").stat().st_mtime
    if stamp.exists() and stamp.stat().st_mtime >= wanted:
        return
    command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund"]
    done = subprocess.run(
        command, cwd=HERE, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        pytest.skip(f"the packages are not to be had: {done.stderr.strip()[-300:]}")


async def run(script: str, tmp_path: Path) -> dict[str, Any]:
    """What a script of this folder prints of a server that writes PAIR_TEXT."""
    async with house(tmp_path, ScriptedEngine(PAIR_TEXT, Play(delay=0.03))) as served:
        process = await asyncio.create_subprocess_exec(
            "node",
            str(HERE / script),
            served.url,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, errors = await asyncio.wait_for(process.communicate(), 60)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 0, errors.decode()
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.timeout(420)
async def test_the_openai_package_reads_chats_responses_and_errors(tmp_path: Path) -> None:
    found = await run("openai.mjs", tmp_path)
    types = found.pop("types")
    assert types[0] == "response.created"
    assert types[-1] == "response.completed"
    assert "response.output_text.delta" in types
    assert found == {
        "models": ["scripted", "pair", "chat"],
        "chat": PAIR_JSON,
        "usage": 22,
        "parsed": PAIR,
        "response": PAIR,
        "resumed": PAIR_JSON,
        "items": [["user", "go"]],
        "deleted": 404,
        "cancelled": "cancelled",
        "refused": [True, "n"],
        "missing": [True, "model"],
    }


@pytest.mark.timeout(420)
async def test_the_ai_sdk_streams_text_and_objects(tmp_path: Path) -> None:
    found = await run("ai.mjs", tmp_path)
    titles = [title for title in found.pop("titles") if title is not None]
    assert len(set(titles)) > 2
    assert all("Bring a cup".startswith(title) for title in titles)
    is_ours, status, message = found.pop("missing")
    assert (is_ours, status) == (True, 404)
    assert "there is no model 'none'" in message
    assert found == {
        "text": PAIR_JSON,
        "finish": "stop",
        "usage": 9,
        "streamedObject": PAIR,
        "object": PAIR,
        "oldStreamed": PAIR,
        "oldObject": PAIR,
    }
