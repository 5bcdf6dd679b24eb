"""The calls of docs/openai.md run as they stand there."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from leafstream.decoder.closing import least
from leafstream.engines.base import Generation
from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.served import read_served
from tests.house import house

PAGE = (Path(__file__).parents[2] / "docs" / "openai.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def script(generation: Generation) -> str:
    return least(generation.schema) if generation.schema else "It is Mina, I think. " * 9


async def test_the_calls_of_the_page_work_one_after_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = ScriptedEngine(script, Play(delay=0.002, context_window=4096))
    engine.model = "smollm2-135m"
    names: dict[str, Any] = {}
    async with house(tmp_path, engine, read_served().assistants) as served:
        code = "\n".join(BLOCKS).replace("http://localhost:8000", served.url)
        await asyncio.to_thread(exec, code, names)
        await asyncio.to_thread(names["client"].close)
    printed = capsys.readouterr().out.splitlines()
    shown = re.findall(r"print\(", "\n".join(BLOCKS))
    assert len(shown) == 12
    assert len(printed) == 14  # one of them prints three items
    assert printed[0] == "['smollm2-135m', 'challenges', 'chat', 'recipe']"
    assert "unsupported_parameter" in printed[-1]
    assert printed[-2].endswith("cancelled")
