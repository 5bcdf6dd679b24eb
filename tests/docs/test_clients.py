"""The examples of docs/clients.md work as they stand there."""

from __future__ import annotations

import asyncio
import json
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from leafstream.apps.default import challenges, chat
from leafstream.engines.scripted import Play, ScriptedEngine
from tests.house import house
from tests.web.test_client_js import CLIENT, NODE

DOCUMENT = (Path(__file__).parents[2] / "docs" / "clients.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
JAVASCRIPT = re.findall(r"```js\n(.*?)```", DOCUMENT, re.DOTALL)
CHALLENGE = {"title": "A cup", "description": "Bring a cup of your own to work."}
TEXT = json.dumps({"recommend": "Begin with one cup.", "challenges": [CHALLENGE] * 3})
ASSISTANTS = {"challenges": challenges, "chat": chat}
ASKED = {"location": "city", "work_type": "office", "category": "zero waste"}


async def test_the_async_example_prints_a_growing_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with house(tmp_path, ScriptedEngine(TEXT, Play(delay=0.01)), ASSISTANTS) as served:
        code = PYTHON[0].replace("Client()", f"Client({served.url!r})")
        names: dict[str, Any] = {}
        exec(f"async def example():\n{textwrap.indent(code, '    ')}", names)
        await names["example"]()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "None []"
    assert "Begin with one cup. ['A cup', 'A cup', 'A cup']" in printed
    assert printed[-1] == CHALLENGE["description"]


async def test_the_example_without_async_prints_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with house(tmp_path, ScriptedEngine(TEXT, Play(delay=0.001)), ASSISTANTS) as served:
        code = PYTHON[1].replace("SyncClient()", f"SyncClient({served.url!r})")
        code = code.replace("seed=7)", f"seed=7, url={served.url!r})")
        names: dict[str, Any] = {"asked": ASKED}
        exec("from leafstream.apps.default import Recommendation", names)
        await asyncio.to_thread(exec, code, names)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].strip() == "started"
    assert printed[-1] == "Begin with one cup."


@pytest.mark.skipif(NODE is None, reason="no node here: client.js is not run")
async def test_the_javascript_example_prints_the_same(tmp_path: Path) -> None:
    assert NODE is not None
    async with house(tmp_path, ScriptedEngine(TEXT), ASSISTANTS) as served:
        code = JAVASCRIPT[0].replace('"/client.js"', f'"{CLIENT.as_uri()}"')
        file = tmp_path / "example.mjs"
        file.write_text(code.replace("new Client()", f'new Client("{served.url}")'))
        process = await asyncio.create_subprocess_exec(
            NODE, str(file), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await asyncio.wait_for(process.communicate(), 60)
    printed = out.decode().splitlines()
    assert printed[0] == "1 started undefined"
    assert printed[-1] == "stop 3"
