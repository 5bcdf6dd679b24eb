"""What goes wrong at an upstream, as our errors: the one border for foreign ones."""

from __future__ import annotations

import math
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import httptools
import msgspec

from leafstream.errors import EngineError, EngineMisconfigured, EngineRefused, EngineUnavailable
from leafstream.settings import shown_url

_MAX_QUOTED = 300
_LOOK_AT_URL = "look at LEAFSTREAM_MODEL and LEAFSTREAM_UPSTREAM"
_PAY = "look at the account of LEAFSTREAM_UPSTREAM_KEY"
_OPERATORS = {
    401: ("refuses this server's key", "set LEAFSTREAM_UPSTREAM_KEY"),
    402: ("wants to be paid", _PAY),
    403: ("does not let this server's key in", "give LEAFSTREAM_UPSTREAM_KEY the right to it"),
    404: ("does not know the model or the path", _LOOK_AT_URL),
    405: ("does not know the path", _LOOK_AT_URL),
    407: ("is behind a proxy that wants a password", "name the server in LEAFSTREAM_UPSTREAM"),
    410: ("does not have the model or the path any more", _LOOK_AT_URL),
}
"""Statuses that no request of a client's causes: what they say, and what mends them."""


class UpstreamUnavailable(EngineUnavailable):
    """`retry_after` seconds are what the upstream asks for; `busy`: it lives, but has no room."""

    def __init__(self, message: str, *, retry_after: float | None = None, busy: bool = False):
        super().__init__(message, retry_after=retry_after)
        self.busy = busy


class Source:
    """Whose words an error quotes. The key that it was sent is never among them.

    Clients are told its `name`: where a server inside is found is nobody's business outside.
    """

    def __init__(self, url: str, key: str | None = None, name: str = "the upstream") -> None:
        self.url = url
        self.name = name
        self._key = key

    def located(self, message: str) -> str:
        """A message that begins with its name, with the URL instead: for the operator."""
        rest = message.removeprefix(self.name)
        return message if rest == message else self.url + rest

    def quoted(self, said: str | bytes, most: int = _MAX_QUOTED) -> str:
        text = said if isinstance(said, str) else said.decode(errors="replace")
        return (text.replace(self._key, "…") if self._key else text).strip()[:most]


FOREIGN = (OSError, EOFError, httptools.HttpParserError)


@contextmanager
def upstream_errors(source: Source) -> Iterator[None]:
    """Foreign errors of the network as UpstreamUnavailable, with the reason in words."""
    try:
        yield
    except FOREIGN as error:
        raise unavailable(source, error) from None


def unavailable(source: Source, error: Exception) -> UpstreamUnavailable:
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
            reason = _of_system(error)
        case _:
            reason = "it hung up in the middle of its answer"
    return UpstreamUnavailable(f"{source.name}: {reason}")


def _of_system(error: OSError) -> str:
    """Without the addresses that asyncio writes into it."""
    if error.errno is not None:
        return os.strerror(error.errno)
    if str(error).startswith("Multiple exceptions"):  # a host of several addresses
        return "it cannot be reached at any of its addresses"
    return str(error)


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
    def kind(self) -> str:
        kind = (self.error.type or "").lower() if isinstance(self.error, _Detail) else ""
        return kind.replace("_", "")

    @property
    def is_refusal(self) -> bool:
        """Whether the request is at fault, as far as its type tells."""
        return any(word in self.kind for word in ("invalid", "badrequest", "exceed"))

    @property
    def wants_payment(self) -> bool:
        """Whether this is OpenAI's way to say that the account is empty, a 429 like any other."""
        return self.kind == "insufficientquota"


def told_error(source: Source, told: Told) -> EngineError:
    """The error that a chunk of a stream with status 200 tells of."""
    if told.code is not None and 400 <= told.code < 600:
        return _error(source, told.code, told, {})
    sentence = source.quoted(told.sentence)
    if told.is_refusal:
        return EngineRefused(f"{source.name} refuses the request: {sentence}")
    return UpstreamUnavailable(f"{source.name} failed: {sentence}")


def status_error(source: Source, status: int, headers: dict[str, str], body: bytes) -> EngineError:
    """The error of an answer whose status is not 200."""
    return _error(source, status, _told(headers, body), headers)


def _error(source: Source, status: int, told: Told, headers: dict[str, str]) -> EngineError:
    """By whom it is to be mended: the operator, the upstream in its time, or the client."""
    name, sentence = source.name, source.quoted(told.sentence)
    if told.wants_payment:
        status = 402
    if status in _OPERATORS:
        what, advice = _OPERATORS[status]
        return EngineMisconfigured(f"{name} {what} ({status}: {sentence})", advice=advice)
    if 300 <= status < 400:
        place = shown_url(source.quoted(headers.get("location", "nowhere")))
        advice = f"set LEAFSTREAM_UPSTREAM to where the server is, {place}"
        return EngineMisconfigured(f"{name} redirects to another place ({status})", advice=advice)
    if status in (408, 425, 429) or (status >= 500 and status != 501):
        return UpstreamUnavailable(
            f"{name} answers {status}: {sentence}",
            retry_after=_retry_after(headers),
            busy=status in (429, 529) or (status == 503 and "retry-after" in headers),
        )
    if status == 413:
        return EngineRefused(f"{name} takes no request as long as this ({status}: {sentence})")
    return EngineRefused(f"{name} refuses the request ({status}): {sentence}")


def _told(headers: dict[str, str], body: bytes) -> Told:
    if "html" in headers.get("content-type", ""):
        return Told("a web page")
    try:
        return msgspec.json.decode(body, type=Told)
    except msgspec.MsgspecError:
        return Told(body.decode(errors="replace").strip() or "no reason given")


def _retry_after(headers: dict[str, str]) -> float | None:
    """Seconds; a date, which no inference server sends, counts as not told."""
    told = headers.get("retry-after", "")
    try:
        seconds = float(told)
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
