"""Log files: bounded, whole lines, and no disk is too full for the writer."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from leafstream.instances.logfile import Following, LogFile, last_lines
from leafstream.lines import Lines


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_no_more_files_are_kept_than_asked_for_and_none_is_larger(
    tmp_path: Path, keep: int
) -> None:
    log = LogFile(tmp_path / "log", 1000, keep)
    for number in range(500):
        log.write(b"line %d" % number)
    files = sorted(tmp_path.iterdir())
    assert len(files) == keep
    assert all(file.stat().st_size <= 1000 for file in files)
    newest = (tmp_path / "log").read_bytes().splitlines()
    assert newest[-1] == b"line 499"
    lines = [line for file in reversed(files) for line in file.read_bytes().splitlines()]
    numbers = [int(line.split()[1]) for line in lines]
    assert numbers == list(range(numbers[0], 500))


def test_what_a_full_disk_took_is_counted_and_told_once_there_is_room(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log", 10_000, 2)
    log.write(b"before")
    with largest_file(10):
        log.write(b"lost 1")
        log.write(b"lost 2")
        assert (log.num_lost, log.trouble) == (2, "File too large")
        assert (tmp_path / "log").read_bytes() == b"before\n"
    log.write(b"after")
    told = (tmp_path / "log").read_bytes().splitlines()
    assert told == [b"before", b"(2 lines were lost: File too large)", b"after"]


def test_a_reader_follows_over_the_turn_of_a_log(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log", 100, 3)
    log.write(b"before")
    following = Following(tmp_path / "log")
    seen = b""
    for number in range(50):
        log.write(b"line %d" % number)
        if number % 3 == 0:
            seen += following.more()
    while more := following.more():
        seen += more
    following.close()
    assert seen.splitlines() == [b"line %d" % number for number in range(50)]


def test_the_last_lines_are_found_in_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"line %d %b\n" % (n, b"x" * 100) for n in range(5000)))
    assert [line.split()[1] for line in last_lines(path, 3)] == [b"4997", b"4998", b"4999"]
    assert len(last_lines(path, 10_000)) == 5000
    assert last_lines(path, 0) == last_lines(tmp_path / "none", 3) == []


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_every_line_of_a_server_is_a_record_however_it_is_cut(cut: int) -> None:
    written: list[bytes] = []
    lines = Lines(written.append, json=True)
    record = b'{"time":"2026-01-01T00:00:00.000Z","level":"info","message":"\xc3\xa9"}'
    data = record + b"\n0.00.001.171 E srv start: no\nTraceback\n\nleafstream: no room\nlast"
    for begin in range(0, len(data), cut):
        lines.feed(data[begin : begin + cut])
    lines.end()
    assert written[0] == record
    told = [json.loads(line) for line in written]
    assert [(t["level"], t.get("logger"), t["message"]) for t in told] == [
        ("info", None, "é"),
        ("error", "leafstream.llamacpp", "srv start: no"),
        ("info", "leafstream.stderr", "Traceback"),
        ("error", "leafstream.stderr", "leafstream: no room"),
        ("info", "leafstream.stderr", "last"),
    ]
    assert lines.last_words == "no room"


@pytest.mark.parametrize("json_wanted", [False, True])
@pytest.mark.parametrize(
    "said",
    [
        b"\x1b[2J\x07",
        "\x9b2J\u2028".encode(),
        b"0.00.001.171 E \x1b]0;gone\x07",
        b"one\rtwo",
        b"2026-01-01T00:00:00.000Z INFO llama: \x1b[2J",
        b'{"time": "\x7f"}',
    ],
)
def test_what_a_library_writes_cannot_steer_the_terminal_that_shows_the_log(
    said: bytes, json_wanted: bool
) -> None:
    written: list[bytes] = []
    lines = Lines(written.append, json=json_wanted)
    lines.feed(said + b"\r\n")
    (record,) = written
    assert record.decode().isprintable()
