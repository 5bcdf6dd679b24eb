"""The events of an answer: the one union that the log keeps and every face speaks.

Events are numbered per answer from 1 without gaps. Exactly one terminal event
(Finished, Failed or Cancelled) ends an answer, and it is the last.

Folding rule: a `text` event appends to the string at its path, and makes the containers on the
way. A path token of digits only is an array index, unless a `value` event announced its
container as an object.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from leafstream.pointer import Json

Finish = Literal["stop", "length", "runaway"]
NoticeCode = Literal["continued", "repaired", "trimmed", "runaway_stopped", "taken_over", "retried"]


class Plan(msgspec.Struct, frozen=True, omit_defaults=True):
    """The token budget of an answer; all counts are tokens of the model's own tokenizer."""

    prompt_tokens: int
    max_tokens: int
    context_window: int
    dropped_turns: int = 0
    clamped_from: int | None = None
    min_tokens: int | None = None
    tightened: dict[str, int] | None = None
    estimated: bool = False


class Usage(msgspec.Struct, frozen=True):
    """Tokens read and written; `cached_tokens` of the prompt came from the engine's cache."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


class Timings(msgspec.Struct, frozen=True):
    """Seconds: in the queue, to the first token (from admission), and for the whole answer."""

    queued: float
    first_token: float | None
    total: float


class Started(msgspec.Struct, frozen=True, omit_defaults=True):
    """`sources` are the texts that were found for the question and put into the prompt."""

    kind: ClassVar[str] = "started"
    id: str
    assistant: str | None
    model: str
    plan: Plan
    sources: list[Json] | None = None


class Queued(msgspec.Struct, frozen=True):
    kind: ClassVar[str] = "queued"
    position: int


class TextAppended(msgspec.Struct, frozen=True, gc=False):
    kind: ClassVar[str] = "text"
    path: str
    text: str


class ValueSet(msgspec.Struct, frozen=True):
    kind: ClassVar[str] = "value"
    path: str
    value: Json


class Noticed(msgspec.Struct, frozen=True, omit_defaults=True):
    kind: ClassVar[str] = "notice"
    code: NoticeCode
    message: str
    path: str | None = None


class Finished(msgspec.Struct, frozen=True):
    """The end of an answer that is valid for its type.

    `cut` are the paths that hold less than the model meant to write, `missing` those that
    leafstream filled in; `complete` is true when there are none of either.
    """

    kind: ClassVar[str] = "finished"
    value: Json
    finish: Finish
    complete: bool
    cut: tuple[str, ...]
    missing: tuple[str, ...]
    usage: Usage
    timings: Timings


class Failed(msgspec.Struct, frozen=True, omit_defaults=True):
    """`retry_after` is in seconds, where it is known when to ask again."""

    kind: ClassVar[str] = "failed"
    code: str
    status: int
    message: str
    retryable: bool
    details: dict[str, Json] = {}
    retry_after: float | None = None


class Cancelled(msgspec.Struct, frozen=True):
    kind: ClassVar[str] = "cancelled"
    reason: str


Terminal = Finished | Failed | Cancelled
Growth = TextAppended | ValueSet
"""What an answer has many of: what its value grows by."""
Event = Started | Queued | Growth | Noticed | Terminal


_TERMINAL = frozenset({Finished, Failed, Cancelled})


def is_terminal(event: Event) -> bool:
    return type(event) in _TERMINAL  # asked several times a token, and a union is slow to ask


KINDS: dict[str, type[Event]] = {
    cls.kind: cls
    for cls in (
        Started,
        Queued,
        TextAppended,
        ValueSet,
        Noticed,
        Finished,
        Failed,
        Cancelled,
    )
}

_encoder = msgspec.json.Encoder()


def encode(event: Event) -> bytes:
    """The event's data as compact JSON in UTF-8; its kind is not part of it."""
    return _encoder.encode(event)


def decode(kind: str, data: bytes) -> Event:
    """The inverse of `encode`. Raises msgspec.ValidationError or KeyError."""
    return msgspec.json.decode(data, type=KINDS[kind])
