"""`leafstream models`: fetched, checked, shown and removed from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.operating import Machine, machine
from tests.unit.models.conftest import HUB_PATH, MODEL, put_model
from tests.unit.models.web import Web
from tests.unit.models.writer import Gguf, llama_keys, string

NAME = "hf:maker/tiny-gguf/tiny.gguf"
STEERING = "\x1b]0;mine\x07\x1b[2J\x9b31m"


@pytest.fixture(name="here")
def _here(tmp_path: Path) -> Iterator[Machine]:
    with Web().running() as web:
        put_model(web).cuts.append(len(MODEL) // 2)
        cache = str(tmp_path / "models")
        with machine(tmp_path, HF_ENDPOINT=web.url, LEAFSTREAM_CACHE_FOLDER=cache) as opened:
            yield opened
        # The first answer broke off in the middle, and the second brought the rest.
        assert web.bytes_of(HUB_PATH)[:2] == [len(MODEL) // 2, len(MODEL) - len(MODEL) // 2]


def test_a_model_is_pulled_listed_shown_and_removed(here: Machine) -> None:
    pulled = here.run("models", "pull", NAME)
    assert pulled.code == 0, pulled.err
    path = Path(pulled.out.strip())
    assert path.read_bytes() == MODEL
    assert "of 1 MB" in pulled.err
    rows = json.loads(here.run("models", "list", "--json").out)
    assert rows[0] == {"name": NAME, "bytes": len(MODEL), "here": True, "about": None}
    assert [row["name"] for row in rows if not row["here"]] == ["smollm2-135m", "gemma3-270m"]
    card = json.loads(here.run("models", "show", NAME, "--json").out)
    assert (card["architecture"], card["checksum"]) == ("llama", "as expected")
    path.write_bytes(MODEL[:-1] + b"!")
    damaged = here.run("models", "show", NAME)
    assert damaged.code == 2
    assert "the file is not what it was" in damaged.err
    removed = here.run("models", "remove", NAME)
    assert removed.out.startswith(f"removed {NAME}: 1.0 MB")
    assert not path.exists()
    gone = here.run("models", "show", NAME)
    assert (gone.code, "models pull" in gone.sentence) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("models", "show", "made.gguf"),
        ("models", "show", "made.gguf", "--json"),
        ("plan", "./made.gguf", "--memory", "4GB", "--bandwidth", "20GB"),
        ("plan", "./made.gguf", "--memory", "4GB", "--bandwidth", "20GB", "--json"),
        ("doctor", "--model", "./made.gguf"),
        ("doctor", "--model", "./made.gguf", "--json"),
    ],
)
def test_what_a_model_calls_itself_does_not_command_the_terminal(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    told = {"general.name": string(STEERING), "general.architecture": string(STEERING)}
    (tmp_path / "made.gguf").write_bytes(Gguf(keys={**llama_keys(), **told}).bytes())
    with machine(tmp_path) as here:
        done = here.run(*arguments)
    assert "\\u001b]0;mine\\u0007" in done.out
    assert not set("\x1b\x07\x9b") & set(done.out)
