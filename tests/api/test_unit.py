"""`leafstream unit`: a unit that systemd takes, and that shuts the server off."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from leafstream.instances import unit
from tests.operating import Machine, machine


@pytest.fixture(name="here")
def _here(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path) as opened:
        yield opened


def test_the_unit_starts_this_installation_with_the_file_that_is_named(here: Machine) -> None:
    text = here.run("unit", "assistants.py").out
    (command,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    served = here.folder / "assistants.py"
    assert command == f"{sys.executable} -m leafstream serve {served}"
    assert "Type=notify" in text
    assert "RestartPreventExitStatus=2" in text


def test_words_of_the_command_are_quoted_as_systemd_reads_them() -> None:
    text = unit.text('odd "name" 100%.py', None, 20)
    assert r'serve "odd \"name\" 100%%.py"' in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_unit_and_finds_little_exposed(here: Machine) -> None:
    path = here.folder / "leafstream.service"
    path.write_text(here.run("unit", "assistants.py").out)
    verified = subprocess.run(
        ["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False
    )
    assert "leafstream.service" not in verified.stderr, verified.stderr
    assert verified.returncode == 0
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    (exposure,) = re.findall(r"exposure level for \S+ ([\d.]+)", rated.stdout)
    assert float(exposure) < 2.0, rated.stdout
