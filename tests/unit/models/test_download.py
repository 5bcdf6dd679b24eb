from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import pytest

from leafstream.models import download as download_module
from leafstream.models.download import (
    FetchFailed,
    Remote,
    client,
    download,
    host,
    reason,
)

from .conftest import HUB_PATH, MODEL, put_model, put_wheels
from .web import Page, Web

BODY = bytes(range(256)) * 2000
ROOT = Path(__file__).parents[3]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "file.bin"


def get(web: Web, target: Path, size: int | None = None) -> list[int]:
    """Download `/file` to `target`; the bytes done as they were told."""
    told: list[int] = []

    def tell(what: str, done: int, total: int | None) -> None:
        assert (what, total) == ("a file", len(BODY))
        told.append(done)

    with client() as http:
        download(http, Remote(f"{web.url}/file", "a file", size), target, tell)
    return told


def part_of(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def fails(web: Web, target: Path, size: int | None = None) -> str:
    with pytest.raises(FetchFailed) as caught:
        get(web, target, size)
    return str(caught.value)


def test_progress_only_grows_and_ends_with_the_whole(web: Web, target: Path) -> None:
    web.pages["/file"] = Page(BODY)
    told = get(web, target)
    assert told == sorted(told)
    assert told[-1] == len(BODY)
    assert target.read_bytes() == BODY
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_cut_connection_is_taken_up_where_it_broke(web: Web, target: Path) -> None:
    page = web.pages["/file"] = Page(BODY, cuts=[100_000, 50_000, 1])
    told = get(web, target)
    assert target.read_bytes() == BODY
    assert told == sorted(told)
    assert page.cuts == []
    assert sum(web.bytes_of("/file")) == len(BODY)


def test_the_next_process_continues_what_the_last_one_left(web: Web, target: Path) -> None:
    page = web.pages["/file"] = Page(BODY, cuts=[200_000, 0, 0, 0])
    assert "127.0.0.1" in fails(web, target)
    assert part_of(target).stat().st_size == 200_000
    assert page.cuts == []
    web.log.clear()
    get(web, target)
    assert target.read_bytes() == BODY
    assert web.bytes_of("/file") == [len(BODY) - 200_000]
    assert web.log[0].headers["if-range"] == '"one"'


@pytest.mark.parametrize("etag", ['W/"weak"', '"spa ce"', None])
def test_without_a_strong_tag_it_is_continued_by_position(
    web: Web, target: Path, etag: str | None
) -> None:
    web.pages["/file"] = Page(BODY, etag=etag, cuts=[200_000])
    get(web, target)
    assert target.read_bytes() == BODY
    assert sum(web.bytes_of("/file")) == len(BODY)
    assert "if-range" not in web.log[1].headers


def test_a_server_without_ranges_starts_again_cleanly(web: Web, target: Path) -> None:
    web.pages["/file"] = Page(BODY, ranges=False, cuts=[200_000])
    get(web, target)
    assert target.read_bytes() == BODY
    assert web.bytes_of("/file") == [200_000, len(BODY)]


def test_a_file_that_changed_in_between_is_started_again(web: Web, target: Path) -> None:
    web.pages["/file"] = Page(BODY[::-1], cuts=[200_000, 0, 0, 0])
    fails(web, target)
    web.pages["/file"] = Page(BODY, etag='"two"')
    get(web, target)
    assert target.read_bytes() == BODY


def test_a_whole_part_needs_only_a_name(web: Web, target: Path) -> None:
    web.pages["/file"] = Page(BODY)
    part_of(target).write_bytes(BODY)
    get(web, target)
    assert target.read_bytes() == BODY
    assert web.bytes_of("/file") == [0]


def test_a_part_that_is_longer_than_the_file_is_started_again(web: Web, target: Path) -> None:
    for size in (None, len(BODY)):
        web.pages["/file"] = Page(BODY)
        target.unlink(missing_ok=True)
        part_of(target).write_bytes(BODY + b"more")
        get(web, target, size)
        assert target.read_bytes() == BODY


def test_a_busy_server_is_asked_again_and_not_for_ever(web: Web, target: Path) -> None:
    page = web.pages["/file"] = Page(BODY, statuses=[503, 429])
    get(web, target)
    assert target.read_bytes() == BODY
    target.unlink()
    page.status = 503
    web.log.clear()
    assert fails(web, target) == "127.0.0.1: 503 Service Unavailable"
    assert len(web.log) == 3


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        (Page(b"", status=404), "404 Not Found"),
        (Page(b"", status=401), "401, access denied"),
        (Page(b"", status=204), "204 No Content"),
        (Page(b"<p>", kind="text/html"), "a web page came instead of the file"),
        (Page(BODY, length=False), "it does not say how long the file is"),
        (Page(BODY, headers={"content-encoding": "gzip"}), "it compressed the file"),
        (Page(b"", status=302, headers={"location": "/file"}), "Exceeded maximum"),
        (Page(b"", status=302, headers={"location": "ftp://x/"}), "ftp"),
    ],
)
def test_an_answer_that_is_not_the_file_is_named(
    web: Web, target: Path, page: Page, sentence: str
) -> None:
    web.pages["/file"] = page
    message = fails(web, target)
    assert message.startswith("127.0.0.1: ")
    assert sentence in message
    assert list(target.parent.iterdir()) == []


