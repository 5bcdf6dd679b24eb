"""What holds of the guard for any text."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from leafstream.decoder.runaway import Guard

WINDOW = 64
LETTERS = "abcdefghijklmnopqrstuvwxyz 가나다라마바사아자차카타파하é"
modest = settings(max_examples=60, deadline=None)


def stopped_at(chunks: list[str]) -> int | None:
    """After how many chunks."""
    guard = Guard()
    for number, chunk in enumerate(chunks, 1):
        if guard.feed(chunk):
            return number
    return None


def cut(text: str, sizes: list[int]) -> list[str]:
    """`text` in chunks of `sizes`, over and over."""
    chunks, at, turn = [], 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        chunks.append(text[at : at + size])
        at += size
        turn += 1
    return chunks


def written(seed: int, size: int, letters: str = LETTERS) -> str:
    return "".join(random.Random(seed).choices(letters, k=size))


sizes = st.lists(st.integers(1, 12), min_size=1, max_size=8)
seeds = st.integers(0, 2**32)
tokens = st.text(LETTERS, min_size=1, max_size=12)


@modest
@given(seeds, sizes, st.integers(2, len(LETTERS)))
def test_text_that_does_not_repeat_itself_is_never_stopped(
    seed: int, sizes: list[int], num_letters: int
) -> None:
    text = written(seed, 6_000, LETTERS[:num_letters])
    assert stopped_at(cut(text, sizes)) is None


@modest
@given(seeds, sizes, st.integers(20, 60))
def test_sentences_of_few_words_are_never_stopped(
    seed: int, sizes: list[int], num_words: int
) -> None:
    words = [written(seed + n, 2 + n % 6) for n in range(num_words)]
    text = " ".join(random.Random(seed).choices(words, k=2_000))
    assert stopped_at(cut(text, sizes)) is None


@modest
@given(st.lists(tokens, max_size=80), st.lists(tokens, min_size=1, max_size=64))
def test_a_cycle_of_up_to_64_tokens_is_told_64_tokens_after_it_was_there_three_times(
    before: list[str], cycle: list[str]
) -> None:
    bound = 3 * len(cycle) + WINDOW
    if not any(map(str.isalpha, "".join(cycle))):
        bound = 3 * len("".join(cycle)) + 16 * WINDOW
    stopped = stopped_at([*before, *cycle * 1_200])
    assert stopped is not None
    assert stopped <= len(before) + bound


@modest
@given(st.integers(0, 3_000), seeds, st.integers(1, 64), st.integers(1, 30))
def test_what_precedes_a_cycle_does_not_delay_it(
    num_before: int, seed: int, length: int, size: int
) -> None:
    before = cut(written(seed, num_before), [5])
    text = written(seed + 1, length * size)
    stopped = stopped_at([*before, *cut(text, [size]) * 200])
    assert stopped is not None
    assert len(before) < stopped <= len(before) + 3 * length + WINDOW


@modest
@given(seeds, st.integers(2, 300), sizes, sizes)
def test_any_two_chunkings_are_stopped_at_about_the_same_place(
    seed: int, period: int, left: list[int], right: list[int]
) -> None:
    text = written(seed, 500) + written(seed + 1, period) * 40
    for sizes in (left, right):
        chunks = cut(text + written(seed + 1, period) * 1_000, sizes)
        stopped = stopped_at(chunks)
        assert stopped is not None
        at = sum(map(len, chunks[:stopped])) - 500
        assert 3 * period < at <= 3 * period + 4 * WINDOW + 12


@modest
@given(seeds, st.integers(2, 12), sizes)
def test_a_cycle_with_cycles_in_it_is_told(seed: int, inner: int, sizes: list[int]) -> None:
    part = written(seed, inner)
    block = part * 4 + written(seed + 1, 3) + part * 3 + written(seed + 2, 5)
    chunks = cut(written(seed + 3, 300) + block * 40, sizes)
    stopped = stopped_at(chunks)
    assert stopped is not None
    at = sum(map(len, chunks[:stopped])) - 300
    assert at <= 3 * len(block) + 4 * WINDOW + 12
