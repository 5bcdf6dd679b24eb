"""How the next token is chosen, under the names that users of transformers know.

A setting that would have no effect beside another, or that contradicts it, is refused: whoever sets
it believes something about the answer that is not so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec

from leafstream.errors import InvalidRequest


class Sampling(msgspec.Struct, frozen=True, omit_defaults=True):
    """Unset values (None) are the engine's own defaults. Sampling is off at temperature 0."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    no_repeat_ngram_size: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


class Setting(msgspec.Struct, frozen=True):
    """A generation setting: what it does and what it costs."""

    name: str
    meaning: str
    cost: str = "none"


SETTINGS = (
    Setting("max_new_tokens", "the longest answer, in tokens (also max_tokens)"),
    Setting("do_sample", "draw from the distribution; false: always the likeliest token"),
    Setting("temperature", "flattens (above 1) or sharpens (below 1) the distribution"),
    Setting("top_p", "keeps the likeliest tokens that together reach this probability"),
    Setting("top_k", "keeps this many of the likeliest tokens; 0 keeps all"),
    Setting("min_p", "keeps tokens at least this share as likely as the likeliest"),
    Setting("repetition_penalty", "makes tokens written lately less likely; 1 is off", "small"),
    Setting("no_repeat_ngram_size", "never writes the same n tokens in a row twice", "small"),
    Setting("seed", "the same draw again, on the same engine and load"),
    Setting("stop", "texts that end the answer when the model writes them"),
    Setting("num_beams", "beam search", "as many times the memory and work as beams"),
    Setting("early_stopping", "when beam search gives up looking; only with beams"),
    Setting("use_cache", "keeps keys and values of earlier tokens", "off: each token reads all"),
)

_GREEDY = "the likeliest token is always taken"
_NARROWING = ("temperature", "top_p", "top_k", "min_p")


def read_sampling(given: Mapping[str, Any], defaults: Sampling | None = None) -> Sampling:
    """The sampling that a request's settings ask for, over an assistant's `defaults`.

    None counts as not given. Raises InvalidRequest for a setting without effect or a contradiction.
    """
    asked = {name: value for name, value in given.items() if value is not None}
    defaults = defaults or Sampling()
    for wrong in contradictions(asked, defaults):
        raise InvalidRequest(f"{wrong.name} {wrong.why}", param=wrong.name)
    if asked.get("do_sample") is False:
        defaults = msgspec.structs.replace(
            defaults, temperature=0.0, top_p=None, top_k=None, min_p=None
        )
    elif asked.get("do_sample") and defaults.temperature == 0:
        defaults = msgspec.structs.replace(defaults, temperature=None)
    return _replaced(defaults, asked)


def _replaced(sampling: Sampling, asked: Mapping[str, Any]) -> Sampling:
    names = set(Sampling.__struct_fields__)
    own = {name: value for name, value in asked.items() if name in names}
    if "stop" in own:
        own["stop"] = (own["stop"],) if isinstance(own["stop"], str) else tuple(own["stop"])
    return msgspec.structs.replace(sampling, **own)


class Wrong(msgspec.Struct, frozen=True):
    """A setting that is refused beside the others; `name` and `why` make a sentence."""

    name: str
    why: str


def contradictions(asked: Mapping[str, Any], defaults: Sampling) -> Iterator[Wrong]:
    """What is wrong with the settings given (none of them None), the worst first."""
    if asked.get("do_sample") is False:
        for name in _NARROWING:
            if name in asked and not (name == "temperature" and asked[name] == 0):
                yield Wrong(name, f"has no effect with do_sample=false: {_GREEDY}")
    elif asked.get("do_sample") and asked.get("temperature") == 0:
        yield Wrong("do_sample", "contradicts temperature 0: nothing is drawn then")
    elif not asked.get("do_sample") and asked.get("temperature", defaults.temperature) == 0:
        for name in _NARROWING[1:]:
            if asked.get(name, 0) not in (0, 1):
                yield Wrong(name, f"has no effect with temperature 0: {_GREEDY}")
    yield from _of_beams(asked)
    if asked.get("use_cache") is False:
        yield Wrong("use_cache", "false would read the whole prompt again for every token; the "
                    "cache is always used")  # fmt: skip


def _of_beams(asked: Mapping[str, Any]) -> Iterator[Wrong]:
    if asked.get("num_beams", 1) > 1:
        yield Wrong("num_beams", "above 1 cannot be streamed: beams change what was written")
    elif "early_stopping" in asked:
        why = "has no effect with num_beams=1: it is a setting of beam search"
        yield Wrong("early_stopping", why)


def refuse_unsupported(sampling: Sampling, supported: Collection[str], model: str) -> None:
    """Raises InvalidRequest for a setting that the engine of `model` does not have."""
    for name in Sampling.__struct_fields__:
        if getattr(sampling, name) not in (None, ()) and name not in supported:
            raise InvalidRequest(
                f"{name} is no setting of the engine that serves {model}", param=name
            )
