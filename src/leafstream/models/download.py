"""One file over HTTP into a `.part` beside it, which the next attempt continues."""

from __future__ import annotations

import os
import re
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import httpx2
import msgspec

from leafstream.errors import SetupError
from leafstream.models.cache import Progress, check_space, megabytes

TIMEOUT = httpx2.Timeout(30.0, connect=5.0)
ATTEMPTS_WITHOUT_PROGRESS = 3
PAUSE_SECONDS = 0.5
HTTPX_CA_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
CA_VARIABLES = (*HTTPX_CA_VARIABLES, "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# A weak tag does not vouch for bytes, so it cannot continue them (RFC 9110, 8.8.1).
STRONG_TAG = re.compile(r'"[\x21\x23-\x7e]*"')
NOT_REACHED = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)
# ValueError and OverflowError come from names and ports that no socket takes.
UNUSABLE = (
    httpx2.HTTPError,
    httpx2.InvalidURL,
    httpx2.StreamError,
    ValueError,
    OverflowError,
)
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


class FetchFailed(Exception):
    """One source did not give the file; another may. The text is for a person."""


class AccessDenied(FetchFailed):
    """The server wants to know who asks, or does not let them."""


class _Broken(FetchFailed):
    """The connection broke or the server was busy: asking again may work."""


class _NotReached(_Broken):
    """There never was a connection."""


class Remote(msgspec.Struct, frozen=True):
    """A file to get: `what` names it, `size` is in bytes where it is known beforehand."""

    url: str
    what: str
    size: int | None = None
    auth: tuple[str, str] | None = None
    headers: dict[str, str] = {}


@contextmanager
def client() -> Iterator[httpx2.Client]:
    """A client with this machine's proxies and certificates. Raises SetupError."""
    try:
        opened = httpx2.Client(
            verify=_certificates(),
            timeout=TIMEOUT,
            follow_redirects=True,
            headers={"user-agent": "leafstream", "accept-encoding": "identity"},
        )
    except (ImportError, OSError, ValueError, httpx2.InvalidURL) as error:
        raise SetupError(
            f"the proxy or certificate settings of the environment do not work: {error}"
        ) from None
    with opened:
        yield opened


def _certificates() -> ssl.SSLContext:
    named = {name: Path(os.environ[name]) for name in CA_VARIABLES if os.environ.get(name)}
    for name, path in named.items():
        if not path.exists():
            raise SetupError(f"{name} names {path}, which is not there")
    context = httpx2.create_ssl_context()
    # Those of other clients are added: they may hold no more than a company's own authority.
    for name, path in named.items():
        if name not in HTTPX_CA_VARIABLES:
            folder = path.is_dir()
            context.load_verify_locations(None if folder else path, path if folder else None)
    return context


@contextmanager
def readable_errors(url: str) -> Iterator[None]:
    """What httpx2 raises, as FetchFailed with the host's name."""
    try:
        yield
    except UNUSABLE as error:
        raise FetchFailed(f"{host(url)}: {reason(error)}") from None


def host(url: str) -> str:
    """The host of a URL, without the password that may be in front of it."""
    try:
        return httpx2.URL(url).host or "the address"
    except httpx2.InvalidURL:
        return "the address"


