"""What llama.cpp's completion endpoint takes and sends, and its errors as ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal

import msgspec

from leafstream.errors import EngineError, EngineRefused
from leafstream.events import Usage


class _LogProb(msgspec.Struct, frozen=True):
    """JSON has no word for what is not finite: llama.cpp writes null."""

    id: int
    logprob: float | None = None


class _LogProbs(msgspec.Struct, frozen=True):
    content: list[_LogProb]


class Choice(msgspec.Struct, frozen=True):
    text: str = ""
    logprobs: _LogProbs | None = None
    finish_reason: Literal["stop", "length"] | None = None


class _PromptDetails(msgspec.Struct, frozen=True):
    cached_tokens: int = 0


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _PromptDetails = _PromptDetails()


class _Error(msgspec.Struct, frozen=True):
    message: str = "no reason given"
    type: str = ""


class _Timings(msgspec.Struct, frozen=True):
    predicted_n: int = 0
    cache_n: int = 0


class Part(msgspec.Struct, frozen=True):
    choices: list[Choice] = []
    usage: _Usage | None = None
    timings: _Timings = _Timings()
    error: _Error | None = None


decode_part = msgspec.json.Decoder(Part).decode


def is_progress(raw: str) -> bool:
    """Whether a chunk tells only how much of the prompt is read; quotes in a text are escaped."""
    return '"prompt_progress":' in raw


def told_usage(usage: _Usage | None, opened: int) -> Usage | None:
    """`opened` tokens of the answer were read with the prompt."""
    if usage is None:
        return None
    cached = usage.prompt_tokens_details.cached_tokens
    return Usage(usage.prompt_tokens - opened, usage.completion_tokens + opened, cached)


def is_finite(part: Part) -> bool:
    """Whether the probabilities told, where there are any, are numbers."""
    told = [choice.logprobs.content for choice in part.choices if choice.logprobs]
    return all(item.logprob is not None for content in told for item in content)


def refusal(error: _Error) -> EngineError:
    if error.type in ("invalid_request_error", "exceed_context_size_error"):
        return EngineRefused(f"llama.cpp refuses the request: {error.message}")
    return EngineError(f"llama.cpp failed: {error.message}")


@contextlib.contextmanager
def engine_errors() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise EngineRefused(f"llama.cpp refuses the request: {error}") from None
    except RuntimeError as error:
        raise EngineError(f"llama.cpp failed: {error}") from None


def whole_pieces(told: list[str | list[int]]) -> list[str]:
    """Tokens as text, of which llama.cpp tells the bytes where they are no whole characters."""
    pieces, begun = [], b""
    for piece in told:
        begun += piece.encode() if isinstance(piece, str) else bytes(piece)
        try:
            text, begun = begun.decode(), b""
        except UnicodeDecodeError:
            text = ""
        pieces.append(text)
    return pieces
