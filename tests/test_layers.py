"""The house has layers, and imports go down."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "leafstream"

LAYERS = [
    [
        "pointer",
        "errors",
        "events",
        "messages",
        "piece",
        "sampling",
        "bounds",
        "canonical",
        "schema",
        "groups",
        "settings",
        "notify",
        "stopping",
        "invalid",
        "lines",
        "stderr",
        "port",
    ],
    [
        "prompt",
        "plan",
        "landing",
        "grounds",
        "assistant",
        "ask",
        "keys",
        "decoder",
        "models",
        "sizing",
    ],
    ["engines", "engine_choice", "engine_process"],
    ["draft", "answer", "explain"],
    ["log", "store", "meter", "metrics", "tracing"],
    ["slots", "readers", "exchanges", "writer", "runs", "rounds"],
    ["faces", "served", "reload", "app", "server", "start", "workers", "checks"],
    [
        "client",
        "reporting",
        "terminal",
        "reference",
        "shelf",
        "top",
        "instances",
        "planning",
        "comparing",
        "explained",
        "commands",
        "cli",
        "__main__",
        "apps",
    ],
]
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def _part(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("leafstream.")}
    return {name for name in found if name in LAYER}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_to_the_same_layer_or_lower(path: Path) -> None:
    here = LAYER[_part(path)]
    higher = {name for name in _imports(path) if LAYER[name] > here}
    # A default that a user's file would replace, loaded by name when it is served.
    higher -= {"apps"} if path.name == "server.py" else set()
    assert not higher


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_file_outgrows_its_bound(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def test_the_decoder_does_no_io() -> None:
    for path in (SOURCE / "decoder").glob("*.py"):
        names = {
            name.name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
            for name in node.names
        }
        assert not names & {"asyncio", "socket", "time", "threading", "httpx2", "os"}
