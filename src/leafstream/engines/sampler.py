"""The choice of the next token of one sequence: grammar, penalties, temperature, draw."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import torch
from transformers.generation import logits_process as stock

from leafstream.errors import EngineError
from leafstream.sampling import Sampling


class Sampler:
    """One per sequence, with the state of its grammar and of its random numbers."""

    def __init__(self, sampling: Sampling, device: Any, matcher: Any = None) -> None:
        self._matcher = matcher
        self._penalties = _penalties(sampling)
        self._narrowing = _narrowing(sampling)
        self._draws = bool(sampling.temperature)
        self._random = torch.Generator(device)
        if sampling.seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(sampling.seed % (1 << 63))

    @property
    def is_plain(self) -> bool:
        """Whether the likeliest token is taken as it is."""
        return not self._draws and not self._penalties and self._matcher is None

    @property
    def is_complete(self) -> bool:
        """Whether the grammar lets nothing follow."""
        return self._matcher is not None and self._matcher.is_stopped()

    def choose(self, logits: torch.Tensor, written: list[int]) -> int:
        """The next token after `written`. `logits` is [vocabulary] and is overwritten."""
        scores = logits.float()[None]
        if self._penalties and written:
            before = torch.tensor([written], device=scores.device)
            for penalty in self._penalties:
                scores = penalty(before, scores)
        if self._matcher is not None:
            scores = scores.masked_fill(
                self._forbidden(scores.shape[-1], scores.device), -torch.inf
            )
        if not self._draws:
            return int(scores.argmax(-1))
        for step in self._narrowing:
            scores = step(None, scores)
        return int(torch.multinomial(scores.softmax(-1)[0], 1, generator=self._random))

    def take(self, token: int) -> None:
        """Go on in the grammar. Raises EngineError where it cannot, which the mask prevents."""
        if self._matcher is not None and not self._matcher.consume_token(token):
            raise EngineError(f"the grammar failed: {self._matcher.get_error()}")

    def _forbidden(self, size: int, device: Any) -> torch.Tensor:
        mask = self._matcher.compute_bitmask()
        if self._matcher.is_error():
            raise EngineError(f"the grammar failed: {self._matcher.get_error()}")
        bits = np.unpackbits(np.frombuffer(mask, np.uint8), bitorder="little")[:size]
        forbidden = np.ones((1, size), bool)
        forbidden[0, : len(bits)] = bits == 0
        return torch.from_numpy(forbidden).to(device)


def with_defaults(sampling: Sampling, defaults: Sampling) -> Sampling:
    """`sampling` with what it leaves open taken from `defaults`."""
    if sampling.temperature == 0:
        defaults = Sampling(repetition_penalty=defaults.repetition_penalty)
    unset = {
        name: getattr(defaults, name)
        for name in Sampling.__struct_fields__
        if getattr(sampling, name) is None
    }
    return msgspec.structs.replace(sampling, **unset)


def _penalties(sampling: Sampling) -> list[Any]:
    found: list[Any] = []
    if sampling.repetition_penalty not in (None, 1.0):
        found.append(stock.RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    if sampling.no_repeat_ngram_size:
        found.append(stock.NoRepeatNGramLogitsProcessor(sampling.no_repeat_ngram_size))
    return found


def _narrowing(sampling: Sampling) -> list[Any]:
    found: list[Any] = []
    if sampling.temperature and sampling.temperature != 1.0:
        found.append(stock.TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        found.append(stock.TopKLogitsWarper(sampling.top_k))
    if sampling.top_p is not None and sampling.top_p < 1.0:
        found.append(stock.TopPLogitsWarper(sampling.top_p))
    if sampling.min_p:
        found.append(stock.MinPLogitsWarper(sampling.min_p))
    return found
