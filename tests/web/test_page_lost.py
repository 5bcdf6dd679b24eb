"""What is lost on the way to the page is found again: a reload, a network, a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, Route, expect

from tests.browser import browser, tab
from tests.serving import serving
from tests.web.person import LOST, RECOMMEND, TEXT, ask, drawn, home, opened, slow, until

__all__ = ["browser"]
pytestmark = pytest.mark.asyncio(loop_scope="session")


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
        engine.pace(0)
        await until(page, "complete")
        await page.reload()  # and an answer that has ended is still there
        await until(page, "complete")
    assert len(engine.generations) == 1


async def test_a_reload_shows_at_once_what_was_there_and_asks_for_the_rest_alone(
    tmp_path: Path, browser: Browser
) -> None:
    engine = slow()
    asked: list[int] = []

    async def hold(route: Route) -> None:
        asked.append(int(route.request.headers["last-event-id"]))
        if len(asked) > 1:
            await route.continue_()

    async with home(tmp_path, engine) as served, tab(browser) as page:
        await opened(page, served)
        await ask(page)
        await expect(page.locator(".cards > li").first).to_contain_text("A cup of your own")
        before = await drawn(page)
        await page.route("**/events", hold)
        await page.reload()
        await page.wait_for_selector(".cards > li")
        assert (await drawn(page)).startswith(before[:40])
        await expect(page.locator(".plan")).to_contain_text("room for")
        await expect(page.locator(".state")).to_have_text("Writing")
        assert asked[0] > 3
        engine.pace(0)
        await page.reload()
        await until(page, "complete")
        assert RECOMMEND in await drawn(page)
        await page.locator(".events > summary").click()
        await expect(page.locator(".raw")).to_contain_text("came before the page was loaded again")
    assert asked[1] == asked[0]
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
        engine.pace(0)
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
            await expect(other.locator(".drawing")).to_contain_text("Small steps")
            engine.pace(0)
            await until(other, "complete")
            await until(page, "complete")
            assert await drawn(other) == await drawn(page)
    assert len(engine.generations) == 1


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
