"""The turns that a response was given, as a list that is read in pages."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from leafstream.errors import InvalidRequest
from leafstream.faces.openai.items import input_message
from leafstream.messages import Messages


class Page(BaseModel):
    """The query of GET /v1/responses/{id}/input_items."""

    model_config = ConfigDict(extra="forbid")

    after: str | None = Field(None, description="The id of the last item you have.")
    limit: int = Field(20, ge=1, le=100)
    order: Literal["asc", "desc"] = "desc"


def list_items(item: str, turns: Messages, page: Page) -> dict[str, Any]:
    """One page of the turns; `item` is what their ids begin with. Raises InvalidRequest."""
    items = [input_message(f"{item}_{number}", turn) for number, turn in enumerate(turns)]
    if page.order == "desc":
        items.reverse()
    start = 0
    if page.after is not None:
        ids = [made["id"] for made in items]
        if page.after not in ids:
            raise InvalidRequest(f"there is no input item {page.after!r}", param="after")
        start = ids.index(page.after) + 1
    shown = items[start : start + page.limit]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": start + page.limit < len(items),
    }
