"""How the next token is chosen, under the names that users of transformers know.

A setting that would have no effect beside another, or that contradicts it, is refused: whoever sets
it believes something about the answer that is not so.
"""

from __future__ import annotations

from collections.abc import Mapping
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

_NARROWING = ("temperature", "top_p", "top_k", "min_p")


def read_sampling(given: Mapping[str, Any], defaults: Sampling | None = None) -> Sampling:
    """The sampling that a request's settings ask for, over an assistant's `defaults`.

    None counts as not given. Raises InvalidRequest for a setting without effect or a contradiction.
    """
    asked = {name: value for name, value in given.items() if value is not None}
    _refuse(asked)
    if asked.get("do_sample") is False:
        greedy = msgspec.structs.replace(
            defaults or Sampling(), temperature=0.0, top_p=None, top_k=None, min_p=None
        )
        return _replaced(greedy, asked)
    return _replaced(defaults or Sampling(), asked)


def _replaced(sampling: Sampling, asked: Mapping[str, Any]) -> Sampling:
    names = set(Sampling.__struct_fields__)
    own = {name: value for name, value in asked.items() if name in names}
    if "stop" in own:
        own["stop"] = (own["stop"],) if isinstance(own["stop"], str) else tuple(own["stop"])
    return msgspec.structs.replace(sampling, **own)


def _refuse(asked: Mapping[str, Any]) -> None:
    if asked.get("do_sample") is False:
        for name in _NARROWING:
            _refuse_if(
                name in asked and not (name == "temperature" and asked[name] == 0),
                name,
                "has no effect with do_sample=false: the likeliest token is always taken",
            )
    if asked.get("temperature") == 0:
        _refuse_if(
            asked.get("do_sample") is True,
            "do_sample",
            "contradicts temperature 0: nothing is drawn then",
        )
        for name in _NARROWING[1:]:
            _refuse_if(
                name in asked and asked[name] not in (0, 1),
                name,
                "has no effect with temperature 0: the likeliest token is always taken",
            )
    beams = asked.get("num_beams", 1)
    _refuse_if(beams > 1, "num_beams", "above 1 cannot be streamed: beams change what was written")
    _refuse_if(
        "early_stopping" in asked,
        "early_stopping",
        "has no effect with num_beams=1: it is a setting of beam search",
    )
    _refuse_if(
        asked.get("use_cache") is False,
        "use_cache",
        "false would read the whole prompt again for every token; the cache is always used",
    )


def _refuse_if(wrong: bool, name: str, why: str) -> None:
    if wrong:
        raise InvalidRequest(f"{name} {why}", param=name)
