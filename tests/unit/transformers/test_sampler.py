"""How the next token is chosen from given scores."""

from __future__ import annotations

import pytest

from leafstream.sampling import Sampling

FIVE, SIX, SEVEN = 5, 6, 7


def chosen(sampling: Sampling, written: list[int], **scores: float) -> int:
    """The token after `written` where the named ones have these scores and the others none."""
    import torch  # noqa: PLC0415

    from leafstream.engines.sampler import Sampler  # noqa: PLC0415

    logits = torch.full((10,), -10.0)
    for name, score in scores.items():
        logits[{"five": FIVE, "six": SIX, "seven": SEVEN}[name]] = score
    return Sampler(sampling, "cpu").choose(logits, written)


@pytest.fixture(autouse=True)
def _extra(transformers_extra: None) -> None:
    """These tests need torch."""


def test_at_temperature_zero_the_likeliest_token_is_taken() -> None:
    assert chosen(Sampling(temperature=0.0), [], five=1.0, six=1.1) == SIX


def test_an_ngram_is_never_completed_for_the_second_time() -> None:
    pairs = Sampling(temperature=0.0, no_repeat_ngram_size=2)
    assert chosen(pairs, [FIVE, SEVEN], six=2.0, seven=1.0) == SIX
    assert chosen(pairs, [FIVE, SIX, FIVE], six=2.0, seven=1.0) == SEVEN


def test_a_repetition_penalty_makes_what_was_written_less_likely() -> None:
    fined = Sampling(temperature=0.0, repetition_penalty=1.5)
    assert chosen(fined, [], five=2.0, six=1.8) == FIVE
    assert chosen(fined, [FIVE], five=2.0, six=1.8) == SIX


@pytest.mark.parametrize(
    "narrow", [{"top_k": 1}, {"top_p": 0.01}, {"min_p": 1.0}, {"temperature": 0.001}]
)
def test_what_narrows_the_draw_to_one_token_always_draws_it(narrow: dict[str, float]) -> None:
    for seed in range(20):
        sampling = Sampling(**{"temperature": 1.0, "seed": seed, **narrow})  # type: ignore[arg-type]
        assert chosen(sampling, [], five=1.0, six=1.1, seven=0.9) == SIX


def test_without_a_seed_draws_differ() -> None:
    drawn = {chosen(Sampling(temperature=1.0), [], five=1, six=1, seven=1) for _ in range(60)}
    assert drawn == {FIVE, SIX, SEVEN}


def test_what_a_request_leaves_open_comes_from_the_model() -> None:
    from leafstream.engines.sampler import with_defaults  # noqa: PLC0415

    defaults = Sampling(temperature=0.6, top_p=0.9, repetition_penalty=1.1)
    assert with_defaults(Sampling(top_p=0.5), defaults) == Sampling(
        temperature=0.6, top_p=0.5, repetition_penalty=1.1
    )
    # What narrows a draw has no effect where nothing is drawn.
    assert with_defaults(Sampling(temperature=0.0), defaults) == Sampling(
        temperature=0.0, repetition_penalty=1.1
    )
