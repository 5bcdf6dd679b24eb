"""A client: typed events of an answer, resumed by itself when the connection is lost."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec
from pydantic import BaseModel

from leafstream.client.typed import Typed
from leafstream.errors import (
    Conflict,
    EngineUnavailable,
    Forbidden,
    InvalidRequest,
    LeafstreamError,
    NotFound,
    RateLimited,
    Unauthorized,
)
from leafstream.events import KINDS, Event, decode, is_terminal
from leafstream.pointer import Json
from leafstream.settings import shown_url

MAX_RECONNECTS = 8
POST_TRIES = 3
RETRY_SECONDS = 0.2
NO_CONTENT = 204
TOO_MANY = 429

M = TypeVar("M", bound=BaseModel)


HERE = "http://127.0.0.1:8000"


def server_url(url: str) -> httpx2.URL:
    """Raises InvalidRequest, which says what to give, for what is no http(s) URL."""
    try:
        parts, parsed = urlsplit(url), httpx2.URL(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parsed
    except (ValueError, httpx2.InvalidURL):
        pass
    given = shown_url(url)
    raise InvalidRequest(
        f"{given!r} is no URL of a server; give http://host:port as --url or LEAFSTREAM_URL"
    )


class Client:
    """Talks to one leafstream server, with `key` where it asks for one.

    Use it as an async context manager. Raises InvalidRequest for what is no http(s) URL.
    """

    def __init__(
        self,
        url: str = HERE,
        *,
        key: str | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        # No read timeout: the server sends heartbeats, and a queue may be long.
        timeout = httpx2.Timeout(10, read=60)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx2.AsyncClient(
            base_url=server_url(url),
            headers=headers,
            timeout=timeout,
            transport=transport,
            # Reading all certificates takes 20 ms; without TLS there are none to check.
            verify=not url.startswith("http://"),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def alive(self) -> bool:
        """Whether a leafstream server answers at the URL."""
        try:
            response = await self._http.get("/healthz", timeout=2)
            return response.is_success and response.json() == {"status": "ok"}
        except (httpx2.RequestError, ValueError):  # nobody, or somebody else
            return False

    async def new_conversation(self, assistant: str) -> str:
        """The id of a new conversation with an assistant."""
        body = {"assistant": assistant}
        request = self._http.build_request("POST", "/v1/conversations", json=body)
        response = await self._send(request)
        created: dict[str, Any] = msgspec.json.decode(await response.aread())
        return str(created["id"])

    async def ask(self, assistant: str, given: Json, **options: Any) -> AsyncGenerator[Event, None]:
        """The events of a new answer, to the terminal one. `options` as in POST /v1/answers.

        A Fold of them holds the value as far as it is written. Raises LeafstreamError for a
        refusal, EngineUnavailable where there is no server.
        """
        response = await self._started({"assistant": assistant, "input": given, **options})
        answer = response.headers["Leafstream-Answer"]
        async with aclosing(self._resumed(answer, 0, response)) as events:
            async for event in events:
                yield event

    def stream(self, assistant: str, given: Json, type: type[M], **options: Any) -> Typed[M]:  # noqa: A002
        """A new answer as a growing `type`: snapshots to iterate, then `.result`."""
        return Typed(self.ask(assistant, given, **options), type)

    async def follow(self, answer: str, after: int = 0) -> AsyncGenerator[Event, None]:
        """The events of an answer after number `after`, to the terminal one; none after that."""
        async with aclosing(self._resumed(answer, after, None)) as events:
            async for event in events:
                yield event

    async def assistant(self, name: str) -> dict[str, Any]:
        """What the server says of an assistant. Raises NotFound."""
        response = await self._send(self._http.build_request("GET", f"/v1/assistants/{name}"))
        described: dict[str, Any] = msgspec.json.decode(await response.aread())
        return described

    async def _started(self, body: dict[str, Any]) -> httpx2.Response:
        """POST /v1/answers; where the reply is lost, again under the same key."""
        headers = {**_ACCEPT, "Idempotency-Key": secrets.token_urlsafe(16)}
        request = self._http.build_request("POST", "/v1/answers", json=body, headers=headers)
        return await self._send(request, POST_TRIES)

    async def _resumed(
        self, answer: str, after: int, response: httpx2.Response | None
    ) -> AsyncGenerator[Event, None]:
        lost = 0
        gone: RateLimited | EngineUnavailable
        while True:
            try:
                if response is None:
                    response = await self._reopen(answer, after)
                if response.status_code == NO_CONTENT:  # nothing follows: it ended there
                    return
                async for number, event in _events(response):
                    after, lost = number, 0
                    yield event
                    if is_terminal(event):
                        return
                gone = EngineUnavailable("the server hangs up again and again, without an event")
            except (RateLimited, EngineUnavailable) as error:
                gone = error
            except httpx2.TransportError as error:
                gone = EngineUnavailable(f"the server is lost: {error!r}")
            finally:
                if response is not None:
                    await response.aclose()
                    response = None
            if lost >= MAX_RECONNECTS:
                raise gone
            lost += 1
            await asyncio.sleep(max(gone.retry_after or 0, min(0.1 * 2**lost, 5)))

    async def _reopen(self, answer: str, after: int) -> httpx2.Response:
        headers = {**_ACCEPT, "Last-Event-ID": str(after)}
        request = self._http.build_request("GET", f"/v1/answers/{answer}/events", headers=headers)
        response = await self._http.send(request, stream=True)
        return await _accepted(response)

    async def _send(self, request: httpx2.Request, tries: int = 1) -> httpx2.Response:
        while True:
            tries -= 1
            try:
                return await _accepted(await self._http.send(request, stream=True))
            except httpx2.TransportError as error:
                if not tries or isinstance(error, httpx2.ConnectError):
                    raise EngineUnavailable(
                        f"no server answers at {shown_url(str(self._http.base_url))}: {error}"
                    ) from None
                await asyncio.sleep(RETRY_SECONDS)


_ACCEPT = {"Accept": "text/event-stream"}
_REFUSALS = {401: Unauthorized, 403: Forbidden, 404: NotFound, 409: Conflict}


async def _accepted(response: httpx2.Response) -> httpx2.Response:
    if response.is_success:
        return response
    body = await response.aread()
    await response.aclose()
    raise _refusal(response.status_code, body, _seconds(response.headers.get("Retry-After", "")))


def _refusal(status: int, body: bytes, after: float | None) -> LeafstreamError:
    """The error that a server's refusal says; ask again `after` so many seconds."""
    try:
        error = msgspec.json.decode(body)["error"]
        message, param = str(error["message"]), error.get("param")
    except (msgspec.DecodeError, KeyError, TypeError):
        message, param = f"the server answers {status} and no reason", None
    if status == TOO_MANY:
        return RateLimited(message, retry_after=math.ceil(after or 1))
    if status >= 500:
        return EngineUnavailable(message, param=param, retry_after=after)
    return _REFUSALS.get(status, InvalidRequest)(message, param=param)


def _seconds(retry_after: str) -> float | None:
    """None where it is a date, as proxies may send it, or not there."""
    try:
        seconds = float(retry_after)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


async def _events(response: httpx2.Response) -> AsyncGenerator[tuple[int, Event], None]:
    async for sent in httpx2.EventSource(response, max_event_size=None):
        if sent.event not in KINDS:
            continue
        try:
            event = decode(sent.event, sent.data.encode())
        except msgspec.DecodeError:
            return  # cut off in the middle of a frame: it comes again, whole, after reconnecting
        yield int(sent.id), event
