from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leafstream.models.catalog import DEFAULT, KNOWN, Wheel, Wheels
from leafstream.models.download import FetchFailed, client
from leafstream.models.packages import (
    DEFAULT_INDEX,
    Listed,
    credentials,
    find_wheel,
    package_index,
    parse_page,
)

from .web import Page, Web

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
PAGE = "https://index.example/simple/tiny-one/"
TINY = Wheel("Tiny.One", "1.0", ("a",))
DIGEST = "0123456789abcdef" * 4


def test_a_json_page_lists_its_files_with_absolute_addresses() -> None:
    body = (
        b'{"meta": {"api-version": "1.3"}, "files": ['
        b'{"filename": "a-1-py3-none-any.whl", "url": "../../f/a-1-py3-none-any.whl",'
        b' "hashes": {"sha256": "00"}, "size": 7, "yanked": false},'
        b'{"filename": "b.tar.gz", "url": "https://files.example/b.tar.gz", "hashes": {}}]}'
    )
    assert parse_page(body, JSON, PAGE) == [
        Listed("a-1-py3-none-any.whl", "https://index.example/f/a-1-py3-none-any.whl", "00", 7),
        Listed("b.tar.gz", "https://files.example/b.tar.gz"),
    ]


def test_an_html_page_lists_its_links() -> None:
    body = (
        f'<!DOCTYPE html><html><body><a href="/f/a%2B1.whl#sha256={DIGEST}">a</a><br>'
        '<A data-yanked HREF="b-1.whl?x=1&amp;y=2#md5=1">b</A><a>no</a><a href="http://[">x</a>'
    )
    assert parse_page(body.encode(), HTML, PAGE) == [
        Listed("a+1.whl", "https://index.example/f/a%2B1.whl", DIGEST),
        Listed("b-1.whl", f"{PAGE}b-1.whl?x=1&y=2"),
    ]


def test_a_base_moves_the_links_of_an_html_page() -> None:
    body = b'<base href="https://mirror.example/x/"><a href="a.whl">a</a>'
    assert parse_page(body, "text/html", PAGE)[0].url == "https://mirror.example/x/a.whl"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"files": 1}', b'{"files": [{}]}', b"\xff"])
def test_a_json_page_that_is_none_is_a_failed_source(body: bytes) -> None:
    with pytest.raises(FetchFailed, match=r"index\.example: its index page cannot be read"):
        parse_page(body, JSON, PAGE)


@settings(max_examples=150, deadline=None)
@given(
    body=st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.sampled_from(["<a href='", "#sha256=", "'>", "<base href=", "http://[", "//", "\0"])
        ).map(lambda pieces: "".join(pieces).encode()),
    ),
    kind=st.sampled_from([JSON, HTML, ""]),
)
def test_no_page_does_worse_than_fail_its_source(body: bytes, kind: str) -> None:
    try:
        listed = parse_page(body, kind, PAGE)
    except FetchFailed:
        return
    assert all(isinstance(file, Listed) for file in listed)


def index_of(web: Web, *names: str) -> None:
    anchors = "".join(f'<a href="/files/{name}">{name}</a>' for name in names)
    web.pages["/simple/tiny-one/"] = Page(anchors.encode(), kind="text/html")


@pytest.mark.parametrize(
    "name",
    [
        "tiny_one-1.0-py3-none-any.whl",
        "Tiny.One-1.0-py3-none-any.whl",
        "tiny_one-1.0-2-py3-none-any.whl",
    ],
)
def test_the_wheel_of_a_version_is_found_however_it_is_spelt(web: Web, name: str) -> None:
    index_of(web, "tiny_one-1.0.1-py3-none-any.whl", "tiny_one-1.0.tar.gz", name)
    with client() as http:
        assert find_wheel(http, f"{web.url}/simple/", TINY).filename == name


@pytest.mark.parametrize(
    "name",
    [
        "tiny_one-1.0.1-py3-none-any.whl",
        "tiny_one-1.0.tar.gz",
        "tiny_two-1.0-py3-none-any.whl",
        "..%2Ftiny_one-1.0-py3-none-any.whl",
        "%2e%2e%5Ctiny_one-1.0-py3-none-any.whl",
        "tiny_one-1.0.whl",
    ],
)
def test_another_file_is_not_taken_for_the_wheel(web: Web, name: str) -> None:
    index_of(web, name)
    with client() as http, pytest.raises(FetchFailed, match=r"there is no wheel Tiny\.One 1\.0"):
        find_wheel(http, f"{web.url}/simple/", TINY)


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        ("file:///opt/pypi/simple/", "the package index is not an http address"),
        ("/opt/pypi/simple/", "the package index is not an http address"),
        ("http://[/", "%5B: "),
        ("http://localhost:port/", "the address: "),
        ("http://localhost:99999999/", "localhost: "),
        (f"http://{'a' * 64}.localhost/", ""),
    ],
)
def test_an_index_that_cannot_be_asked_is_a_failed_source(
    web: Web, index: str, sentence: str
) -> None:
    with client() as http, pytest.raises(FetchFailed) as caught:
        find_wheel(http, index, TINY)
    assert str(caught.value).startswith(sentence)


def test_a_password_is_for_the_host_of_the_index_only() -> None:
    index = "https://me:p%40ss@index.example/simple/"
    assert credentials(index, "https://index.example/f/a.whl") == ("me", "p@ss")
    assert credentials(index, "https://files.example/f/a.whl") is None
    assert credentials("https://index.example/", "https://index.example/a.whl") is None


def test_the_index_is_the_one_of_the_environment(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv.example/simple")
    assert package_index() == f"{web.url}/simple/"
    monkeypatch.delenv("PIP_INDEX_URL")
    assert package_index() == "https://uv.example/simple/"


def test_the_index_is_the_one_that_pip_is_configured_for(
    web: Web, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PIP_INDEX_URL")
    config = tmp_path / "pip.conf"
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    config.write_text("[global]\nindex-url = https://company.example/simple\n")
    if subprocess.run([sys.executable, "-m", "pip", "--version"], check=False).returncode:
        pytest.skip("this environment has no pip")
    assert package_index() == "https://company.example/simple/"


def test_without_pip_the_index_is_the_public_one(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert package_index() == DEFAULT_INDEX


def test_every_known_model_can_be_checked_and_found() -> None:
    assert next(iter(KNOWN.values())) is DEFAULT
    for name, known in KNOWN.items():
        assert name == known.name == name.lower()
        assert len(bytes.fromhex(known.sha256)) == 32
        assert known.file.endswith(".gguf")
        assert "/" not in known.file
        assert any(isinstance(source, Wheels) for source in known.sources)
