"""Errors on their way out: what all faces say alike of them, and the native face's envelope."""

from __future__ import annotations

import difflib
from math import ceil
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from leafstream.errors import (
    Conflict,
    InvalidRequest,
    LeafstreamError,
    Unauthorized,
)
from leafstream.events import Cancelled, Failed
from leafstream.faces import access
from leafstream.invalid import sentence

LONGEST_PATH = 100
_CODES = {404: "not_found", 405: "method_not_allowed"}


Ending = LeafstreamError | Failed | Cancelled
"""Why there is no answer: what was raised before it began, or its last event."""


class Refusal(msgspec.Struct, frozen=True):
    """What every face says of an ending, in a body and perhaps with a status of its own."""

    status: int
    headers: dict[str, str]


def refusal(request: Request, ending: Ending) -> Refusal:
    """How `request` is refused; the access log and the metrics are told of it."""
    if isinstance(ending, Cancelled):
        access.note(request, ending.kind)
        return Refusal(Conflict.status, {})
    access.note(request, ending.code)
    return Refusal(ending.status, _headers(ending))


def _headers(ending: LeafstreamError | Failed) -> dict[str, str]:
    if isinstance(ending, Unauthorized):
        return {"WWW-Authenticate": "Bearer"}
    after = ending.retry_after
    return {} if after is None else {"Retry-After": str(ceil(after))}


def wrong_parameter(error: RequestValidationError) -> InvalidRequest:
    """The first thing that FastAPI finds wrong with a path, a query or a header."""
    first = error.errors()[0]
    param = str(first["loc"][-1])
    return InvalidRequest(sentence(first, param), param=param)


def envelope(code: str, message: str, param: str | None, **details: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "param": param, **details}}


def install(app: FastAPI) -> None:
    """Map every error to its status and the envelope {"error": {code, message, param}}."""

    @app.exception_handler(LeafstreamError)
    async def ours(request: Request, error: LeafstreamError) -> JSONResponse:
        refused = refusal(request, error)
        content = envelope(error.code, error.message, error.param, **error.details)
        return JSONResponse(content, refused.status, refused.headers)

    @app.exception_handler(RequestValidationError)
    async def parameters(request: Request, error: RequestValidationError) -> JSONResponse:
        return await ours(request, wrong_parameter(error))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, "http_error")
        access.note(request, code)
        content = envelope(code, _told(request, error), None)
        return JSONResponse(content, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def unexpected(_: Request, __: Exception) -> JSONResponse:
        return JSONResponse(envelope("internal_error", "internal error", None), 500)


def _told(request: Request, error: HTTPException) -> str:
    """What an error of the router says, and where to look instead."""
    path, method = request.scope["path"], request.method  # request.url is made of the Host header
    if error.status_code == 405:
        takes = (error.headers or {}).get("Allow", "other methods")
        return f"{path} does not take {method}; it takes {takes}"
    if error.status_code == 404:
        close = difflib.get_close_matches(path[:LONGEST_PATH], request.app.openapi()["paths"], n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        return f"there is no path {path[:LONGEST_PATH]}; {hint}/docs describes those there are"
    return str(error.detail)
