"""At temperature 0, computed token by token, a text is the same however it is cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from leafstream.apps.default import recipe
from leafstream.engines.base import Chunk, Engine, Generation, Prefix
from leafstream.engines.llamacpp import LlamaCppEngine, LlamaCppOptions
from leafstream.sampling import Sampling

pytestmark = pytest.mark.asyncio(loop_scope="module")

MAX_TOKENS = 48


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(model_path: Path) -> AsyncIterator[Engine]:
    options = LlamaCppOptions(context_window=512, slots=2, repeatable=True)
    opened = await LlamaCppEngine.open(model_path, options)
    yield opened
    await opened.close()


async def asked(engine: Engine, wish: str) -> Generation:
    prompt = await engine.prompt(recipe.messages({"wish": wish}))
    return Generation(prompt, MAX_TOKENS, Sampling(temperature=0), recipe.schema)


async def written(engine: Engine, generation: Generation) -> list[Chunk]:
    return [chunk async for chunk in engine.generate(generation) if chunk.num_tokens]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def soup(engine: Engine) -> tuple[Generation, list[Chunk]]:
    """A question, and what is written to it alone and unbroken."""
    generation = await asked(engine, "a soup with carrots")
    return generation, await written(engine, generation)


async def test_a_text_goes_on_after_a_cut_at_any_token_as_it_would_have(
    engine: Engine, soup: tuple[Generation, list[Chunk]]
) -> None:
    generation, whole = soup
    for cut in range(1, len(whole), 9):
        head = whole[:cut]
        prefix = Prefix(text_of(head), tuple(token for chunk in head for token in chunk.tokens))
        left = MAX_TOKENS - len(prefix.tokens)
        rest = msgspec.structs.replace(generation, prefix=prefix, max_tokens=left)
        assert text_of(head) + text_of(await written(engine, rest)) == text_of(whole)


async def test_what_is_written_beside_a_text_does_not_change_it(
    engine: Engine, soup: tuple[Generation, list[Chunk]]
) -> None:
    one, other = soup[0], await asked(engine, "bread")
    alone = [text_of(soup[1]), text_of(await written(engine, other))]
    beside = await asyncio.gather(written(engine, one), written(engine, other))
    assert [text_of(chunks) for chunks in beside] == alone
