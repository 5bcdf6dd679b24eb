"""The calls of docs/native.md work as they stand there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from leafstream.decoder.closing import least
from leafstream.engines.base import Generation
from leafstream.engines.scripted import ScriptedEngine
from leafstream.events import Finished, Started
from leafstream.served import read_served
from tests.house import house

PAGE = (Path(__file__).parents[2] / "docs" / "native.md").read_text()
(ASSISTANTS,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
CALL = r"^\$ curl .*?-d '(\{.*\})' localhost:8000(\S+)\n(\{.*\}|retry)"
CALLS = re.findall(CALL, PAGE, re.MULTILINE)


def script(generation: Generation) -> str:
    return least(generation.schema) if generation.schema else "Into the green bin."


async def test_each_call_of_the_page_gets_what_the_page_says(tmp_path: Path) -> None:
    file = tmp_path / "assistants.py"
    file.write_text(f"{ASSISTANTS}\nchat = Assistant()\n")
    conversation = ""
    async with house(tmp_path, ScriptedEngine(script), read_served(file).assistants) as served:
        for body, path, shown in CALLS:
            asked = json.loads(re.sub(r"conv_[\w-]+", conversation, body))
            if shown == "retry":
                events = await served.stream(asked)
                continue
            told: dict[str, Any] = (await served.http.post(path, json=asked)).json()
            conversation = told["id"] if path == "/v1/conversations" else conversation
            assert told.keys() == json.loads(shown).keys()
            if "error" in told:
                expected = re.sub(r"conv_[\w-]+", conversation, shown)
                assert told == json.loads(expected)
    assert len(CALLS) == 6
    started, finished = events[0][1], events[-1][1]
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    assert started.sources == [{"text": "Glass goes into the green bin, without lids."}]
