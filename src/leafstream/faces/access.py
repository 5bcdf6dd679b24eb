"""A line and a count for each HTTP request, around the whole app (ASGI 3.0)."""

from __future__ import annotations

import logging
import time
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leafstream.meter import Meter, traceparent

logger = logging.getLogger("leafstream.access")

# Asked for every few seconds by machines: told only where somebody looks for it.
PROBES = ("/healthz", "/readyz", "/metrics")


_CODE = "leafstream.error_code"


def note(request: Request, code: str) -> None:
    """Say that a request is refused, and with which code."""
    request.scope[_CODE] = code


class Access:
    """The access log, without queries and bodies: those hold what people write."""

    def __init__(self, app: ASGIApp, meter: Meter) -> None:
        self._app = app
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _Request(scope, send, self._meter)
        traceparent.set(Headers(scope=scope).get("traceparent", ""))
        try:
            await self._app(scope, receive, request.send)
        except Exception:
            scope[_CODE] = "internal_error"
            raise
        finally:
            request.end()


class _Request:
    def __init__(self, scope: Scope, send: Send, meter: Meter) -> None:
        self._scope = scope
        self._send = send
        self._meter = meter
        self._begun = time.monotonic()
        # What the server answers where the app raises before it has answered.
        self._status = 500
        self._answer = ""
        self._num_bytes = 0
        self._whole = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._answer = Headers(raw=message["headers"]).get("leafstream-answer", "")
        else:
            size = len(message.get("body", b""))
            self._num_bytes += size
            self._whole = not message.get("more_body", False)
            self._meter.sent(size)
        await self._send(message)

    def end(self) -> None:
        scope = self._scope
        # As it was sent: what stands for a control character or a line's end stays encoded.
        raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        path = raw.decode("ascii", "backslashreplace")
        told = {
            "status": self._status,
            "seconds": round(time.monotonic() - self._begun, 4),
            "bytes": self._num_bytes,
            "client": (scope.get("client") or ("",))[0],
        }
        if self._answer:
            told["answer"] = self._answer
        if code := scope.get(_CODE):
            told["code"] = code
            self._meter.refused(code)
        elif not self._whole:
            told["left"] = True
        level = logging.DEBUG if path in PROBES else logging.INFO
        logger.log(level, "%s %s", scope["method"], path, extra={"fields": told})
