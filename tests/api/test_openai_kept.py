"""A response that is kept: its input items, and that it can be deleted, as the official client."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from leafstream.engines.scripted import Play, ScriptedEngine
from tests.api.openai_client import openai_house

ASK: dict[str, Any] = {"model": "chat", "input": "go"}
TURNS: Any = [
    {"role": "developer", "content": "Be nice."},
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "uno"},
    {"role": "user", "content": "two"},
]


def read(item: Any) -> tuple[str, str]:
    return item.role, item.content[0].text


async def test_the_input_items_of_a_response_are_all_turns_before_it_the_last_first(
    tmp_path: Path,
) -> None:
    async with openai_house(tmp_path, ScriptedEngine("an answer")) as (_, client):
        first = await client.responses.create(model="chat", input=TURNS)
        second = await client.responses.create(
            model="chat", input="three", previous_response_id=first.id
        )
        page = await client.responses.input_items.list(second.id)
        asked = await client.responses.input_items.list(first.id, order="asc")
    assert [read(item) for item in page.data] == [
        ("user", "three"),
        ("assistant", "an answer"),
        ("user", "two"),
        ("assistant", "uno"),
        ("user", "one"),
        ("system", "Be nice."),
    ]
    assert [read(item)[1] for item in asked.data] == ["Be nice.", "one", "uno", "two"]
    assert len({item.id for item in page.data}) == 6


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_the_pages_of_the_input_items_hold_each_item_once(tmp_path: Path, order: Any) -> None:
    async with openai_house(tmp_path) as (served, client):
        made = await client.responses.create(model="chat", input=TURNS)
        place = f"/v1/responses/{made.id}/input_items"
        raw = (await served.http.get(place, params={"limit": 3, "order": order})).json()
        items = [
            read(item)[1]
            async for item in client.responses.input_items.list(made.id, limit=3, order=order)
        ]
    texts = ["Be nice.", "one", "uno", "two"]
    assert items == (texts if order == "asc" else texts[::-1])
    assert (raw["object"], raw["has_more"], len(raw["data"])) == ("list", True, 3)
    assert (raw["first_id"], raw["last_id"]) == (raw["data"][0]["id"], raw["data"][2]["id"])


@pytest.mark.parametrize(
    ("query", "param"),
    [({"after": "msg_none"}, "after"), ({"limit": 0}, "limit"), ({"include": "x"}, "include")],
)
async def test_a_page_that_is_none_is_refused_by_name(
    tmp_path: Path, query: dict[str, str], param: str
) -> None:
    async with openai_house(tmp_path) as (served, client):
        made = await client.responses.create(**ASK)
        refused = await served.http.get(f"/v1/responses/{made.id}/input_items", params=query)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


async def test_a_deleted_response_is_gone_on_every_face(tmp_path: Path) -> None:
    async with openai_house(tmp_path) as (served, client):
        made = await client.responses.create(**ASK)
        raw: httpx2.Response = await served.http.delete(f"/v1/responses/{made.id}")
        other = await client.responses.create(**ASK)
        await client.responses.delete(other.id)
        for gone in (made.id, other.id):
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(gone)
            with pytest.raises(openai.NotFoundError):
                await client.responses.delete(gone)
        native = await served.http.get(f"/v1/answers/{made.id.replace('resp_', 'ans_')}")
    assert raw.json() == {"id": made.id, "object": "response", "deleted": True}
    assert native.status_code == 404


async def test_a_response_that_runs_is_ended_before_it_is_deleted(tmp_path: Path) -> None:
    engine = ScriptedEngine("word " * 200, Play(delay=0.01))
    async with openai_house(tmp_path, engine) as (_, client):
        made = await client.responses.create(**ASK, background=True)
        await asyncio.sleep(0.05)
        await client.responses.delete(made.id)
        assert engine.running == 0
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(made.id)


async def test_nobody_deletes_or_lists_what_is_not_stored(tmp_path: Path) -> None:
    async with openai_house(tmp_path) as (_, client):
        made = await client.responses.create(**ASK, store=False)
        with pytest.raises(openai.NotFoundError):
            await client.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.input_items.list(made.id)
