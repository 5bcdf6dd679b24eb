"""What an operator is promised: A19 (instances), A20 (checks at start), A22 (settings)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.operating import ASSISTANTS, Machine, answers, eventually, machine
from tests.unit.models.web import Page, Web

BOUNDS = {"LEAFSTREAM_LOG_BYTES": "10000", "LEAFSTREAM_LOG_FILES": "2"}
GIVEN = {**BOUNDS, "LEAFSTREAM_LOG_FORMAT": "json", "LEAFSTREAM_QUEUE": "7"}


@pytest.fixture(name="here")
def _here(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path) as opened:
        yield opened


@pytest.fixture(name="shared", scope="module")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with machine(tmp_path_factory.mktemp("shared")) as opened:
        yield opened


@pytest.fixture(name="running")
def _running(shared: Machine) -> Machine:
    """A machine whose instance `main` runs and has not crashed: another test's where it may be."""
    instance, file = shared.instance(), shared.folder / "assistants.py"
    if instance.is_running() and (instance.read().crashes or file.read_text() != ASSISTANTS):
        shared.run("down")
    file.write_text(ASSISTANTS)
    if not instance.is_running():
        shared.up("main", "assistants.py", **GIVEN)
    return shared


def test_a19_one_instance_per_name_and_a_second_up_says_where_the_first_is(
    running: Machine,
) -> None:
    url = running.status()["url"]
    second = running.run("up", "main", "assistants.py")
    assert second.code == 2
    assert f"'main' is running already at {url}" in second.sentence
    assert running.up("other", "assistants.py") != url
    names = [row["name"] for row in json.loads(running.run("status", "--json").out)]
    assert names == ["main", "other"]
    assert running.run("down", "other").code == 0


def test_a20_a_sound_set_up_passes_and_is_served(running: Machine) -> None:
    done = running.run("doctor", "assistants.py", "--port", "0")
    assert done.code == 0, done.out
    assert "ok       assistants    pair" in done.out
    assert answers(running.status()["url"])


def test_a19_a_server_that_crashes_is_started_again_and_that_is_told(running: Machine) -> None:
    before = running.status()
    os.kill(before["server"], signal.SIGKILL)
    instance = running.instance()
    eventually(lambda: (s := instance.read()).starts > before["starts"] and s.phase == "ready")
    after = running.status()
    assert (after["starts"], after["crashes"]) == (before["starts"] + 1, 1)
    assert "SIGKILL" in after["trouble"]
    assert answers(after["url"])
    log = running.run("logs").out
    assert "the server ended with SIGKILL; starting it again in 1 s (crash 1)" in log


def test_a19_every_line_of_a_json_log_is_a_record_and_can_be_followed(running: Machine) -> None:
    following = running.popen("logs", "--follow", "-n", "1000")
    try:
        assert following.stdout is not None
        seen = [json.loads(following.stdout.readline())]
        assert running.run("restart").code == 0
        state = running.status()
        while seen[-1]["message"] != f"started the server as process {state['server']}":
            seen.append(json.loads(following.stdout.readline()))
        assert seen[-1]["logger"] == "supervisor"
        assert answers(state["url"])
        while seen[-1]["message"] != "POST /v1/answers":
            seen.append(json.loads(following.stdout.readline()))
    finally:
        following.terminate()
        following.communicate()
    assert [row["message"] for row in seen[-3:-1]] == ["answer begun", "answer finished"]
    assert len({row["answer"] for row in seen[-3:]}) == 1


def test_a19_a_restart_reads_the_files_anew_and_keeps_the_environment(running: Machine) -> None:
    first = running.status()
    (running.folder / "assistants.py").write_text(
        "from leafstream import Assistant\nother = Assistant(instructions='x')\n"
    )
    assert running.run("restart").code == 0
    second = running.status()
    assert (second["starts"], second["crashes"]) == (first["starts"] + 1, 0)
    assert second["server"] != first["server"]
    assert "serving other with" in running.run("logs").out
    environment = Path(f"/proc/{second['server']}/environ").read_bytes()
    assert b"LEAFSTREAM_QUEUE=7" in environment
    (running.folder / "assistants.py").write_text("broken = ")
    told = running.run("restart")
    assert told.code == 2
    assert "cannot be imported: SyntaxError" in told.sentence


