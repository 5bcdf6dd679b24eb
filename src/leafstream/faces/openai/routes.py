"""The routes of OpenAI's API."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from leafstream.errors import InvalidRequest, NotFound
from leafstream.faces.body import answer_json, documented
from leafstream.faces.openai.bodies import ChatRequest, ResponsesRequest
from leafstream.faces.openai.chat import Chat
from leafstream.faces.openai.input_items import Page
from leafstream.faces.openai.refusals import OpenAIRoute
from leafstream.faces.openai.responses import Responses
from leafstream.faces.openai.wanted import served_models
from leafstream.faces.parts import Parts

Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=255)]

_ERROR = {"description": 'Refused: {"error": {"message", "type", "param", "code"}}'}
_REFUSALS: dict[int | str, dict[str, Any]] = dict.fromkeys((400, 404, 409, 413, 429), _ERROR)


class Retrieval(BaseModel):
    """The query of GET /v1/responses/{id}."""

    model_config = ConfigDict(extra="forbid")

    stream: bool = False
    starting_after: int = Field(-1, ge=-1, description="The last sequence_number you have.")
    include_obfuscation: Literal["false"] | None = None


def router(parts: Parts) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["openai"], responses=_REFUSALS, route_class=OpenAIRoute)
    if parts.settings.openai:
        _chat(routes, Chat(parts))
        _responses(routes, Responses(parts))
        _models(routes, parts)
    return routes


def _chat(routes: APIRouter, chat: Chat) -> None:
    @routes.post("/chat/completions", openapi_extra=documented(ChatRequest))
    async def complete(request: Request, key: Key = None) -> Response:
        """Answer a conversation, whole or in chunks."""
        return await chat.complete(request, key)


def _responses(routes: APIRouter, responses: Responses) -> None:
    @routes.post("/responses", openapi_extra=documented(ResponsesRequest))
    async def create(request: Request, key: Key = None) -> Response:
        """Start a response: wait for it, stream it, or leave it in the background."""
        return await responses.create(request, key)

    @routes.get("/responses/{response}")
    async def retrieve(
        request: Request, response: str, wish: Annotated[Retrieval, Query()]
    ) -> Response:
        """A response as far as it is, or its stream after a sequence number."""
        if wish.stream:
            return await responses.follow(request, response, wish.starting_after)
        if wish.starting_after >= 0:
            raise InvalidRequest("starting_after goes with stream=true", param="starting_after")
        return await responses.retrieve(request, response)

    @routes.get("/responses/{response}/input_items")
    async def input_items(
        request: Request, response: str, page: Annotated[Page, Query()]
    ) -> Response:
        """The turns that a response was given, in pages."""
        return await responses.input_items(request, response, page)

    @routes.delete("/responses/{response}")
    async def delete(request: Request, response: str) -> Response:
        """Delete a response for good."""
        return await responses.delete(request, response)

    @routes.post("/responses/{response}/cancel")
    async def cancel(request: Request, response: str) -> Response:
        """End a running response; the reply is the response."""
        return await responses.cancel(request, response)


def _models(routes: APIRouter, parts: Parts) -> None:
    created = int(time.time())

    def shown(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": created, "owned_by": "leafstream"}

    @routes.get("/models")
    async def models() -> Response:
        """What may be given as `model`: the served model, and every assistant."""
        return answer_json({"object": "list", "data": list(map(shown, served_models(parts)))})

    @routes.get("/models/{model:path}")
    async def model(model: str) -> Response:
        """One of them."""
        if model not in served_models(parts):
            raise NotFound(f"there is no model {model!r}", param="model")
        return answer_json(shown(model))
