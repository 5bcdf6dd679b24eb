"""What `leafstream doctor` looks at, and what it says."""

from __future__ import annotations

import importlib.metadata
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest

from leafstream.checks import CHECKS, Target, look_at_all, refuse_fatal, service
from leafstream.checks.check import Finding
from leafstream.checks.run import look
from leafstream.engines import device
from leafstream.errors import SetupError
from leafstream.settings import Settings
from tests.house import house
from tests.rude_server import MODEL, MODELS, Answer, RudeServer, rude_server, serving


def target(tmp_path: Path, **given: Any) -> Target:
    defaults = {
        "cache_folder": tmp_path / "models",
        "state_folder": tmp_path / "state",
        "database_url": f"sqlite:///{tmp_path / 'test.db'}",
        "model": f"scripted:{tmp_path / 'script.txt'}",
        "port": 0,
    }
    return Target(Settings(**{**defaults, **given}), "default")


def told(name: str, target: Target) -> Finding:
    return look(next(check for check in CHECKS if check.name == name), target)


def test_a_sound_machine_has_no_problem(tmp_path: Path, model_path: Path) -> None:
    found = {c.name: f for c, f in look_at_all(target(tmp_path, model=str(model_path)))}
    assert [name for name, finding in found.items() if finding.level == "problem"] == []
    assert "llama Q4_1" in found["model"].message
    assert found["chat template"].message == "the model's own"
    assert "slots of 4096 tokens need about" in found["memory"].message
    assert all(f.advice for f in found.values() if f.level != "ok")
    refuse_fatal(target(tmp_path, model=str(model_path)))


def test_checking_writes_nothing_into_the_database(tmp_path: Path) -> None:
    path = tmp_path / "new" / "test.db"
    found = told("conversations", target(tmp_path, database_url=f"sqlite:///{path}"))
    assert found.message == f"{path}, which the first start makes"
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("check", "given", "says"),
    [
        ("model", {"model": "/nowhere.gguf"}, "there is no model file /nowhere.gguf"),
        ("model", {"model": "smollm2-135n"}, "Did you mean smollm2-135m?"),
        ("model", {"model": "gemma3-270m", "offline": True}, "LEAFSTREAM_OFFLINE forbids"),
        ("conversations", {"database_url": "nonsense"}, "LEAFSTREAM_DATABASE_URL is no URL"),
        ("conversations", {"database_url": "postgresql://127.0.0.1:9/x"}, "cannot be used"),
        ("answers", {"answers_url": "ftp://x"}, "LEAFSTREAM_ANSWERS_URL=ftp:"),
        ("callers", {"host": "0.0.0.0"}, "would serve everybody who reaches it"),
        ("disk", {"cache_folder": Path("/proc/none")}, "cannot make the model cache"),
    ],
)
def test_what_is_wrong_is_a_problem_with_what_to_do(
    tmp_path: Path, check: str, given: dict[str, Any], says: str
) -> None:
    found = told(check, target(tmp_path, **given))
    assert (found.level, says in found.sentence) == ("problem", True), found
    with pytest.raises(SetupError):
        refuse_fatal(target(tmp_path, **given))


def test_upstreams_that_do_not_answer_are_a_problem(tmp_path: Path) -> None:
    found = told("upstreams", target(tmp_path, upstream="http://127.0.0.1:9"))
    assert found.level == "problem"
    assert "no upstream can be used: http://127.0.0.1:9: nothing listens" in found.sentence


async def test_each_upstream_is_told_with_what_it_serves_or_why_it_cannot_be_used(
    tmp_path: Path,
) -> None:
    import asyncio  # noqa: PLC0415

    refusing = RudeServer({MODELS: [Answer(status=401, kind="application/json")]})
    async with rude_server() as well, serving(refusing):
        urls = (f"{well.url},{refusing.url}", well.url)
        found, alone = [
            await asyncio.to_thread(told, "upstreams", target(tmp_path, upstream=url, model=MODEL))
            for url in urls
        ]
    assert found.level == "warning"
    assert f"{refusing.url} refuses the key (401); set LEAFSTREAM_UPSTREAM_KEY" in found.message
    assert alone == Finding("ok", f"{well.url} is other with {MODEL}")


def test_a_model_that_is_still_to_be_fetched_is_a_warning(tmp_path: Path) -> None:
    found = told("model", target(tmp_path, model="smollm2-135m"))
    assert found.level == "warning"
    assert "not fetched yet (98.4 MB)" in found.message
    assert "leafstream models pull smollm2-135m" in found.advice


def test_a_database_that_is_damaged_is_told(tmp_path: Path) -> None:
    (tmp_path / "test.db").write_bytes(b"this is no database, however long it goes on" * 100)
    found = told("conversations", target(tmp_path))
    assert found.level == "problem"
    assert "file is not a database" in found.message


def test_a_taken_port_is_a_problem_unless_leafstream_has_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = told("port", target(tmp_path, port=port))
    assert found.level == "problem"
    assert f"port {port} is in use" in found.message


async def test_a_port_that_leafstream_serves_on_is_told_as_that(tmp_path: Path) -> None:
    import asyncio  # noqa: PLC0415

    async with house(tmp_path) as served:
        port = int(served.url.rpartition(":")[2])
        found = await asyncio.to_thread(told, "port", target(tmp_path, port=port))
    assert found.level == "warning"
    assert f"leafstream serves at http://127.0.0.1:{port} already" in found.message


def test_a_temp_folder_whose_path_is_too_long_for_a_socket_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("x" * 90)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    found = told("temp folder", target(tmp_path))
    assert found.level == "problem"
    assert "too long for a socket" in found.message


def test_a_containers_limit_counts_as_the_memory_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_path: Path
) -> None:
    monkeypatch.setattr(device, "CGROUP", tmp_path)
    before = device.free_memory()
    (tmp_path / "memory.max").write_text("268435456\n")
    (tmp_path / "memory.current").write_text("104857600\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 4096\nactive_file 4096\n")
    assert device.free_memory() == min(before, 268435456 - 104857600 + 8192)
    found = told("memory", target(tmp_path, model=str(model_path)))
    assert found.level == "problem"
    assert "0.2 GiB are free; lower LEAFSTREAM_CONTEXT_WINDOW" in found.message
    (tmp_path / "memory.max").write_text("1048576\n")
    assert device.free_memory() == 0
    (tmp_path / "memory.max").write_text("max\n")
    assert device.free_memory() > 268435456


def test_packages_that_are_too_old_or_missing_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        importlib.metadata,
        "requires",
        lambda _: ["rich>=900", "nothing-of-this-name", "torch>=900; extra == 'transformers'"],
    )
    found = told("packages", target(tmp_path))
    assert "rich is" in found.message
    assert "nothing-of-this-name is not installed" in found.message
    assert "torch" not in found.message


def test_every_check_is_told_once_and_the_fatal_ones_are_among_them() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    assert {c.name for c in CHECKS if c.fatal} >= {"temp folder", "port", "model", "answers"}
    assert service.memory in [check.look for check in CHECKS]
