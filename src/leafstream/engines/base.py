"""The Protocol that every engine keeps; tests/contract holds each of them to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Literal, Protocol, runtime_checkable

import msgspec

from leafstream.events import Usage
from leafstream.messages import Messages
from leafstream.sampling import Sampling
from leafstream.schema import Schema

CLOSED = "the engine is closed"


class Prompt(msgspec.Struct, frozen=True):
    """Messages under the model's own chat template, ready for the assistant's turn.

    `tokens` are the ids where the engine takes ids; `num_tokens` is exact unless `estimated`.
    """

    messages: Messages
    num_tokens: int
    tokens: tuple[int, ...] = ()
    estimated: bool = False


class Prefix(msgspec.Struct, frozen=True):
    """What the model has written of this turn.

    `tokens` are its own ids for exactly `text`, or () where they are not known: then the engine
    tokenizes the text, and what follows may differ from what would have followed unbroken.
    """

    text: str = ""
    tokens: tuple[int, ...] = ()


class Generation(msgspec.Struct, frozen=True):
    """One request to an engine: go on after `prefix` for at most `max_tokens` more tokens.

    `key` names the conversation, so that an engine can reuse what it holds of it.
    """

    prompt: Prompt
    max_tokens: int
    sampling: Sampling = Sampling()
    schema: Schema | None = None
    prefix: Prefix = Prefix()
    key: str | None = None


class Chunk(msgspec.Struct, frozen=True, gc=False):
    """A piece of text, whole characters only; `finish` is set on the last chunk and only there.

    `num_tokens` were written for it; `tokens` are their ids, or () where not all are known.
    """

    text: str
    num_tokens: int = 0
    tokens: tuple[int, ...] = ()
    finish: Literal["stop", "length"] | None = None
    usage: Usage | None = None
    cached_tokens: int = 0
    """Of the prompt, so many were not read again; told from the first chunk on."""


class Standing(msgspec.Struct, frozen=True):
    """How a server that writes for an engine stands: how many generations it has from here, and
    whether it is out, with the reason.
    """

    url: str
    busy: int
    out: bool
    reason: str = ""


class Engine(Protocol):
    """A model that writes. `slots` is how many generations run at once; the caller queues the rest.

    Every failure is an EngineError. An engine is used from one event loop.
    """

    @property
    def model(self) -> str: ...

    @property
    def context_window(self) -> int: ...

    @property
    def slots(self) -> int: ...

    @property
    def settings(self) -> Mapping[str, str]:
        """The fields of Sampling that it honours, with its own names; others never reach it."""
        ...

    @property
    def outage(self) -> str:
        """Why nothing can be generated just now, for whoever asks; "" where something can."""
        ...

    @property
    def standings(self) -> tuple[Standing, ...]:
        """The servers that write for it; () where it writes in this process."""
        ...

    async def prompt(self, messages: Messages, template: str | None = None) -> Prompt:
        """The messages under the chat template, counted. Control tokens in them are text.

        `template` is Jinja instead of the model's own; raises EngineRefused where the engine
        cannot apply it.
        """
        ...

    async def count(self, text: str) -> int:
        """The number of tokens of a piece of the model's output."""
        ...

    async def constrains(self, schema: Schema) -> bool:
        """Whether the engine's grammar admits only text that is JSON of this schema's shape.

        Raises UnsupportedSchema where the grammar would be too large to generate under.
        """
        ...

    def generate(self, generation: Generation) -> AsyncGenerator[Chunk, None]:
        """Stream the completion. Closing it cancels, and returns when the slot is free."""
        ...

    async def close(self) -> None:
        """Let everything go; generations in flight end with EngineUnavailable."""
        ...


@runtime_checkable
class Legible(Protocol):
    """An engine that can show the text of a prompt, token by token."""

    async def legible(self, messages: Messages, template: str | None = None) -> list[str]:
        """The prompt's tokens as text; "" for those that are not a character's last."""
        ...
