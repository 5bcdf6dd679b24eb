"""The command line as an operator uses it: real processes, in a home of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import msgspec

from leafstream.instances.instance import Instance, instances
from tests.nursery import Done, command

T = TypeVar("T")

PAIR_TEXT = '{"title":"Bring a cup","count":3}'
ASSISTANTS = """
from pydantic import BaseModel, Field
from leafstream import Assistant

class Pair(BaseModel):
    title: str = Field(max_length=80)
    count: int = Field(ge=0)

pair = Assistant(Pair, instructions="Answer with a title and a count.")
"""
KEPT = ("PATH", "PYTHONPATH", "TMPDIR", "LANG")


class Machine(msgspec.Struct, frozen=True):
    """A working folder with a scripted model, an assistants file and a state folder."""

    folder: Path
    environment: dict[str, str]

    def run(self, *arguments: str, **environment: str) -> Done:
        """Run `leafstream ARGUMENTS` to its end."""
        told = {**self.environment, **environment}
        return command(*arguments, environment=told, folder=self.folder)

    def popen(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "leafstream", *arguments],
            env={**self.environment, **environment},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def status(self, name: str = "main") -> dict[str, Any]:
        rows: list[dict[str, Any]] = json.loads(self.run("status", name, "--json").out)
        return rows[0]

    def instance(self, name: str = "main") -> Instance:
        """What the commands look at: cheaper to ask again and again."""
        return Instance(Path(self.environment["LEAFSTREAM_STATE_FOLDER"]), name)

    def up(self, *arguments: str, **environment: str) -> str:
        """The URL of an instance that is ready."""
        done = self.run("up", *arguments, "--port", "0", **environment)
        assert done.code == 0, done.err
        return done.out.split()[-1]


@contextmanager
def machine(folder: Path, **more: str) -> Iterator[Machine]:
    """A machine, `more` in its environment, whose instances are ended with the context."""
    (folder / "script.txt").write_text(PAIR_TEXT)
    (folder / "assistants.py").write_text(ASSISTANTS)
    environment = {
        **{name: os.environ[name] for name in KEPT if name in os.environ},
        "HOME": str(folder),
        "LEAFSTREAM_MODEL": f"scripted:{folder / 'script.txt'}?delay=0",
        "LEAFSTREAM_STATE_FOLDER": str(folder / "state"),
        "LEAFSTREAM_DATABASE_URL": f"sqlite:///{folder / 'leafstream.db'}",
        **more,
    }
    opened = Machine(folder, environment)
    try:
        yield opened
    finally:
        for instance in instances(folder / "state"):
            if instance.is_running():
                opened.run("down", instance.name)


def eventually(ask: Callable[[], T], within: float = 20) -> T:
    """The first answer that is true."""
    deadline = time.monotonic() + within
    while not (answer := ask()):
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.05)
    return answer


def answers(url: str) -> bool:
    """Whether a whole answer comes from the server at `url`."""
    body = {"assistant": "pair", "input": {"message": "go"}}
    headers = {"Accept": "application/json"}
    response = httpx2.post(
        f"{url}/v1/answers", json=body, headers=headers, trust_env=False, verify=False
    )
    return bool(response.is_success and response.json()["value"] == json.loads(PAIR_TEXT))
