"""Keys and values: of sequences that are written together, and of those that wait for a next turn.

Sequences of several lengths are rows of one tensor, [rows, heads, width, head size] in each layer,
with the free places on the left, where the attention mask hides them.
"""

from __future__ import annotations

import inspect
from collections import OrderedDict
from typing import Any

import msgspec
import torch
from torch.nn.functional import pad
from transformers.cache_utils import Cache, DynamicLayer

SPARE = 128


class Layer(DynamicLayer):  # type: ignore[misc]
    """Grows by SPARE tokens at a time; the stock layer copies all of itself for every token."""

    is_initialized: bool
    keys: torch.Tensor
    values: torch.Tensor
    _room: Any = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        length = self.get_seq_length()
        end = length + key_states.shape[-2]
        if self._room is None or end > self._room[0].shape[-2]:
            self._room = [
                _grown(old, new, end + SPARE)
                for old, new in ((self.keys, key_states), (self.values, value_states))
            ]
        self._room[0][..., length:end, :] = key_states
        self._room[1][..., length:end, :] = value_states
        self.keys, self.values = (room[..., :end, :] for room in self._room)
        return self.keys, self.values

    def replace(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Hold these instead."""
        self.keys, self.values, self._room = keys, values, None
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True


def _grown(old: torch.Tensor, new: torch.Tensor, width: int) -> torch.Tensor:
    room = new.new_zeros((*new.shape[:-2], width, new.shape[-1]))
    if old.numel():
        room[..., : old.shape[-2], :] = old
    return room


def cache_name(model: Any) -> str:
    """The parameter that takes keys and values: transformers 5.24 renamed it in its own models."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def empty() -> Any:
    """Keys and values of nothing yet."""
    # All layers whole, also those of a sliding window (the mask slides): a window that has slid
    # cannot be cut back to where two conversations part.
    return Cache(layer_class_to_replicate=Layer)


def length(cache: Any) -> int:
    return int(cache.get_seq_length())


def part(cache: Any, row: int, start: int, end: int) -> Any:
    """A copy of the places from `start` to `end` of one row."""
    copied = empty()
    for layer in cache.layers:
        keys, values = (
            tensor[row : row + 1, :, start:end].clone() for tensor in (layer.keys, layer.values)
        )
        fresh = Layer()
        fresh.replace(keys, values)
        copied.layers.append(fresh)
    return copied


class Rows:
    """The sequences that are written together; a row's number changes when one before it leaves."""

    def __init__(self) -> None:
        self.cache: Any = empty()
        self.lengths: list[int] = []

    def join(self, cache: Any) -> None:
        """Add a sequence, read as far as its last token but one, as the last row."""
        if not self.lengths:
            self.cache = cache
        else:
            for ours, theirs in zip(self.cache.layers, cache.layers, strict=True):
                ours.replace(_joined(ours.keys, theirs.keys), _joined(ours.values, theirs.values))
        self.lengths.append(length(cache))

    def leave(self, row: int) -> Any:
        """Take a sequence out; its own keys and values."""
        width = length(self.cache)
        taken = part(self.cache, row, width - self.lengths[row], width)
        del self.lengths[row]
        if not self.lengths:
            self.cache = empty()
            return taken
        kept = [index for index in range(len(self.lengths) + 1) if index != row]
        start = width - max(self.lengths)
        for layer in self.cache.layers:
            layer.replace(layer.keys[kept, :, start:], layer.values[kept, :, start:])
        return taken

    def inputs(self, tokens: list[int], device: Any) -> dict[str, Any]:
        """What the model's forward takes, besides `cache`, to read one more token of each row."""
        lengths = torch.tensor(self.lengths, device=device)[:, None]
        places = torch.arange(length(self.cache) + 1, device=device)
        return {
            "input_ids": torch.tensor(tokens, device=device)[:, None],
            "attention_mask": (places >= places[-1] - lengths).long(),
            "position_ids": lengths,
        }

    def grow(self) -> None:
        """Tell that the model has read a token of each row."""
        self.lengths = [count + 1 for count in self.lengths]


def _joined(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    width = max(ours.shape[-2], theirs.shape[-2])
    padded = [pad(tensor, (0, 0, width - tensor.shape[-2], 0)) for tensor in (ours, theirs)]
    return torch.cat(padded)


class _Conversation(msgspec.Struct, frozen=True):
    ids: tuple[int, ...]
    cache: Any


class Kept:
    """Keys and values of sequences that have ended, the latest last, for their next turns."""

    def __init__(self) -> None:
        self._kept: OrderedDict[object, _Conversation] = OrderedDict()

    def keep(self, key: str | None, ids: list[int], cache: Any) -> None:
        """Keep what was read of `ids`. Without a key it serves whoever begins alike."""
        name = key if key is not None else object()
        self._kept[name] = _Conversation(tuple(ids[: length(cache)]), cache)
        self._kept.move_to_end(name)

    def take(self, key: str | None, ids: list[int]) -> Any:
        """Keys and values of the longest beginning of `ids` that is here, at most all but one.

        What is held for `key` is given up: the conversation has moved on.
        """
        best, count = None, 0
        for held in self._kept.values():
            common = _common(held.ids, ids[:-1])
            if common > count:
                best, count = held, common
        if key is not None:
            self._kept.pop(key, None)
        return empty() if best is None else part(best.cache, 0, 0, count)

    def shrink(self, count: int) -> None:
        """Let the oldest go until at most `count` are kept."""
        while len(self._kept) > max(count, 0):
            self._kept.popitem(last=False)


def _common(left: tuple[int, ...], right: list[int]) -> int:
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))
