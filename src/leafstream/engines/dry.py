"""Sampling in llama.cpp's own words, in process as over HTTP."""

from __future__ import annotations

from typing import Any

from leafstream.sampling import Sampling

_NAMES = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "min_p": "min_p",
    "repetition_penalty": "repeat_penalty",
    "seed": "seed",
}
SETTINGS = {**_NAMES, "no_repeat_ngram_size": "dry_allowed_length", "stop": "stop"}


def sampling_fields(sampling: Sampling) -> dict[str, Any]:
    """The fields of a request to llama.cpp."""
    given = {theirs: getattr(sampling, ours) for ours, theirs in _NAMES.items()}
    fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if sampling.stop:
        fields["stop"] = list(sampling.stop)
    if sampling.no_repeat_ngram_size is not None:
        fields |= no_repeat(sampling.no_repeat_ngram_size)
    return fields


def no_repeat(size: int) -> dict[str, Any]:
    """No `size` tokens in a row twice, by the DRY sampler.

    A penalty beyond any logit is a ban, here of the token that would complete an n-gram for the
    second time. The breaker never occurs: by default quotes reset it.
    """
    return {
        "dry_multiplier": 1000.0,
        "dry_base": 1.0,
        "dry_allowed_length": size - 1,
        "dry_penalty_last_n": -1,
        "dry_sequence_breakers": ["\u0001"],
    }
