"""A native EventSource in a real browser: the page, and a client as the service's own is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.errors import EngineError
from tests.apps.leafresh.between import bad_line
from tests.apps.leafresh.chatbot import ANSWER, BASE_INFO, OFF_TOPIC, READ, SOMEBODY, VALUE, chatbot
from tests.browser import browser, tab

__all__ = ["browser"]

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

# As the service's own page does it, but for keeping what it has seen.
PHONE = {"width": 390, "height": 844}
CLIENT = """
([path, values]) => new Promise((resolve) => {
  const seen = {text: "", names: [], lost: 0, end: null};
  const source = new EventSource(path + "?" + new URLSearchParams(values));
  source.addEventListener("challenge", (event) => {
    seen.names.push("challenge");
    seen.text += JSON.parse(event.data).data;
  });
  source.addEventListener("close", (event) => {
    source.close();
    seen.names.push("close");
    resolve({...seen, end: JSON.parse(event.data)});
  });
  source.addEventListener("error", (event) => {
    if (!event.data && source.readyState !== EventSource.CLOSED) { seen.lost += 1; return; }
    source.close();
    seen.names.push("error");
    resolve({...seen, end: event.data ? JSON.parse(event.data) : null});
  });
})
"""


def slow(answer: str = ANSWER, **play: Any) -> ScriptedEngine:
    return ScriptedEngine(answer, Play(delay=0.01, context_window=4096, **play))


async def ask(page: Page, values: dict[str, str]) -> dict[str, Any]:
    seen: dict[str, Any] = await page.evaluate(CLIENT, [BASE_INFO, values])
    return seen


async def test_a_native_eventsource_reads_the_text_and_then_one_close(
    browser: Browser, tmp_path: Path
) -> None:
    async with chatbot(tmp_path, slow()) as served, tab(browser) as page:
        await page.goto(f"{served.url}/leafresh")
        seen = await ask(page, SOMEBODY)
    assert seen["text"] == READ
    assert seen["names"].count("close") == 1
    assert seen["names"][-1] == "close"
    assert seen["end"]["data"]["challenges"][0]["title"] == VALUE["challenges"][0]["title"]
    assert seen["lost"] == 0


async def test_a_connection_that_breaks_in_mid_answer_again_and_again_loses_nothing(
    browser: Browser, tmp_path: Path
) -> None:
    engine = slow()
    async with (
        chatbot(tmp_path, engine) as served,
        bad_line(served.url) as (url, line),
        tab(browser, "ERR_INCOMPLETE_CHUNKED_ENCODING") as page,
    ):
        await page.goto(f"{url}/leafresh")
        line.breaks = [700, 901, 1333]
        seen = await ask(page, SOMEBODY)
    assert line.num_broken == seen["lost"] == 3
    assert seen["text"] == READ
    assert seen["names"][-1] == "close"
    assert len(engine.generations) == 1


async def test_a_failure_is_an_error_event_with_a_sentence_and_a_refusal_is_none(
    browser: Browser, tmp_path: Path
) -> None:
    engine = slow(fail_after=10, failure=EngineError("it broke"))
    async with chatbot(tmp_path, engine) as served, tab(browser, "400") as page:
        await page.goto(f"{served.url}/leafresh")
        failed = await ask(page, SOMEBODY)
        refused = await ask(page, {**SOMEBODY, "location": ""})
    assert failed["names"][-1] == "error"
    assert failed["end"]["message"] == "AI 서버로부터 추천 결과를 받아오는 데 실패했습니다."
    assert refused["names"] == ["error"]
    assert refused["end"] is None


async def test_the_page_shows_the_text_as_it_comes_and_cards_at_the_end(
    browser: Browser, tmp_path: Path
) -> None:
    async with chatbot(tmp_path, slow()) as served, tab(browser) as page:
        await page.goto(f"{served.url}/leafresh")
        await page.get_by_label("업사이클").check()
        await page.get_by_role("button", name="추천받기").click()
        await expect(page.locator(".told")).to_contain_text("그는")
        await expect(page.locator("article")).to_have_count(3)
        await expect(page.locator("article").first).to_contain_text("업사이클")
        await expect(page.locator(".told")).to_have_text(str(VALUE["recommend"]))
        await page.get_by_label("더 묻고 싶은 것").fill("오늘 날씨는 어때?")
        await page.keyboard.press("Enter")
        await expect(page.locator(".told").last).to_have_text(OFF_TOPIC)


async def test_a_phone_shows_that_it_is_at_work_before_the_first_word(
    browser: Browser, tmp_path: Path
) -> None:
    seen = """(status) => {
        const box = status.getBoundingClientRect();
        return box.height > 0 && box.top >= 0 && box.bottom <= innerHeight;
    }"""
    engine = ScriptedEngine(ANSWER, Play(delay=1.5, context_window=4096))
    async with chatbot(tmp_path, engine) as served, tab(browser, viewport=PHONE) as page:
        await page.goto(f"{served.url}/leafresh")
        await page.get_by_role("button", name="추천받기").click()
        status = page.locator("#talk .status")
        await expect(status).to_have_text("추천을 준비하고 있어요")
        assert await status.evaluate(seen)
        assert await page.locator("#talk").get_attribute("aria-busy") == "true"
        await expect(page.get_by_role("status")).to_have_text("추천을 준비하고 있어요")
        await page.get_by_label("더 묻고 싶은 것").fill("오늘 날씨는 어때?")
        await page.keyboard.press("Enter")
        await expect(page.locator(".told").last).to_have_text(OFF_TOPIC)
        await expect(status).to_have_text("새 질문을 해서 여기까지만 받았어요.")
        assert await page.locator("#talk").get_attribute("aria-busy") == "false"


async def test_the_page_says_so_where_the_model_cannot_write_korean(
    browser: Browser, tmp_path: Path
) -> None:
    class Spelling(ScriptedEngine):
        async def count(self, text: str) -> int:
            return 3 * len(text)

    engine = Spelling(ANSWER, Play(context_window=9000))
    async with chatbot(tmp_path / "a", engine) as served, tab(browser) as page:
        await page.goto(f"{served.url}/leafresh")
        await expect(page.get_by_role("note")).to_contain_text("한국어를 배우지 않아서")
    async with chatbot(tmp_path / "b") as served, tab(browser) as page:
        await page.goto(f"{served.url}/leafresh")
        await page.get_by_role("button", name="추천받기").click()
        await expect(page.locator("article")).to_have_count(3)
        await expect(page.get_by_role("note")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_fits_a_phone(browser: Browser, tmp_path: Path, scheme: str) -> None:
    async with (
        chatbot(tmp_path) as served,
        tab(browser, viewport=PHONE, color_scheme=scheme) as page,
    ):
        await page.goto(f"{served.url}/leafresh")
        await page.get_by_role("button", name="추천받기").click()
        await expect(page.locator("article")).to_have_count(3)
        wide = await page.evaluate("document.documentElement.scrollWidth")
        small = await page.evaluate(
            "[...document.querySelectorAll('button,input:not([type=radio]),select')]"
            ".filter((e) => e.getBoundingClientRect().height < 44).length"
        )
    assert wide == 390
    assert small == 0
