"""A person at the page: what he asks, and what he sees."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from playwright.async_api import Page, expect

from leafstream import Assistant
from leafstream.apps.default import challenges, chat, recipe
from leafstream.engines.scripted import Play, ScriptedEngine
from tests.house import House, house

RECOMMEND = 'Small steps add up: "bring a cup", {every} day.'
TITLES = ["A cup of your own", "Lunch in a box", "<img src=x onerror=alert(1)>"]
CHALLENGES = [{"title": title, "description": "Bring it along, for five days."} for title in TITLES]
TEXT = json.dumps({"recommend": RECOMMEND, "challenges": CHALLENGES})
ASSISTANTS: dict[str, Assistant] = {"challenges": challenges, "recipe": recipe, "chat": chat}
PHONE = {"width": 390, "height": 844}
LOST = "net::ERR_"  # what a browser says of each request that fails


class PacedEngine(ScriptedEngine):
    """One that may hurry when the middle of its answer has been looked at."""

    def pace(self, delay: float) -> None:
        self._play = msgspec.structs.replace(self._play, delay=delay)


def slow(text: str = TEXT, delay: float = 0.025) -> PacedEngine:
    return PacedEngine(text, Play(delay=delay))


@asynccontextmanager
async def home(folder: Path, engine: ScriptedEngine, **settings: Any) -> AsyncIterator[House]:
    async with house(folder, engine, ASSISTANTS, **settings) as served:
        yield served


async def opened(page: Page, served: House, place: str = "") -> None:
    await page.goto(f"{served.url}/#/{place}")
    await page.wait_for_selector("body[data-ready]")


async def ask(page: Page) -> None:
    for label, value in (("Location", "city"), ("Work type", "office"), ("Category", "vegan")):
        await page.get_by_label(label, exact=True).fill(value)
    await page.get_by_role("button", name="Ask", exact=True).click()


async def drawn(page: Page) -> str:
    return await page.locator(".drawing").inner_text()


async def until(page: Page, state: str) -> None:
    await expect(page.locator(".told")).to_have_attribute("data-state", state, timeout=15_000)
