"""What an operator is promised: A19 (instances), A20 (checks at start), A22 (settings)."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from leafstream.instances.instance import STATE_BYTES
from tests.operating import Machine, answers, eventually, machine


@pytest.fixture(name="here")
def _here(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path) as opened:
        yield opened


def test_a19_an_instance_survives_its_terminal_and_ends_when_told(here: Machine) -> None:
    url = here.up("main", "assistants.py")
    state = here.status()
    assert state["state"] == "ready"
    # Its own session: a terminal that goes away has nobody to tell here.
    assert os.getsid(state["server"]) == state["supervisor"] != os.getsid(0)
    assert answers(url)
    assert here.run("down").code == 0
    assert here.run("status").code == 3
    assert here.status()["state"] == "stopped"
    with pytest.raises(ProcessLookupError):
        os.kill(state["server"], 0)


def test_a19_one_instance_per_name_and_a_second_up_says_where_the_first_is(here: Machine) -> None:
    url = here.up("main", "assistants.py")
    second = here.run("up", "main", "assistants.py")
    assert second.code == 2
    assert f"'main' is running already at {url}" in second.sentence
    assert here.up("other", "assistants.py") != url
    names = [row["name"] for row in json.loads(here.run("status", "--json").out)]
    assert names == ["main", "other"]


def test_a19_a_server_that_crashes_is_started_again_and_that_is_told(here: Machine) -> None:
    here.up("main", "assistants.py")
    before = here.status()
    os.kill(before["server"], signal.SIGKILL)
    after = eventually(lambda: (s := here.status())["starts"] == 2 and s["state"] == "ready" and s)
    assert after
    assert after["crashes"] == 1
    assert "SIGKILL" in after["trouble"]
    assert answers(after["url"])
    log = here.run("logs").out
    assert "the server ended with SIGKILL; starting it again in 1 s (crash 1)" in log


def test_a19_a_stale_pid_is_no_instance(here: Machine) -> None:
    here.up("main", "assistants.py")
    state = here.status()
    os.kill(state["supervisor"], signal.SIGKILL)
    eventually(lambda: here.status()["state"] == "died")
    told = here.run("down")
    assert f"its process {state['supervisor']} ended without saying goodbye" in told.sentence
    # A server does not outlive its supervisor: the port is free again.
    eventually(lambda: not Path(f"/proc/{state['server']}").exists())
    assert answers(here.up("main", "assistants.py"))


def test_a19_a_taken_port_is_one_sentence(here: Machine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = here.run("up", "--port", str(port))
    assert done.code == 2
    assert f"port {port} is in use on 127.0.0.1" in done.sentence
    assert here.status()["state"] == "failed"
    assert here.status()["starts"] == 1


def test_a19_a_restart_reads_the_files_anew_and_keeps_the_environment(here: Machine) -> None:
    here.up("main", "assistants.py", LEAFSTREAM_QUEUE="7")
    first = here.status()
    (here.folder / "assistants.py").write_text(
        "from leafstream import Assistant\nother = Assistant(instructions='x')\n"
    )
    assert here.run("restart").code == 0
    second = here.status()
    assert (second["starts"], second["crashes"]) == (2, 0)
    assert second["server"] != first["server"]
    assert "serving other with" in here.run("logs").out
    environment = Path(f"/proc/{second['server']}/environ").read_bytes()
    assert b"LEAFSTREAM_QUEUE=7" in environment
    (here.folder / "assistants.py").write_text("broken = ")
    told = here.run("restart")
    assert told.code == 2
    assert "cannot be imported: SyntaxError" in told.sentence


def test_a19_the_log_does_not_grow_without_end(here: Machine) -> None:
    bounds = {"LEAFSTREAM_LOG_BYTES": "10000", "LEAFSTREAM_LOG_FILES": "2"}
    url = here.up("main", "assistants.py", **bounds)
    for _ in range(100):
        assert answers(url)
    folder = here.folder / "state" / "instances" / "main"
    assert sorted(path.name for path in folder.glob("log*")) == ["log", "log.1"]
    assert sum(path.stat().st_size for path in folder.glob("log*")) <= 2 * 10_000


def test_a19_a_full_disk_is_one_sentence_and_no_end_of_a_server(here: Machine) -> None:
    """A file-size limit stands in for the disk: EFBIG comes where ENOSPC would."""
    folder = here.folder / "state" / "instances" / "main"
    folder.mkdir(parents=True)
    (folder / "log").write_bytes(b"x" * STATE_BYTES + b"\n")
    url = here.limited("up", "main", "assistants.py", file_bytes=STATE_BYTES + 1)
    assert answers(url)
    told = here.status()
    assert told["state"] == "ready"
    assert "the log is not written: File too large" in told["trouble"]
    refused = here.limited("up", "other", "assistants.py", file_bytes=STATE_BYTES - 1)
    assert "instances/other cannot be used: File too large; make room there" in refused
