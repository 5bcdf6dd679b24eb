"""The page in a browser: what a person at it is promised."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from leafstream import Assistant
from leafstream.apps.default import challenges, chat, recipe
from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.errors import EngineError
from leafstream.keys import add_key
from tests.browser import browser, tab
from tests.house import House, house
from tests.serving import serving

__all__ = ["browser"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

RECOMMEND = 'Small steps add up: "bring a cup", {every} day.'
TITLES = ["A cup of your own", "Lunch in a box", "<img src=x onerror=alert(1)>"]
CHALLENGES = [{"title": title, "description": "Bring it along, for five days."} for title in TITLES]
TEXT = json.dumps({"recommend": RECOMMEND, "challenges": CHALLENGES})
ASSISTANTS: dict[str, Assistant] = {"challenges": challenges, "recipe": recipe, "chat": chat}
PHONE = {"width": 390, "height": 844}
LOST = "net::ERR_"  # what a browser says of each request that fails


def slow(text: str = TEXT, delay: float = 0.025) -> ScriptedEngine:
    return ScriptedEngine(text, Play(delay=delay))


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


async def test_fields_fill_in_as_cards_while_the_model_writes(
    tmp_path: Path, browser: Browser
) -> None:
    async with home(tmp_path, slow()) as served, tab(browser) as page:
        await opened(page, served)
        await ask(page)
        first = page.locator(".cards > li").first
        await expect(first).to_contain_text("A cup of your own")
        assert await page.locator(".answer").get_attribute("aria-busy") == "true"
        assert await page.locator(".ghost").count() > 0
        await until(page, "complete")
        assert await page.locator(".cards .heading dd").all_inner_texts() == TITLES
        text = await drawn(page)
        assert RECOMMEND in text
        assert '"title"' not in text
        assert await page.locator(".ghost, .growing").count() == 0
        await expect(page.locator(".figures")).to_contain_text("tokens/s")
        await expect(page.locator(".plan")).to_contain_text("room for")


async def test_stop_ends_it_on_the_server_and_keeps_what_is_there(
    tmp_path: Path, browser: Browser
) -> None:
    engine = slow()
    async with home(tmp_path, engine) as served, tab(browser) as page:
        await opened(page, served)
        await ask(page)
        await expect(page.locator(".drawing")).to_contain_text("Small steps")
        await page.get_by_role("button", name="Stop").click()
        await until(page, "cancelled")
        assert engine.running == 0
        assert "Small steps" in await drawn(page)
        await page.get_by_role("button", name="Ask again").click()
        await until(page, "complete")
    assert len(engine.generations) == 2


async def test_a_reload_in_mid_answer_goes_on_from_where_it_was(
    tmp_path: Path, browser: Browser
) -> None:
    engine = slow()
    async with home(tmp_path, engine) as served, tab(browser) as page:
        await opened(page, served)
        await ask(page)
        await expect(page.locator(".cards > li").first).to_contain_text("A cup of your own")
        await page.reload()
        await expect(page.locator(".cards > li").first).to_contain_text("A cup of your own")
        assert await page.locator(".answer").get_attribute("aria-busy") == "true"
        assert await page.get_by_label("Location").input_value() == "city"
        await until(page, "complete")
        await page.reload()  # and an answer that has ended is still there
        await until(page, "complete")
    assert len(engine.generations) == 1


async def test_a_network_that_goes_and_comes_back_loses_nothing(
    tmp_path: Path, browser: Browser
) -> None:
    engine = slow()
    async with home(tmp_path, engine) as served, tab(browser, LOST) as page:
        await opened(page, served)
        await ask(page)
        await expect(page.locator(".drawing")).to_contain_text("Small steps")
        await page.context.set_offline(True)
        await until(page, "lost")
        await page.context.set_offline(False)
        await until(page, "complete")
        assert RECOMMEND in await drawn(page)
    assert len(engine.generations) == 1


async def test_two_tabs_show_one_answer(tmp_path: Path, browser: Browser) -> None:
    engine = slow()
    async with home(tmp_path, engine) as served, tab(browser) as page:
        await opened(page, served)
        await ask(page)
        await page.wait_for_url("**/*ans_*")
        async with tab(browser) as other:
            await other.goto(page.url)
            await until(other, "complete")
            await until(page, "complete")
            assert await drawn(other) == await drawn(page)
    assert len(engine.generations) == 1


async def test_the_keyboard_is_enough(tmp_path: Path, browser: Browser) -> None:
    async with home(tmp_path, slow(delay=0.03)) as served, tab(browser) as page:
        await opened(page, served)
        await page.keyboard.press("Tab")
        await expect(page.locator(".skip")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("#main")).to_be_focused()
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


async def test_a_form_says_what_is_missing_and_goes_there(tmp_path: Path, browser: Browser) -> None:
    async with home(tmp_path, slow()) as served, tab(browser) as page:
        await opened(page, served, "recipe")
        await page.get_by_label("Servings").fill("21")
        await page.get_by_role("button", name="Ask", exact=True).click()
        wish = page.get_by_label("Wish", exact=True)
        await expect(wish).to_be_focused()
        await expect(wish).to_have_attribute("aria-invalid", "true")
        assert await page.locator(".complaint:visible").all_inner_texts() == [
            "Please fill this in.",
            "At most 20, please.",
        ]
        await wish.fill("soup")
        await expect(wish).to_have_attribute("aria-invalid", "false")


async def test_an_answer_that_lands_says_which_fields_were_cut(
    tmp_path: Path, browser: Browser
) -> None:
    async with home(tmp_path, slow(delay=0.0)) as served, tab(browser) as page:
        await opened(page, served)
        await page.get_by_text("Settings").click()
        await page.get_by_label("Longest answer, in tokens").fill("60")
        await ask(page)
        await until(page, "cut")
        notes = await page.locator(".notes").inner_text()
        assert "limit of 60 tokens" in notes
        assert "Shorter than meant: Challenges 2, description." in notes or "Filled in" in notes


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (EngineError("the device is gone"), "The model failed while it wrote."),
        (ValueError("a bug"), "Something went wrong."),
    ],
)
async def test_a_failure_is_told_in_words(
    tmp_path: Path, browser: Browser, failure: Exception, words: str
) -> None:
    engine = ScriptedEngine(TEXT, Play(delay=0.01, fail_after=12, failure=failure))
    async with home(tmp_path, engine) as served, tab(browser) as page:
        await opened(page, served)
        await ask(page)
        await until(page, "failed")
        await expect(page.locator(".notes")).to_contain_text(words)
        await expect(page.get_by_role("button", name="Ask again")).to_be_visible()


async def test_a_full_server_is_told_in_words(tmp_path: Path, browser: Browser) -> None:
    engine = ScriptedEngine(TEXT, Play(delay=0.05, slots=1))
    async with home(tmp_path, engine, queue=0) as served, tab(browser, "503") as page:
        await served.begin(
            {"assistant": "chat", "input": {"message": "go"}},
        )
        await opened(page, served)
        await ask(page)
        await until(page, "failed")
        await expect(page.locator(".notes")).to_contain_text("The server is busy.")


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
        await until(page, "complete")
        await page.reload()
        await expect(page.locator(".answer")).to_have_count(1)
        await expect(page.locator(".answer")).to_contain_text("every day.")
    assert len(engine.generations) == 1


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing(tmp_path: Path, browser: Browser, scheme: str) -> None:
    async with home(tmp_path, slow()) as served, tab(browser, color_scheme=scheme) as page:
        await opened(page, served)
        await ask(page)
        await expect(page.locator(".cards > li").first).to_contain_text("A cup of your own")
        await _is_accessible(page)
        await until(page, "complete")
        await page.locator(".events > summary").click()
        await _is_accessible(page)
        await page.goto(f"{served.url}/#/recipe")
        await page.get_by_role("button", name="Ask", exact=True).click()
        await _is_accessible(page)
        await page.goto(f"{served.url}/#/chat")
        await page.get_by_label("Write a message").fill("Hello")
        await page.keyboard.press("Enter")
        await until(page, "writing")
        await _is_accessible(page)


async def _is_accessible(page: Page) -> None:
    await page.wait_for_timeout(50)
    found = await Axe().run(page)
    problems = [
        (found["id"], [node["html"] for node in found["nodes"]])
        for found in found.response["violations"]
    ]
    assert problems == []


async def test_the_tiny_default_model_is_named_for_what_it_is(
    tmp_path: Path, browser: Browser
) -> None:
    class Tiny(ScriptedEngine):
        model = "smollm2-135m"

    note = re.compile("tiny default model")
    async with home(tmp_path, Tiny(TEXT)) as served, tab(browser) as page:
        await opened(page, served)
        await expect(page.get_by_text(note)).to_be_visible()
    async with home(tmp_path, slow()) as served, tab(browser) as page:
        await opened(page, served)
        await expect(page.get_by_text(note)).to_be_hidden()


async def test_a_key_that_the_server_wants_is_asked_for_and_sent(
    tmp_path: Path, browser: Browser
) -> None:
    file = tmp_path / "keys.json"
    key = add_key(file, "me")
    engine = slow(delay=0.01)
    async with home(tmp_path, engine, keys_file=file) as served, tab(browser, "401") as page:
        await page.goto(served.url)
        await page.get_by_label("API key").fill("lf_of_nobody")
        await page.keyboard.press("Enter")
        await expect(page.locator("#key-wrong")).to_be_visible()
        await page.get_by_label("API key").fill(key)
        await page.keyboard.press("Enter")
        await page.wait_for_selector("body[data-ready]")
        await ask(page)
        await until(page, "complete")
        await page.reload()  # the tab still knows it
        await until(page, "complete")


async def test_a_server_that_is_killed_and_comes_back_goes_on_with_the_answer(
    tmp_path: Path, browser: Browser
) -> None:
    async with serving(tmp_path, TEXT, 0.03) as server, tab(browser, LOST) as page:
        await page.goto(server.url)
        await page.wait_for_selector("body[data-ready]")
        await ask(page)
        await expect(page.locator(".cards > li").first).to_contain_text("A cup of your own")
        await server.kill()
        await until(page, "lost")
        await server.start()
        await until(page, "complete")
        assert RECOMMEND in await drawn(page)
        assert await page.locator(".cards > li").count() == 3
        await expect(page.locator(".notes")).to_contain_text("Another process went on")
