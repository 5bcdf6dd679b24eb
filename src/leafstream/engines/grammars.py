"""The grammars of one engine: made in two threads, however many ask, and kept by the schema's text.

An answer that is to land softly has a schema of its own, whose text is often that of others. What
callers send is compiled here. The work of each is bounded (see `grammar.py`), and so is how much of
it runs at once; the loop goes on, as llguidance lets go of Python's lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

import msgspec

from leafstream.engines.grammar import Grammar, compile_grammar, compile_remainder
from leafstream.engines.opening import Opening, opening
from leafstream.errors import UnsupportedSchema
from leafstream.schema import Schema

T = TypeVar("T")

NUM_THREADS: Final = 2
MAX_KEPT: Final = 256


class Grammars:
    """Starts its threads when they are first needed."""

    def __init__(self) -> None:
        self._kept: dict[bytes, Grammar] = {}
        self._openings: dict[str, Opening] = {}
        self._threads = ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="grammar")

    async def whole(self, schema: Schema) -> Grammar:
        """The grammar of a whole answer. Raises UnsupportedSchema where it would be too large."""
        text = msgspec.json.encode(schema.source)
        grammar = self._kept.get(text)
        if grammar is None:
            grammar = await self.run(partial(compile_grammar, schema))
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
                self._openings.clear()
            self._kept[text] = grammar
        if grammar.is_too_large:
            raise UnsupportedSchema(
                "the schema is too large for a grammar; declare fewer members, branches of "
                "unions and enum values",
                param="",
            )
        return grammar

    async def following(self, prefix: str, schema: Schema) -> str | None:
        """The text of the grammar of what may follow `prefix`; None where there is none."""
        if not prefix.strip():
            return (await self.whole(schema)).text
        return await self.run(partial(compile_remainder, prefix, schema))

    async def opening(self, schema: Schema) -> Opening:
        """What every answer begins with. Raises UnsupportedSchema as `whole` does."""
        grammar = await self.whole(schema)
        key = grammar.text or ""
        if key not in self._openings:
            self._openings[key] = await self.run(partial(opening, grammar, schema))
        return self._openings[key]

    async def run(self, work: Callable[[], T]) -> T:
        """Do what compiles a grammar in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Leave what is waiting; what has begun ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
