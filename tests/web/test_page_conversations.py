"""Conversations at the page: begun, opened, renamed, deleted, and those that cannot go on."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from leafstream.apps.default import challenges
from leafstream.engines.scripted import Play, ScriptedEngine
from tests.browser import browser, tab
from tests.house import House, house
from tests.web.person import home, opened, slow, until

__all__ = ["browser"]
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_conversations_are_begun_opened_renamed_and_deleted(
    tmp_path: Path, browser: Browser
) -> None:
    engine = ScriptedEngine("Bring your own.", Play(delay=0.01))
    async with home(tmp_path, engine) as served, tab(browser) as page:
        await opened(page, served, "chat")
        await page.get_by_label("Write a message").fill("What about cups?")
        await page.keyboard.press("Enter")
        await until(page, "complete")
        link = page.get_by_role("link", name="What about cups?")
        await expect(link).to_have_attribute("aria-current", "page")
        await page.get_by_role("button", name="New conversation").click()
        await expect(page.locator(".turn")).to_have_count(0)
        await link.click()
        await expect(page.locator(".asked")).to_contain_text("What about cups?")
        await expect(page.locator(".answer")).to_contain_text("Bring your own.")
        await page.get_by_role("button", name="Rename What about cups?").click()
        await page.keyboard.type("Cups")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("link", name="Cups", exact=True)).to_be_focused()
        await page.get_by_role("button", name="Delete Cups").click()
        await page.get_by_role("button", name="Delete", exact=True).click()
        await expect(page.locator(".turn")).to_have_count(0)
        await expect(page.locator("#conversations li")).to_have_count(0)


async def test_a_reload_in_the_middle_of_a_chat_shows_the_question_and_goes_on(
    tmp_path: Path, browser: Browser
) -> None:
    engine = slow("Bring a cup of your own, every day. " * 3)
    async with home(tmp_path, engine) as served, tab(browser) as page:
        await opened(page, served, "chat")
        await page.get_by_label("Write a message").fill("Cups?")
        await page.keyboard.press("Enter")
        await expect(page.locator(".answer")).to_contain_text("Bring a cup")
        await page.reload()
        await expect(page.locator(".asked")).to_contain_text("Cups?")
        engine.pace(0)
        await until(page, "complete")
        await page.reload()
        await expect(page.locator(".answer")).to_have_count(1)
        await expect(page.locator(".answer")).to_contain_text("every day.")
    assert len(engine.generations) == 1


async def held(served: House, assistant: str, message: str = "What about cups?") -> str:
    """A conversation with one exchange."""
    made = await served.http.post("/v1/conversations", json={"assistant": assistant})
    conversation = str(made.json()["id"])
    await served.stream({"assistant": assistant, "input": message, "conversation": conversation})
    return conversation


async def test_a_conversation_whose_assistant_is_not_served_any_more_can_only_be_read(
    tmp_path: Path, browser: Browser
) -> None:
    engine = ScriptedEngine("Bring your own.")
    async with home(tmp_path, engine) as served:
        conversation = await held(served, "chat")
        answer = await served.begin({"assistant": "chat", "input": "Boxes?"})
    only = {"challenges": challenges}
    async with house(tmp_path, engine, only) as served, tab(browser) as page:
        await opened(page, served, f"chat/{conversation}")
        await expect(page.locator("h1")).to_have_text("Chat")
        await expect(page.locator(".asked")).to_contain_text("What about cups?")
        await expect(page.locator(".answer")).to_contain_text("Bring your own.")
        await expect(page.get_by_text("Chat is not served here any more.")).to_be_visible()
        assert await page.locator("form#ask").count() == 0
        assert page.url.endswith(f"#/chat/{conversation}")
        await page.goto(f"{served.url}/#/chat/{answer}")
        await expect(page.locator(".answer")).to_contain_text("Bring your own.")
        await expect(page.get_by_text("Chat is not served here any more.")).to_be_visible()
        await page.get_by_role("link", name="Challenges").click()
        await expect(page.get_by_role("button", name="Ask", exact=True)).to_be_visible()


async def test_a_conversation_is_shown_under_the_assistant_that_it_is_held_with(
    tmp_path: Path, browser: Browser
) -> None:
    async with home(tmp_path, ScriptedEngine("Bring your own.")) as served, tab(browser) as page:
        conversation = await held(served, "chat")
        await opened(page, served, f"recipe/{conversation}")
        await expect(page.locator("h1")).to_have_text("Chat")
        await expect(page.locator(".answer")).to_contain_text("Bring your own.")
        await expect(page).to_have_url(f"{served.url}/#/chat/{conversation}")


async def test_an_address_of_nothing_says_so_and_leaves_a_form_to_ask_with(
    tmp_path: Path, browser: Browser
) -> None:
    addresses = {
        "nobody": "There is no assistant nobody here.",
        "chat/conv_none": "There is no such conversation any more.",
        "chat/ans_none": "That answer is kept no longer.",
        "nobody/ans_none": "That answer is kept no longer.",
    }
    async with home(tmp_path, ScriptedEngine("x")) as served:
        for place, words in addresses.items():
            async with tab(browser, "404") as page:
                await opened(page, served, place)
                await expect(page.locator("#problem")).to_have_text(words)
                await expect(page.locator("form#ask")).to_be_visible()
