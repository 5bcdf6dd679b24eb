"""Errors on their way out: ours, FastAPI's and the unexpected, in one envelope."""

from __future__ import annotations

import difflib
from math import ceil
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from leafstream.errors import (
    EngineUnavailable,
    Interrupted,
    LeafstreamError,
    Overloaded,
    RateLimited,
    Unauthorized,
)
from leafstream.events import Failed
from leafstream.faces import access
from leafstream.invalid import sentence

LONGEST_PATH = 100
_CODES = {404: "not_found", 405: "method_not_allowed"}


def envelope(code: str, message: str, param: str | None, **details: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "param": param, **details}}


def ending_headers(ending: LeafstreamError | Failed) -> dict[str, str]:
    """What is said beside the body of how an answer ended."""
    # Who started this process starts the next one.
    return {"Retry-After": "1"} if ending.code == Interrupted.code else {}


def install(app: FastAPI) -> None:
    """Map every error to its status and the envelope {"error": {code, message, param}}."""

    @app.exception_handler(LeafstreamError)
    async def ours(request: Request, error: LeafstreamError) -> JSONResponse:
        headers = {}
        if isinstance(error, Overloaded | RateLimited):
            headers["Retry-After"] = str(error.retry_after)
        if isinstance(error, EngineUnavailable) and error.retry_after is not None:
            headers["Retry-After"] = str(ceil(error.retry_after))
        headers |= ending_headers(error)
        if isinstance(error, Unauthorized):
            headers["WWW-Authenticate"] = "Bearer"
        access.note(request, error.code)
        content = envelope(error.code, error.message, error.param, **error.details)
        return JSONResponse(content, error.status, headers)

    @app.exception_handler(RequestValidationError)
    async def parameters(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        param = str(first["loc"][-1])
        access.note(request, "invalid_request")
        return JSONResponse(envelope("invalid_request", sentence(first, param), param), 422)

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
