"""An upstream's event stream: bytes in, text out, sans-I/O.

Theory: what one network read brings is one chunk here, however many tokens it holds, and of each
token's JSON only the fields below are decoded. Half an event waits for its rest.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from leafstream.engines.base import Chunk
from leafstream.engines.openai.failures import Source, Told, UpstreamUnavailable, told_error
from leafstream.errors import EngineError, EngineRefused
from leafstream.events import Usage

_MAX_EVENT = 4 << 20
_OTHER_FIELDS = (b":", b"id", b"retry")
_STOPS = frozenset({"stop", "eos", "eos_token", "stop_sequence", "word", "tool_calls", "end_turn"})
_LENGTHS = frozenset({"length", "limit", "max_tokens"})


class _Delta(msgspec.Struct, frozen=True, gc=False):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class _Choice(msgspec.Struct, frozen=True, gc=False):
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None
    token_ids: tuple[int, ...] | None = None


class _Cached(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int | None = 0
    prompt_tokens_details: _Cached | None = None


class _Timings(msgspec.Struct, frozen=True):
    cache_n: int = 0


class _Event(msgspec.Struct, frozen=True):
    """A chunk of a chat, of a completion, or of llama.cpp's own `/completion`."""

    choices: tuple[_Choice, ...] = ()
    usage: _Usage | None = None
    content: str | None = None
    tokens: tuple[int, ...] | None = None
    tokens_predicted: int | None = None
    tokens_evaluated: int = 0
    stop: bool = False
    stop_type: str | None = None
    timings: _Timings | None = None
    error: Any = None
    object: str | None = None


_decode = msgspec.json.Decoder(_Event).decode


class Stream:
    """One answer's events. `feed` gives what a read brought, `end` the last chunk.

    Both raise EngineError for what the upstream says went wrong, and for what is no event stream.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._name = source.name
        self._rest = b""
        self._lines: list[bytes] = []
        self._kind = b""
        self._finish: Literal["stop", "length"] | None = None
        self._usage: Usage | None = None
        self._num_tokens = 0
        self._texts: list[str] = []
        self._ids: list[int] = []
        self._fresh = 0
        self.over = False

    @property
    def num_tokens(self) -> int:
        """How many have come so far, also those that wait for their text."""
        return self._num_tokens + self._fresh

    def feed(self, data: bytes) -> Chunk | None:
        """Everything that these bytes complete, as one chunk; None where that is nothing."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _MAX_EVENT:
            raise UpstreamUnavailable(f"{self._name} sends a line that does not end")
        for line in lines:
            if line.startswith(b"data:"):
                self._lines.append(line[5:])
            elif not line or line == b"\r":
                self._dispatch()
            elif line.startswith(b"event:"):
                self._kind = line[6:].strip()
            elif not line.startswith(_OTHER_FIELDS):
                raise self._strange(line)
        return self._taken()

    def _taken(self) -> Chunk | None:
        if not self._texts:  # tokens of half a character wait for the rest of it
            return None
        text, count = "".join(self._texts), self._fresh
        tokens = tuple(self._ids) if len(self._ids) == count else ()
        self._texts, self._ids, self._fresh = [], [], 0
        self._num_tokens += count
        return Chunk(text, count, tokens)

    def _dispatch(self) -> None:
        lines, self._lines = self._lines, []
        kind, self._kind = self._kind, b""
        if not lines:
            return
        data = lines[0] if len(lines) == 1 else b"\n".join(lines)
        if b"[DONE]" in data[:8]:
            self.over = True
            return
        if kind == b"error":
            raise self._told(data)
        try:
            event = _decode(data)
        except msgspec.MsgspecError:
            raise self._strange(data) from None
        if event.error is not None or event.object == "error":
            raise self._told(data)
        if event.choices:
            self._choice(event.choices[0])
        elif event.content is not None:
            self._native(event)
        if event.usage is not None:
            self._usage = _usage(event.usage)

    def _choice(self, choice: _Choice) -> None:
        delta = choice.delta
        text = choice.text if delta is None else delta.content
        if text:
            self._texts.append(text)
        if choice.token_ids is not None:
            self._ids += choice.token_ids
            self._fresh += len(choice.token_ids)
        elif text or (delta is not None and (delta.reasoning or delta.reasoning_content)):
            self._fresh += 1
        if choice.finish_reason:
            self._finish = self._finished(choice.finish_reason)

    def _native(self, event: _Event) -> None:
        if event.content:
            self._texts.append(event.content)
        predicted = event.tokens_predicted
        count = 1 if predicted is None else predicted - self._num_tokens - self._fresh
        # Of a character of several tokens only the last id is told: then none is known.
        if count and event.tokens and not event.stop:
            self._ids += event.tokens
        self._fresh += max(count, 0)
        if event.stop:
            cached = event.timings.cache_n if event.timings else 0
            self._usage = Usage(event.tokens_evaluated, predicted or self._num_tokens, cached)
            self._finish = self._finished(event.stop_type or "stop")
            self.over = True

    def _finished(self, reason: str) -> Literal["stop", "length"]:
        if reason in _STOPS:
            return "stop"
        if reason in _LENGTHS:
            return "length"
        if reason == "content_filter":
            raise EngineRefused(f"{self._name}'s content filter ended the answer")
        raise UpstreamUnavailable(f"{self._name} ended the answer for the reason {reason!r}")

    def end(self) -> Chunk:
        """The last chunk, with what the count of tokens was short of the upstream's own.

        Raises EngineUnavailable for a stream that ended before its finish reason.
        """
        if self._finish is None:
            raise UpstreamUnavailable(f"{self._name} ended its stream before the answer's end")
        told = self._usage.completion_tokens if self._usage else 0
        short = max(self._fresh, told - self._num_tokens)
        cached = self._usage.cached_tokens if self._usage else 0
        return Chunk("", short, (), self._finish, self._usage, cached)

    def _told(self, data: bytes) -> EngineError:
        try:
            return told_error(self._source, msgspec.json.decode(data, type=Told))
        except msgspec.MsgspecError:
            return UpstreamUnavailable(f"{self._name} failed: {self._source.quoted(data)}")

    def _strange(self, data: bytes) -> EngineError:
        shown = self._source.quoted(data, 80)
        return UpstreamUnavailable(f"{self._name} sends what is no event stream: {shown!r}")


def _usage(usage: _Usage) -> Usage:
    details = usage.prompt_tokens_details
    cached = details.cached_tokens or 0 if details is not None else 0
    return Usage(usage.prompt_tokens, usage.completion_tokens or 0, cached)
