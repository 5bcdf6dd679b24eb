"""The README's examples work as they stand there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from leafstream.engines.llamacpp import LlamaCppEngine, LlamaCppOptions
from leafstream.engines.scripted import ScriptedEngine
from leafstream.events import Finished
from leafstream.served import read_served
from tests.house import house, kinds, texts

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BODIES = [json.loads(body) for body in re.findall(r"curl .*-d '(\{.*\})' localhost", README)]


def test_the_assistant_of_the_readme_loads_as_a_file_of_yours(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    file = tmp_path / "assistants.py"
    file.write_text(example)
    assert list(read_served(file).assistants) == ["summary"]


async def test_the_assistant_of_the_readme_answers(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    file = tmp_path / "assistants.py"
    file.write_text(example)
    engine = ScriptedEngine('{"title":"Cups","points":["one","two"]}')
    async with house(tmp_path, engine, read_served(file).assistants) as served:
        events = await served.stream({"assistant": "summary", "input": "A text about cups."})
    assert texts(events) == {"/title": "Cups", "/points/0": "one", "/points/1": "two"}


async def test_the_calls_of_the_readme_stream_a_valid_answer_from_the_real_model(
    tmp_path: Path, model_path: Path
) -> None:
    engine = await LlamaCppEngine.open(model_path, LlamaCppOptions(context_window=1024, slots=2))
    assistants = read_served().assistants
    async with house(tmp_path, engine, assistants) as served:
        assert len(BODIES) == 2
        for body in BODIES:
            events = await served.stream({**body, "seed": 7, "max_tokens": 80})
            finished = events[-1][1]
            assert isinstance(finished, Finished)
            assert assistants["challenges"].errors(finished.value) == []
            assert kinds(events)[0] == "started"
            assert texts(events)["/challenges/2/title"] == finished.value["challenges"][2]["title"]  # type: ignore[index,call-overload]


def test_every_link_of_the_documents_leads_somewhere() -> None:
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            assert link.startswith("http") or (document.parent / link).exists(), (document, link)


@pytest.mark.parametrize("target", ["serve", "test", "bench", "format", "help"])
def test_the_makefile_has_what_the_documents_name(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
