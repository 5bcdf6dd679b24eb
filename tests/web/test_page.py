"""The page in a browser: an answer of every kind, as a person at it is promised."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.errors import EngineError
from leafstream.keys import add_key
from tests.browser import browser, tab
from tests.web.person import RECOMMEND, TEXT, TITLES, ask, drawn, home, opened, slow, until

__all__ = ["browser"]
pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_fields_fill_in_as_cards_while_the_model_writes(
    tmp_path: Path, browser: Browser
) -> None:
    engine = slow()
    async with home(tmp_path, engine) as served, tab(browser) as page:
        await opened(page, served)
        await ask(page)
        first = page.locator(".cards > li").first
        await expect(first).to_contain_text("A cup of your own")
        assert await page.locator(".answer").get_attribute("aria-busy") == "true"
        assert await page.locator(".ghost").count() > 0
        engine.pace(0)
        await until(page, "complete")
        assert await page.locator(".cards .heading dd").all_inner_texts() == TITLES
        text = await drawn(page)
        assert RECOMMEND in text
        assert '"title"' not in text
        assert await page.locator(".ghost, .growing").count() == 0
        await expect(page.locator(".figures")).to_contain_text("tokens/s")
        await expect(page.locator(".plan")).to_contain_text("room for")


async def test_the_speed_told_meanwhile_does_not_depend_on_how_much_comes_at_once(
    tmp_path: Path, browser: Browser
) -> None:
    async with home(tmp_path, slow()) as served, tab(browser) as page:
        await opened(page, served)
        told = await page.evaluate(
            """async () => {
              const { Status } = await import("/web/status.js");
              const text = "Bring a cup of your own. ".repeat(16);
              return [1, 5, 400].map((size) => {
                const status = new Status();
                for (let at = 0; at < text.length; at += size)
                  status.take({ kind: "text", path: "", text: text.slice(at, at + size) });
                return status.pace.tokens;
              });
            }"""
        )
        assert told == [100, 100, 100]


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
        engine.pace(0)
        await page.get_by_role("button", name="Ask again").click()
        await until(page, "complete")
    assert len(engine.generations) == 2


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
