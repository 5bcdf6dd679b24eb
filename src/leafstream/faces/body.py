"""Request bodies: bounded, decoded strictly, refused before anything else sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from leafstream.assistant import invalid_fields
from leafstream.errors import BodyTooLarge, InvalidRequest, MalformedBody

M = TypeVar("M", bound=BaseModel)


async def read_json(request: Request, limit: int) -> Any:
    """The body as JSON, whatever its content type says. Raises BodyTooLarge or MalformedBody."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise BodyTooLarge(f"the body is larger than {limit} bytes")
    try:
        value = msgspec.json.decode(body)
    except RecursionError:
        raise MalformedBody("the body is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedBody(f"the body is not valid JSON: {error}") from None
    _refuse_nul(value)
    return value


async def read_model(request: Request, model: type[M], limit: int) -> M:
    """The body as `model`. Raises InvalidRequest naming the field."""
    value = await read_json(request, limit)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid_fields(error, "", model) from None


def documented(model: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI of a body that `read_model` reads."""
    schema = model.model_json_schema()
    # In an OpenAPI document a reference begins at the document, not at the schema.
    content = {"application/json": {"schema": _inlined(schema, schema.pop("$defs", {}))}}
    return {"requestBody": {"required": True, "content": content}}


def _inlined(schema: Any, models: dict[str, Any]) -> Any:
    """The schema with the (unnested) models that it refers to in their places."""
    if isinstance(schema, list):
        return [_inlined(item, models) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(models[schema["$ref"].removeprefix("#/$defs/")], models)
    return {name: _inlined(item, models) for name, item in schema.items()}


def answer_json(
    value: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(msgspec.json.encode(value), status, headers, "application/json")


def _refuse_nul(value: Any) -> None:
    # Databases and tokenizers written in C end a text there.
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str) and "\0" in item:
            raise InvalidRequest("a text holds a NUL character (U+0000)")
        if isinstance(item, dict):
            waiting.extend(item.keys())
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
