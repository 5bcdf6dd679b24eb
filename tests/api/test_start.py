"""What cannot be served is told in a sentence before the port opens, with exit code 2."""

from __future__ import annotations

import io
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from leafstream.models import container
from tests.nursery import command


def start(tmp_path: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """The exit code and standard error of `leafstream serve`."""
    told = {**_kept(), "HOME": str(tmp_path), **environment}
    done = command("serve", *arguments, environment=told, folder=tmp_path)
    return done.code, done.err


def _kept() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH")}


def write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def overflowing(whole: bytes) -> bytes:
    """The model with an output layer that makes every logit infinite."""
    name = b"output_norm.weight"
    at = whole.index(struct.pack("<Q", len(name)) + name) + 8 + len(name)
    _, size, _, offset = struct.unpack_from("<IQIQ", whole, at)
    tensors = container.read(io.BytesIO(whole), Path("whole"), len(whole)).tensors
    end = max(tensor.offset + tensor.size for tensor in tensors)
    start = len(whole) - (end + -end % 32) + offset
    damaged = bytearray(whole)
    damaged[start : start + 4 * size] = struct.pack("<f", 3e38) * size
    return bytes(damaged)


Case = Callable[[Path, Path], dict[str, str]]

REFUSED: dict[str, tuple[Case, str]] = {
    "a wrong path": (lambda _, __: {"MODEL": "/nowhere/model.gguf"}, "/nowhere/model.gguf"),
    "a web page": (
        lambda folder, _: {
            "MODEL": write(folder / "page.gguf", b"<!DOCTYPE html><html>" * 20),
        },
        "web page",
    ),
    "a truncated file": (
        lambda folder, model: {"MODEL": write(folder / "cut.gguf", model.read_bytes()[:-1000])},
        "bytes",
    ),
    "a context too large": (
        lambda _, model: {"MODEL": str(model), "CONTEXT_WINDOW": "9999999"},
        "LEAFSTREAM_CONTEXT_WINDOW between 64 and 8192",
    ),
    "probabilities that are no numbers": (
        lambda folder, model: {
            "MODEL": write(folder / "nan.gguf", overflowing(model.read_bytes())),
        },
        "probabilities that are no numbers",
    ),
    "a setting that is no number": (lambda _, __: {"PORT": "many"}, "LEAFSTREAM_PORT='many'"),
    "a short name with a slip": (lambda _, __: {"MODEL": "smollm2-135n"}, "smollm2-135m"),
    "a template that drops the system turn": (
        lambda folder, model: {
            "MODEL": str(model),
            "CHAT_TEMPLATE": write(folder / "t.jinja", b"{{ messages[-1]['content'] }}"),
        },
        "drops the",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_served_is_told_before_the_port_opens(
    tmp_path: Path, model_path: Path, case: str
) -> None:
    settings, says = REFUSED[case]
    given = {"PORT": "0", **settings(tmp_path, model_path)}
    environment = {f"LEAFSTREAM_{name}": value for name, value in given.items()}
    code, error = start(tmp_path, **environment)
    assert code == 2, error
    assert error.startswith("leafstream: "), error
    assert error.count("\n") == 1, error
    assert says in error


def test_a_port_that_is_taken_is_told_before_the_model_is_loaded(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, error = start(tmp_path, LEAFSTREAM_PORT=str(port))
    assert code == 2
    assert f"port {port} is in use" in error


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("x = 1", "declares no assistant"),
        ("import nothing_of_this_name", "cannot be imported"),
        (
            "from leafstream import Assistant\nbad = Assistant({'type': 'string', 'not': {}})",
            "'not' is not supported",
        ),
    ],
)
def test_an_assistants_file_that_cannot_be_served_is_told(
    tmp_path: Path, source: str, says: str
) -> None:
    file = write(tmp_path / "assistants.py", source.encode())
    code, error = start(tmp_path, file)
    assert code == 2
    assert says in error


def test_a_database_that_cannot_be_used_is_told_while_the_model_loads(
    tmp_path: Path, model_path: Path
) -> None:
    file = write(tmp_path / "leafstream.db", b"this is no database" * 100)
    code, error = start(
        tmp_path,
        LEAFSTREAM_MODEL=str(model_path),
        LEAFSTREAM_DATABASE_URL=f"sqlite:///{file}",
        LEAFSTREAM_PORT="0",
    )
    assert code == 2, error
    assert error.count("leafstream: ") == 1, error
    assert file in error


def test_what_the_load_of_the_model_does_not_need_is_imported_beside_it() -> None:
    before = "import sys, leafstream.cli, leafstream.checks, leafstream.start, leafstream.reporting"
    told = "from leafstream.served import read_served; read_served(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"{before}; {told}"], capture_output=True, text=True, check=True
    )
    assert not {"fastapi", "sqlalchemy", "uvicorn"} & set(done.stdout.split())
