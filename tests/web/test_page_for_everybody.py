"""The page for everybody: keyboard, screen reader, phone, colours, languages."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from tests.browser import browser, tab
from tests.web.person import PHONE, ask, home, opened, slow, until

__all__ = ["browser"]
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_keyboard_is_enough(tmp_path: Path, browser: Browser) -> None:
    async with home(tmp_path, slow(delay=0.03)) as served, tab(browser) as page:
        await opened(page, served)
        await page.keyboard.press("Tab")
        await expect(page.locator(".skip")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("#main")).to_be_focused()
        assert page.url.endswith("/#/challenges")
        for value in ("city", "office", "vegan"):
            await page.keyboard.press("Tab")
            await page.keyboard.type(value)
            await expect(page.locator(":focus")).to_have_value(value)
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert await page.evaluate(outline) == "solid"
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/*ans_*")
        stop = page.get_by_role("button", name="Stop")
        await stop.wait_for()
        for _ in range(5):
            await page.keyboard.press("Tab")
            if await stop.evaluate("e => e === document.activeElement"):
                break
        await page.keyboard.press("Enter")
        await until(page, "cancelled")
        await expect(page.locator(".answer")).to_be_focused()


async def test_the_page_speaks_korean_and_english(tmp_path: Path, browser: Browser) -> None:
    async with home(tmp_path, slow(delay=0.0)) as served, tab(browser, locale="ko-KR") as page:
        await opened(page, served)
        await expect(page.get_by_role("button", name="물어보기")).to_be_visible()
        assert await page.get_attribute("html", "lang") == "ko"
        await page.get_by_label("언어").select_option("en")
        await expect(page.get_by_role("button", name="Ask", exact=True)).to_be_visible()
        await ask(page)
        await until(page, "complete")
        await page.get_by_label("Language").select_option("ko")
        await expect(page.locator(".state")).to_have_text("완료")


async def test_colours_follow_the_system_until_they_are_chosen(
    tmp_path: Path, browser: Browser
) -> None:
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    async with home(tmp_path, slow()) as served, tab(browser, color_scheme="dark") as page:
        await opened(page, served)
        dark = await page.evaluate(paper)
        await page.get_by_role("button", name="Use light colours").click()
        assert await page.evaluate(paper) != dark
        await page.reload()
        await page.wait_for_selector("body[data-ready]")
        await expect(page.get_by_role("button", name="Use dark colours")).to_be_visible()


async def test_a_phone_shows_all_of_it(tmp_path: Path, browser: Browser) -> None:
    wide = "document.documentElement.scrollWidth > innerWidth"
    async with home(tmp_path, slow(delay=0.0)) as served, tab(browser, viewport=PHONE) as page:
        await opened(page, served)
        await ask(page)
        await until(page, "complete")
        assert not await page.evaluate(wide)
        menu = page.get_by_role("button", name="Menu")
        await menu.focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("link", name="Recipe")).to_be_visible()
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("link", name="Recipe")).to_be_hidden()
        await expect(menu).to_be_focused()


async def test_an_answer_is_in_view_while_it_fills_in(tmp_path: Path, browser: Browser) -> None:
    engine = slow()
    async with home(tmp_path, engine) as served, tab(browser, viewport=PHONE) as page:
        await opened(page, served)
        await ask(page)
        await expect(page.locator(".cards > li").first).to_be_in_viewport()
        await expect(page.get_by_role("button", name="Stop")).to_be_in_viewport()
        engine.pace(0)
        await page.goto(f"{served.url}/#/chat")
        await page.get_by_label("Write a message").fill("Hello")
        await page.keyboard.press("Enter")
        await until(page, "complete")
        await expect(page.get_by_role("button", name="Copy", exact=True).last).to_be_in_viewport()


async def test_a_page_whose_style_sheets_do_not_come_is_still_a_page(
    tmp_path: Path, browser: Browser
) -> None:
    large = """() => [...document.querySelectorAll("svg")]
        .filter((svg) => svg.getBoundingClientRect().width > 24).length"""
    async with home(tmp_path, slow(delay=0.0)) as served, tab(browser, "ERR_FAILED") as page:
        await page.route("**/*.css", lambda route: route.abort())
        await opened(page, served)
        assert await page.locator("svg").count() > 3
        assert await page.evaluate(large) == 0
        await ask(page)
        await until(page, "complete")


async def test_a_screen_reader_hears_of_items_and_not_of_tokens(
    tmp_path: Path, browser: Browser
) -> None:
    listen = """() => {
        const live = document.getElementById("live");
        window.heard = [];
        const hear = () => heard.push(live.textContent);
        new MutationObserver(hear).observe(live, { childList: true });
    }"""
    async with home(tmp_path, slow(delay=0.02)) as served, tab(browser) as page:
        await opened(page, served)
        await page.evaluate(listen)
        await ask(page)
        await until(page, "complete")
        heard = [text for text in await page.evaluate("heard") if text]
    assert heard == [
        "The answer begins.",
        "Challenges 1 is there.",
        "Challenges 2 is there.",
        "Challenges 3 is there.",
        "The answer has ended: Complete.",
    ]


async def test_axe_finds_nothing_in_light_colours_nor_in_dark_ones(
    tmp_path: Path, browser: Browser
) -> None:
    engine = slow()
    async with home(tmp_path, engine) as served, tab(browser) as page:
        await opened(page, served)
        await ask(page)
        await expect(page.locator(".cards > li").first).to_contain_text("A cup of your own")
        await _is_accessible(page)
        engine.pace(0)
        await until(page, "complete")
        await page.locator(".events > summary").click()
        await _is_accessible(page)
        await page.goto(f"{served.url}/#/recipe")
        await page.get_by_role("button", name="Ask", exact=True).click()
        await _is_accessible(page)
        await page.goto(f"{served.url}/#/chat")
        engine.pace(0.025)
        await page.get_by_label("Write a message").fill("Hello")
        await page.keyboard.press("Enter")
        await until(page, "writing")
        await _is_accessible(page)


async def _is_accessible(page: Page) -> None:
    await _passes(page, "light")
    # Colours are all that differs.
    await _passes(page, "dark", runOnly=["color-contrast"])


async def _passes(page: Page, scheme: Literal["light", "dark"], **rules: Any) -> None:
    await page.emulate_media(color_scheme=scheme)
    await page.wait_for_timeout(50)
    found = await Axe().run(page, options={"resultTypes": ["violations"], **rules})
    problems = [
        (found["id"], [node["html"] for node in found["nodes"]])
        for found in found.response["violations"]
    ]
    assert problems == []
    assert any(each["id"] == "color-contrast" for each in found.response["passes"])
