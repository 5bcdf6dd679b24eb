"""What goes wrong at an upstream, as our errors: the one border for foreign ones."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httptools
import msgspec

from leafstream.errors import EngineError, EngineRefused, EngineUnavailable

_MAX_QUOTED = 300


class UpstreamUnavailable(EngineUnavailable):
    """`retry_after` seconds are what the upstream asks for; `busy`: it lives, but has no room."""

    def __init__(self, message: str, *, retry_after: float | None = None, busy: bool = False):
        super().__init__(message)
        self.retry_after = retry_after
        self.busy = busy


FOREIGN = (OSError, EOFError, httptools.HttpParserError)


@contextmanager
def upstream_errors(url: str) -> Iterator[None]:
    """Foreign errors of the network as UpstreamUnavailable, with the reason in words."""
    try:
        yield
    except FOREIGN as error:
        raise unavailable(url, error) from None


def unavailable(url: str, error: Exception) -> UpstreamUnavailable:
    """One of the FOREIGN errors in our words."""
    match error:
        case ssl.SSLError():
            reason = f"TLS failed: {error.reason or error}"
        case socket.gaierror():
            reason = "no host of this name is known"
        case ConnectionRefusedError():
            reason = "nothing listens there"
        case TimeoutError():
            reason = str(error) or "timed out"
        case httptools.HttpParserError():
            reason = f"what it sends is not HTTP: {error}"
        case OSError():
            reason = error.strerror or str(error)
        case _:
            reason = "it hung up in the middle of its answer"
    return UpstreamUnavailable(f"{url}: {reason}")


class _Detail(msgspec.Struct, frozen=True):
    message: str = "no reason given"
    type: str | None = None
    code: int | str | None = None


class Told(msgspec.Struct, frozen=True):
    """An error as servers write it: an object, a text, or the object's members at the top."""

    error: _Detail | str | None = None
    message: str | None = None
    detail: object = None

    @property
    def sentence(self) -> str:
        if isinstance(self.error, _Detail):
            return self.error.message
        return str(self.error or self.message or self.detail or "no reason given")

    @property
    def code(self) -> int | None:
        code = self.error.code if isinstance(self.error, _Detail) else None
        return int(code) if code is not None and str(code).isdecimal() else None

    @property
    def is_refusal(self) -> bool:
        """Whether asking again will not help."""
        if self.code is not None:
            return 400 <= self.code < 500 and self.code not in (408, 429)
        kind = (self.error.type or "").lower() if isinstance(self.error, _Detail) else ""
        return any(word in kind for word in ("invalid", "badrequest", "bad_request", "exceed"))


def told_error(url: str, told: Told) -> EngineError:
    """The error that a chunk of a stream with status 200 tells of."""
    sentence = told.sentence[:_MAX_QUOTED]
    if told.is_refusal:
        return EngineRefused(f"{url} refuses the request: {sentence}")
    return UpstreamUnavailable(f"{url} failed: {sentence}")


def status_error(url: str, status: int, headers: dict[str, str], body: bytes) -> EngineError:
    """The error of an answer whose status is not 200."""
    sentence = _sentence(headers, body)
    if status in (401, 403):
        return EngineRefused(
            f"{url} refuses the key ({status}: {sentence}); set LEAFSTREAM_UPSTREAM_KEY"
        )
    if status == 404:
        return EngineRefused(
            f"{url} does not know the model or the path (404: {sentence}); look at "
            "LEAFSTREAM_MODEL and LEAFSTREAM_UPSTREAM"
        )
    if status in (408, 425, 429) or status >= 500:
        return UpstreamUnavailable(
            f"{url} answers {status}: {sentence}",
            retry_after=_retry_after(headers),
            busy=status == 429 or (status == 503 and "retry-after" in headers),
        )
    return EngineRefused(f"{url} refuses the request ({status}): {sentence}")


def _sentence(headers: dict[str, str], body: bytes) -> str:
    if "html" in headers.get("content-type", ""):
        return "a web page"
    try:
        return msgspec.json.decode(body, type=Told).sentence[:_MAX_QUOTED]
    except msgspec.MsgspecError:
        return body[:_MAX_QUOTED].decode(errors="replace").strip() or "no reason given"


def _retry_after(headers: dict[str, str]) -> float | None:
    """Seconds; a date, which no inference server sends, counts as not told."""
    told = headers.get("retry-after", "")
    try:
        return max(0.0, float(told))
    except ValueError:
        return None
