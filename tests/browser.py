"""A headless Chromium for tests of pages: Debian's, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

# The same engine without windows, whose tabs take a third of the time of a desktop browser's.
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
# As root there is no sandbox; the rest keeps the browser from asking the outside for anything.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests that say `pytest.mark.asyncio(loop_scope="session")`."""
    if CHROMIUM is None:
        pytest.skip("no chromium here: apt-get install chromium-headless-shell")
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        await launched.new_context()
        yield launched
        await launched.close()


@asynccontextmanager
async def tab(
    browser: Browser,
    *allowed: str,
    locale: str | None = None,
    viewport: Any = None,
    color_scheme: Any = None,
) -> AsyncIterator[Page]:
    """A tab of its own; a complaint in its console fails the test, unless it is `allowed`.

    All tabs share one profile, which costs half of a page to make: a test is told from another by
    its server's port, and what is stored for that is forgotten with the tab.
    """
    profile = browser.contexts[0] if locale is None else await browser.new_context(locale=locale)
    profile.set_default_timeout(15_000)
    page = await profile.new_page()
    if viewport is not None:
        await page.set_viewport_size(viewport)
    if color_scheme is not None:
        await page.emulate_media(color_scheme=color_scheme)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type != "log" else None)
    try:
        yield page
    finally:
        await profile.set_offline(False)
        if page.url.startswith("http"):
            await page.evaluate("localStorage.clear()")
        await page.close()
        if locale is not None:
            await profile.close()
    left = [said for said in complaints if not any(text in said for text in allowed)]
    assert not left, left
