"""The cache of models: what is in it, what is removed, whose it is."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from leafstream.errors import SetupError
from leafstream.models.fetch import cache_folder, installed, remove, resolve

from .conftest import (
    HF_SPEC,
    HUB_ONLY,
    MODEL,
    left_in,
    put_model,
    refusal,
)
from .web import Web


def test_what_is_installed_can_be_listed_and_removed(web: Web, cache: Path) -> None:
    put_model(web)
    assert installed(cache) == []
    known, hub = resolve(HUB_ONLY, cache=cache), resolve(HF_SPEC, cache=cache)
    assert [(model.name, model.path, model.size) for model in installed(cache)] == [
        (HF_SPEC, hub, len(MODEL)),
        ("tiny", known, len(MODEL)),
    ]
    assert remove("tiny", cache) >= len(MODEL)
    assert remove(HF_SPEC, cache) >= len(MODEL)
    assert installed(cache) == []
    assert left_in(cache) == {".locks"}


def test_half_a_download_can_be_removed(web: Web, cache: Path) -> None:
    put_model(web).cuts = [1000, 0, 0, 0]
    refusal(HF_SPEC, cache)
    assert remove(HF_SPEC, cache) >= 1000
    assert left_in(cache) == {".locks"}


def test_removing_what_is_not_there_is_refused(cache: Path, tmp_path: Path) -> None:
    for name, sentence in (
        ("gemma3-270m", "is not in the model cache"),
        (str(tmp_path / "own.gguf"), "delete it yourself"),
        ("no-such", "there is no model"),
    ):
        with pytest.raises(SetupError, match=sentence):
            remove(name, cache)


def test_the_cache_folder_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = cache_folder()
    assert folder == tmp_path / "leafstream" / "models"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert cache_folder(tmp_path / "x" / "y").stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "a", tmp_path / "file" / "a" / "b"):
        with pytest.raises(SetupError, match="cannot make the model cache"):
            cache_folder(folder)


def test_two_threads_that_want_one_model_download_it_once(web: Web, cache: Path) -> None:
    page = put_model(web)
    page.gate = threading.Event()
    waiting = threading.Event()
    found: list[Path] = []

    def tell(what: str, done: int, total: int | None) -> None:
        if what.startswith("waiting for another process"):
            waiting.set()

    def want() -> None:
        found.append(resolve(HUB_ONLY, cache=cache, progress=tell))

    threads = [threading.Thread(target=want) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert waiting.wait(timeout=10)
    page.gate.set()
    for thread in threads:
        thread.join(timeout=10)
    assert found == [cache / "tiny" / "tiny.gguf"] * 2
    assert len(web.log) == 1