def reason(error: BaseException) -> str:
    """What went wrong with a connection, in a few words."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return "name not resolved"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                "its certificate is not trusted; if a proxy of yours signs it, set SSL_CERT_FILE "
                f"to your authority's file ({cause.verify_message})"
            )
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx2.ConnectTimeout):
        return f"no connection within {TIMEOUT.connect:g} s"
    if isinstance(error, httpx2.TimeoutException):
        return f"no answer for {TIMEOUT.read:g} s"
    return str(error) or type(error).__name__


def download(http: httpx2.Client, remote: Remote, path: Path, progress: Progress) -> str | None:
    """Get `remote` into `path`, continuing `<path>.part`. Raises FetchFailed, or SetupError.

    Returns the SHA-256 that the server says the file has, if it says; of a file that is at `path`
    already, nobody is asked. A connection that breaks is
    taken up again for as long as each attempt brings something.
    """
    part = _Part(path)
    failures, began, sha256 = 0, False, None
    while not path.exists():
        before = part.size
        try:
            sha256 = _attempt(http, remote, part, progress)
            part.finish()
        except _Broken as broken:
            came_on = part.size > before
            began = began or came_on
            failures = 0 if came_on else failures + 1
            hopeless = isinstance(broken, _NotReached) and not began
            if hopeless or failures >= ATTEMPTS_WITHOUT_PROGRESS:
                raise
            time.sleep(PAUSE_SECONDS * failures)
    return sha256


def reopen(path: Path) -> None:
    """Make a part of a whole file again, so that the server is asked and has to vouch for it."""
    os.replace(path, _Part(path).path)


class _Part:
    """The unfinished file and, beside it, the entity tag under which it may be continued."""

    def __init__(self, path: Path) -> None:
        self._whole = path
        self.path = path.with_name(path.name + ".part")
        self._tag = path.with_name(path.name + ".etag")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def tag(self) -> str | None:
        return self._tag.read_text() if self._tag.exists() else None

    def open(self, *, at: int, tag: str) -> BinaryIO:
        if not at:
            self._tag.write_text(tag if STRONG_TAG.fullmatch(tag) else "")
        return self.path.open("ab" if at else "wb")

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        self._tag.unlink(missing_ok=True)

    def finish(self) -> None:
        os.replace(self.path, self._whole)
        self._tag.unlink(missing_ok=True)


def _attempt(http: httpx2.Client, remote: Remote, part: _Part, progress: Progress) -> str | None:
    start = part.size
    if remote.size is not None and start > remote.size:
        part.drop()
        start = 0
    headers = dict(remote.headers)
    if start:
        headers["range"] = f"bytes={start}-"
        if part.tag:
            headers["if-range"] = part.tag
    auth = httpx2.BasicAuth(*remote.auth) if remote.auth else httpx2.USE_CLIENT_DEFAULT
    where = host(remote.url)
    try:
        with http.stream("GET", remote.url, headers=headers, auth=auth) as response:
            _receive(response, remote, part, progress)
            return _announced_sha256(response)
    except NOT_REACHED as error:
        raise _NotReached(f"{where}: {reason(error)}") from None
    except (httpx2.TransportError, httpx2.StreamError) as error:
        raise _Broken(f"{where}: {reason(error)} (at {megabytes(part.size)})") from None
    except UNUSABLE as error:
        raise FetchFailed(f"{where}: {reason(error)}") from None


def _receive(response: httpx2.Response, remote: Remote, part: _Part, progress: Progress) -> None:
    if response.status_code == 416:
        if response.headers.get("content-range") == f"bytes */{part.size}":
            return
        part.drop()
        raise _Broken(f"{host(remote.url)}: it does not have the rest of the file")
    refuse(response, remote.url)
    start, total = _extent(response, remote, part.size)
    check_space(part.path.parent, total - start, remote.what)
    with part.open(at=start, tag=response.headers.get("etag", "")) as file:
        done = start
        # As it comes: blocks of a fixed size would be lost with the connection that breaks.
        for block in response.iter_raw():
            done += len(block)
            if done > total:
                break
            file.write(block)
            file.flush()
            progress(remote.what, done, total)
    if done > total:
        part.drop()
        raise FetchFailed(f"{host(remote.url)}: it sent more than the {total:,} bytes of the file")
    if done < total:
        raise _Broken(f"{host(remote.url)}: the connection ended at {megabytes(done)}")


def refuse(response: httpx2.Response, url: str) -> None:
    """Raises for an answer that is not the file asked for."""
    where, status = host(url), response.status_code
    if status in (401, 403):
        raise AccessDenied(f"{where}: {status}, access denied")
    if status == 429 or status >= 500:
        raise _Broken(f"{where}: {status} {response.reason_phrase}")
    if status not in (200, 206):
        raise FetchFailed(f"{where}: {status} {response.reason_phrase}")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise FetchFailed(f"{where}: it compressed the file although it was asked not to")


def _extent(response: httpx2.Response, remote: Remote, have: int) -> tuple[int, int]:
    """Where this answer begins in the file, and how long the file is, in bytes."""
    where = host(remote.url)
    kind = response.headers.get("content-type", "")
    if kind.startswith("text/html"):
        raise FetchFailed(f"{where}: a web page came instead of the file")
    start, length = 0, response.headers.get("content-length", "")
    if response.status_code == 206:
        span = CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if span is None or int(span[1]) != have:
            raise FetchFailed(f"{where}: it answered with another part of the file")
        start, length = have, span[2]
    if not length.isdecimal():
        raise FetchFailed(f"{where}: it does not say how long the file is")
    total = int(length)
    if remote.size is not None and total != remote.size:
        raise FetchFailed(f"{where}: the file has {total:,} bytes instead of {remote.size:,}")
    return start, total


def _announced_sha256(response: httpx2.Response) -> str | None:
    """The digest that Hugging Face sends with the redirect to its storage."""
    for answer in (*response.history, response):
        tag = answer.headers.get("x-linked-etag", "").strip('"')
        if re.fullmatch(r"[0-9a-f]{64}", tag):
            return str(tag)
    return None
