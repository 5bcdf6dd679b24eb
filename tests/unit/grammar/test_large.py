"""Schemas that would take an engine's whole time."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from llguidance import LLMatcher, LLTokenizer

from leafstream.engines.grammar import MAX_SYMBOLS, compile_grammar, limits
from leafstream.engines.grammars import NUM_THREADS, Grammars
from leafstream.errors import UnsupportedSchema
from leafstream.schema import Schema
from tests import bombs

SECONDS = 2.0
"""CPU time; more than five times what the slowest takes."""
LAG_SECONDS = 0.1


@pytest.mark.parametrize("name", bombs.TOO_LARGE_FOR_A_GRAMMAR)
async def test_what_is_too_large_for_a_grammar_is_refused_soon_and_says_what_to_do(
    name: str,
) -> None:
    grammars = Grammars()
    schema = Schema.parse(bombs.TOO_LARGE_FOR_A_GRAMMAR[name])
    begun = time.process_time()
    for _ in range(5):  # the second time it is known
        with pytest.raises(UnsupportedSchema, match="declare fewer members"):
            await grammars.whole(schema)
    assert time.process_time() - begun < SECONDS
    grammars.close()


def test_keywords_that_no_grammar_expresses_are_left_out_soon() -> None:
    begun = time.process_time()
    grammar = compile_grammar(Schema.parse(bombs.HARD_TO_EXPRESS))
    assert time.process_time() - begun < SECONDS
    assert grammar.text is not None
    assert not grammar.exact


@pytest.mark.parametrize("num_members", [300, 490, 510])
def test_a_grammar_that_is_not_refused_does_not_fail_when_a_step_comes_to_it(
    num_members: int,
) -> None:
    schema = Schema.parse(bombs._member(bombs._optional(num_members)))
    grammar = compile_grammar(schema)
    assert grammar.is_too_large == (8 * num_members > MAX_SYMBOLS)
    if grammar.text is not None:
        vocabulary = LLTokenizer("byte")
        matcher = LLMatcher(vocabulary, grammar.text, limits=limits())
        assert matcher.consume_tokens(vocabulary.tokenize_str('{"a":{"member7":"x"'))
        matcher.compute_bitmask()
        assert not matcher.is_error(), matcher.get_error()


async def test_the_loop_goes_on_and_few_threads_run_while_large_grammars_are_made() -> None:
    grammars = Grammars()
    raw = bombs.TOO_LARGE_FOR_A_GRAMMAR["many long lists of values"]
    schemas = [await asyncio.to_thread(Schema.parse, raw) for _ in range(6)]
    lags, most = [], 0
    work = asyncio.gather(*map(grammars.whole, schemas), return_exceptions=True)
    while not work.done():
        begun = time.perf_counter()
        await asyncio.sleep(0.01)
        lags.append(time.perf_counter() - begun - 0.01)
        names = [thread.name for thread in threading.enumerate()]
        most = max(most, sum(name.startswith("grammar") for name in names))
    assert all(isinstance(error, UnsupportedSchema) for error in await work)
    assert most <= NUM_THREADS
    # A machine at work delays a turn now and then; work on the loop would delay each.
    assert sorted(lags)[len(lags) * 9 // 10] < LAG_SECONDS
    grammars.close()
