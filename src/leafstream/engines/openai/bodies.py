"""What is written to an upstream: a generation as a path and a body."""

from __future__ import annotations

from typing import Any

import msgspec

from leafstream.engines.base import Generation
from leafstream.engines.dry import no_repeat
from leafstream.engines.grammar import closed
from leafstream.engines.openai.counting import turns
from leafstream.engines.openai.vendors import Body, Vendor, filled
from leafstream.errors import EngineError, EngineRefused
from leafstream.sampling import Sampling

CHAT = "/v1/chat/completions"


class Asked(msgspec.Struct, frozen=True):
    path: str
    body: bytes


class Writer:
    """Writes requests as the vendor wants them; `ignored` settings of sampling are left out."""

    def __init__(self, vendor: Vendor, model: str, ignored: frozenset[str] = frozenset()) -> None:
        self._vendor = vendor
        self._model = model
        self._ignored = ignored

    @property
    def settings(self) -> dict[str, str]:
        """The fields of Sampling that a request may carry, with what becomes of them."""
        ignored = dict.fromkeys(self._ignored, "nothing: left out on purpose")
        dry = {"no_repeat_ngram_size": "dry_allowed_length"} if self._vendor.dry else {}
        return {**self._vendor.sampling, **dry, **ignored}

    def exact(self, generation: Generation, ids: list[int], grammar: str | None) -> Asked:
        """By token ids: the prompt's and those of what is written already."""
        assert self._vendor.exact is not None
        body = self._vendor.exact.body | (self._vendor.grammar if grammar is not None else {})
        holes = {"ids": ids, "grammar": grammar}
        return self._asked(self._vendor.exact.path, body, holes, generation)

    def chat(self, generation: Generation, grammar: str | None) -> Asked:
        """By messages, of which the last is the assistant's where there is a prefix.

        Raises EngineError where the upstream cannot go on with one: asked anew, it may answer.
        """
        written = generation.prefix.text if generation.prefix.text.strip() else ""
        messages: list[Body] = [*turns(generation.prompt.messages)]
        body = self._vendor.chat | self._constraint(generation, grammar, bool(written))
        if written:
            continuing = self._vendor.continuing
            if continuing is None:
                raise EngineError(
                    f"the upstream ({self._vendor.name}) cannot go on with a half-written answer, "
                    "so this answer ends where its stream broke off"
                )
            messages.append({"role": "assistant", "content": written, **continuing.message})
            body = body | continuing.body
        return self._asked(CHAT, body, {"messages": messages, "grammar": grammar,
                                        "schema": _schema(generation)}, generation)  # fmt: skip

    def _constraint(self, generation: Generation, grammar: str | None, begun: bool) -> Body:
        if grammar is not None:
            return self._vendor.grammar
        continuing = self._vendor.continuing
        # A grammar that starts afresh would make the model write its answer a second time.
        if generation.schema is None or (begun and not (continuing and continuing.advances)):
            return {}
        return self._vendor.schema

    def _asked(self, path: str, body: Body, holes: dict[str, Any], generation: Generation) -> Asked:
        told = {"model": self._model, "max_tokens": generation.max_tokens, **holes}
        fields = filled(body, told) | self._sampling(generation.sampling)
        return Asked(path, msgspec.json.encode(fields))

    def _sampling(self, sampling: Sampling) -> Body:
        given = {
            name: value
            for name in Sampling.__struct_fields__
            if (value := getattr(sampling, name)) not in (None, ()) and name not in self._ignored
        }
        fields: Body = {}
        if self._vendor.dry and (size := given.pop("no_repeat_ngram_size", None)) is not None:
            fields = no_repeat(size)
        for name, value in given.items():
            if name not in self._vendor.sampling:
                raise EngineRefused(
                    f"{name} is not served by the upstream ({self._vendor.name}); leave it out, or "
                    f"set LEAFSTREAM_UPSTREAM_IGNORE={name}"
                )
            fields[self._vendor.sampling[name]] = value
        return fields


def _schema(generation: Generation) -> Any:
    return closed(generation.schema.source) if generation.schema is not None else None