def test_another_part_than_the_one_asked_for_is_refused(web: Web, target: Path) -> None:
    wrong = {"content-range": f"bytes 7-{len(BODY) - 1}/{len(BODY)}"}
    web.pages["/file"] = Page(BODY, status=206, headers=wrong)
    part_of(target).write_bytes(BODY[:1000])
    assert "another part of the file" in fails(web, target)


def test_a_port_where_nobody_listens_fails_at_once(
    web: Web, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_module, "PAUSE_SECONDS", 3)
    began = time.monotonic()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        web.url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert fails(web, target) == "127.0.0.1: connection refused"
    assert time.monotonic() - began < 3


def test_reasons_are_words_and_not_exceptions() -> None:
    def caused(error: Exception, cause: BaseException) -> Exception:
        error.__cause__ = cause
        return error

    connect = httpx2.ConnectError("[Errno -2] whatever")
    assert reason(caused(connect, socket.gaierror(-2, "x"))) == "name not resolved"
    untrusted = ssl.SSLCertVerificationError(1, "x")
    untrusted.verify_message = "self-signed certificate"
    assert "set SSL_CERT_FILE" in reason(caused(connect, untrusted))
    assert reason(httpx2.ConnectTimeout("")) == "no connection within 5 s"
    assert reason(httpx2.ReadTimeout("")) == "no answer for 30 s"
    assert reason(httpx2.ReadError("")) == "ReadError"


def test_the_name_of_a_host_never_holds_a_password() -> None:
    assert host("https://me:secret@example.org:8080/simple") == "example.org"
    assert host("http://example.org:port/") == "the address"


# --- other processes

PROGRAM = """
import signal
import sys
from pathlib import Path
from leafstream.models.fetch import resolve
from tests.unit.models.conftest import HUB_ONLY, INDEX_ONLY

def tell(what, done, total):
    print(what, done, flush=True)

# A shell that runs the tests in the background has its children ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
known = {"hub": HUB_ONLY, "index": INDEX_ONLY}[sys.argv[1]]
print("resolved", resolve(known, cache=Path(sys.argv[2]), progress=tell), flush=True)
"""


def start(source: str, cache: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, source, str(cache)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=dict(os.environ),
    )


def read_until(process: subprocess.Popen[str], wanted: str) -> list[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(wanted):
            return lines
    raise AssertionError(f"{wanted!r} never came, only {lines}")


def test_two_processes_at_once_download_once_and_the_second_says_that_it_waits(
    web: Web, cache: Path
) -> None:
    page = put_model(web)
    page.gate = threading.Event()
    with start("hub", cache) as first:
        read_until(first, "tiny from 127.0.0.1")
        with start("hub", cache) as second:
            read_until(second, "waiting for another process that fetches tiny.gguf")
            page.gate.set()
            read_until(first, "resolved")
            read_until(second, "resolved")
    assert len(web.log) == 1
    assert (cache / "tiny" / "tiny.gguf").read_bytes() == MODEL


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_process_leaves_what_the_next_one_continues(
    web: Web, cache: Path, how: signal.Signals
) -> None:
    page = put_model(web)
    page.gate = threading.Event()
    half = len(MODEL) // 2
    with start("hub", cache) as process:
        read_until(process, f"tiny from 127.0.0.1 {half}")
        process.send_signal(how)
        process.wait(timeout=10)
    assert process.returncode != 0
    page.gate.set()
    page.gate = None
    with start("hub", cache) as process:
        read_until(process, "resolved")
    assert web.bytes_of(HUB_PATH)[-1] == len(MODEL) - half
    assert (cache / "tiny" / "tiny.gguf").read_bytes() == MODEL


def test_of_several_wheels_only_the_unfinished_one_is_continued(web: Web, cache: Path) -> None:
    second = put_wheels(web)[1]
    second.gate = threading.Event()
    half = len(second.body) // 2
    with start("index", cache) as process:
        read_until(process, f"tiny (2 of 2) from 127.0.0.1 {half}")
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10)
    second.gate.set()
    second.gate = None
    web.log.clear()
    with start("index", cache) as process:
        read_until(process, "resolved")
    assert web.bytes_of("/files/tiny_one-1.0-py3-none-any.whl") == []
    assert web.bytes_of("/files/tiny_two-1.0-py3-none-any.whl") == [len(second.body) - half]
    assert (cache / "tiny" / "tiny.gguf").read_bytes() == MODEL