def test_a19_the_log_does_not_grow_without_end(running: Machine) -> None:
    url = running.status()["url"]
    for _ in range(60):
        assert answers(url)
    folder = running.instance().folder
    names = {path.name for path in folder.glob("log*")}
    assert "log.1" in names  # `log` is not there between its renaming and the next line
    assert names <= {"log", "log.1"}
    assert sum(path.stat().st_size for path in folder.glob("log*")) <= 2 * 10_000


def test_a19_a_stale_pid_is_no_instance(running: Machine) -> None:
    state = running.status()
    os.kill(state["supervisor"], signal.SIGKILL)
    eventually(lambda: not running.instance().is_running())
    assert running.status()["state"] == "died"
    told = running.run("down")
    assert f"its process {state['supervisor']} ended without saying goodbye" in told.sentence
    # A server does not outlive its supervisor: the port is free again.
    eventually(lambda: not Path(f"/proc/{state['server']}").exists())
    assert answers(running.up("main", "assistants.py", **GIVEN))


def test_a19_an_instance_survives_its_terminal_and_ends_when_told(running: Machine) -> None:
    state = running.status()
    assert state["state"] == "ready"
    # Its own session: a terminal that goes away has nobody to tell here.
    assert os.getsid(state["server"]) == state["supervisor"] != os.getsid(0)
    assert answers(state["url"])
    assert running.run("down").code == 0
    assert running.run("status").code == 3
    assert running.status()["state"] == "stopped"
    with pytest.raises(ProcessLookupError):
        os.kill(state["server"], 0)


def test_a19_a_taken_port_is_one_sentence(here: Machine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = here.run("up", "--port", str(port))
    assert done.code == 2
    assert f"port {port} is in use on 127.0.0.1" in done.sentence
    state = here.status()
    assert (state["state"], state["starts"]) == ("failed", 1)


def test_a19_a_full_disk_is_one_sentence_and_no_end_of_a_server(here: Machine) -> None:
    state = here.folder / "small"
    with small_disk(state):
        small = {"LEAFSTREAM_STATE_FOLDER": str(state)}
        url = here.up("main", "assistants.py", **small)
        fill(state)
        # What the last block of the log has left is soon written, too.
        assert all(answers(url) for _ in range(40))
        told = json.loads(here.run("status", "--json", **small).out)[0]
        assert told["state"] == "ready"
        assert "the log is not written: No space left on device" in told["trouble"]
        refused = here.run("up", "other", "assistants.py", **small)
        assert refused.code == 2
        assert "cannot be used: No space left on device; make room there" in refused.sentence
        assert here.run("down", **small).code == 0
        rows = json.loads(here.run("status", "--json", **small).out)
        assert [(row["name"], row["state"]) for row in rows] == [("main", "stopped")]


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of its own with room for very little."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk to fill")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    """Leave no byte free on the folder's disk."""
    with (folder / "filler").open("wb", 0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 512)


@pytest.fixture(name="hub")
def _hub() -> Iterator[Web]:
    with Web().running() as web:
        yield web


def test_a20_a_gated_repository_is_told_before_the_port_opens(here: Machine, hub: Web) -> None:
    hub.pages["/maker/secret/resolve/main/a.gguf"] = Page(b"", status=403)
    gated = {"LEAFSTREAM_MODEL": "hf:maker/secret/a.gguf", "HF_ENDPOINT": hub.url}
    done = here.run("serve", "--port", "0", **gated)
    assert done.code == 2
    assert "accept the licence on https://huggingface.co/maker/secret and set HF_TOKEN" in done.err
    assert "could not fetch hf:maker/secret/a.gguf" in done.sentence


def test_a20_a_wrong_model_path_is_told_by_doctor_and_at_start_alike(here: Machine) -> None:
    wrong = {"LEAFSTREAM_MODEL": "/nowhere/model.gguf"}
    served = here.run("serve", "--port", "0", **wrong)
    assert (served.code, served.sentence.count("/nowhere/model.gguf")) == (2, 1)
    checked = here.run("doctor", "--port", "0", "--json", **wrong)
    assert checked.code == 1
    problems = [row for row in json.loads(checked.out) if row["level"] == "problem"]
    assert [row["check"] for row in problems] == ["model"]
    assert problems[0]["message"] in served.sentence


