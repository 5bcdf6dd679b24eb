"""`/v1/conversations`: create, list, read, rename, delete, export."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from leafstream.assistant import find
from leafstream.faces.body import answer_json, documented, read_model
from leafstream.faces.parts import Parts, owner
from leafstream.store.conversations import MAX_TITLE, Conversations


class NewConversation(BaseModel):
    model_config = ConfigDict(extra="forbid")

    assistant: str = Field(description="Whom it is held with.")
    title: str = Field("", max_length=MAX_TITLE, description="Unset: the first question.")


class Rename(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=1, max_length=MAX_TITLE)


def router(parts: Parts) -> APIRouter:
    routes = APIRouter(prefix="/v1/conversations", tags=["conversations"])
    _all(routes, parts)
    _one(routes, parts)
    return routes


def _all(routes: APIRouter, parts: Parts) -> None:
    conversations, assistants, settings = parts.store, parts.assistants, parts.settings

    @routes.post("", status_code=201, openapi_extra=documented(NewConversation))
    async def create(request: Request) -> Response:
        """Begin a conversation; give its id as `conversation` in POST /v1/answers."""
        new = await read_model(request, NewConversation, settings.max_body_bytes)
        find(assistants, new.assistant)
        return answer_json(
            await conversations.create(new.assistant, new.title, owner=owner(request)), 201
        )

    @routes.get("")
    async def recent(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        before: datetime | None = None,
    ) -> Response:
        """The most recently used first; `before` is the last one's `updated`."""
        return answer_json(
            {"data": await conversations.recent(limit, before, owner=owner(request))}
        )


def _one(routes: APIRouter, parts: Parts) -> None:
    conversations, settings = parts.store, parts.settings

    @routes.get("/{conversation}")
    async def read(request: Request, conversation: str) -> Response:
        """A conversation with its turns, their plans and usage."""
        return answer_json(await _whole(conversations, conversation, owner(request)))

    @routes.get("/{conversation}/export")
    async def export(request: Request, conversation: str) -> Response:
        """The conversation as a file."""
        name = f'attachment; filename="{conversation}.json"'
        response = answer_json(await _whole(conversations, conversation, owner(request)))
        response.headers["Content-Disposition"] = name
        return response

    @routes.patch("/{conversation}", openapi_extra=documented(Rename))
    async def rename(request: Request, conversation: str) -> Response:
        """Give a conversation another title."""
        new = await read_model(request, Rename, settings.max_body_bytes)
        await conversations.read(conversation, owner=owner(request))
        return answer_json(await conversations.rename(conversation, new.title))

    @routes.delete("/{conversation}", status_code=204)
    async def delete(request: Request, conversation: str) -> Response:
        """Delete a conversation and its turns for good."""
        await conversations.read(conversation, owner=owner(request))
        await conversations.delete(conversation)
        return Response(status_code=204)


async def _whole(conversations: Conversations, conversation: str, by: str) -> dict[str, Any]:
    found = await conversations.read(conversation, owner=by)
    return {**msgspec.structs.asdict(found), "turns": await conversations.turns(conversation)}