def test_a20_a_full_temp_folder_is_told_before_the_port_opens(here: Machine) -> None:
    full = here.folder / "full"
    with small_disk(full):
        done = here.run("serve", "--port", "0", TMPDIR=str(full))
        checked = here.run("doctor", "--port", "0", TMPDIR=str(full))
    assert done.code == 2
    assert f"the temp folder {full} takes no files: No space left on device" in done.sentence
    assert "make room or set TMPDIR" in done.sentence
    assert checked.code == 1
    assert "problem  temp folder" in checked.out


def test_a22_settings_are_read_first_and_told_with_their_source(here: Machine) -> None:
    (here.folder / ".env").write_text("LEAFSTREAM_QUEUE=5\nHF_TOKEN=hf_secret\n")
    (here.folder / "leafstream.toml").write_text("slots = 2\n")
    secret = {"LEAFSTREAM_DATABASE_URL": "postgresql://me:hidden@127.0.0.1/db"}
    done = here.run("settings", "--json", **secret)
    told = json.loads(done.out)
    assert told["queue"] == {"value": 5, "source": ".env"}
    assert told["slots"] == {"value": 2, "source": "file"}
    assert told["port"] == {"value": 8000, "source": "default"}
    assert told["database_url"]["source"] == "environment"
    assert told["database_url"]["value"] == "postgresql://me:***@127.0.0.1/db"
    assert "hidden" not in done.out + here.run("settings", **secret).out


def test_a22_the_env_file_reaches_what_reads_the_environment(here: Machine, hub: Web) -> None:
    """The original read `.env` after the modules that needed the token in it."""
    path = "/maker/secret/resolve/main/a.gguf"
    hub.pages[path] = Page(b"", status=403)
    (here.folder / ".env").write_text(f"HF_TOKEN=hf_secret\nHF_ENDPOINT={hub.url}\n")
    # Not out of the nursery, where all modules are there before any setting is read.
    with here.popen("serve", "--port", "0", LEAFSTREAM_MODEL="hf:maker/secret/a.gguf") as served:
        served.communicate()
    assert hub.log[-1].path == path
    assert hub.log[-1].headers["authorization"] == "Bearer hf_secret"


@pytest.mark.parametrize("command", ["serve", "up", "doctor", "settings", "status"])
def test_a22_an_unknown_setting_is_refused_by_every_command(here: Machine, command: str) -> None:
    done = here.run(command, LEAFSTREAM_CONTEXT_WINDOWS="512")
    assert done.code == 2
    assert "did you mean LEAFSTREAM_CONTEXT_WINDOW?" in done.sentence


def test_an_edited_assistants_file_is_taken_up_without_dropping_a_stream(here: Machine) -> None:
    slow = f"scripted:{here.folder / 'script.txt'}?delay=0.3"
    file = here.folder / "assistants.py"
    url = here.up("main", "assistants.py", "--reload", LEAFSTREAM_MODEL=slow)
    body = {"assistant": "pair", "input": {"message": "go"}}
    stream: Any = {"json": body, "headers": {"Accept": "text/event-stream"}}
    with (
        httpx2.Client(base_url=url, trust_env=False, verify=False) as http,
        http.stream("POST", "/v1/answers", **stream) as response,
    ):
        lines = response.iter_lines()
        assert "started" in next(line for line in lines if line.startswith("event"))
        file.write_text(file.read_text().replace("pair =", "other ="))
        eventually(lambda: names(http) == ["other"])
        # A file that cannot be read changes nothing, and the log says why.
        file.write_text("broken = ")
        eventually(lambda: "the assistants of before go on" in here.run("logs").out)
        assert names(http) == ["other"]
        assert "event: finished" in list(lines)


def names(http: httpx2.Client) -> list[str]:
    found = http.get("/v1/assistants").json()["data"]
    return [assistant["name"] for assistant in found]
