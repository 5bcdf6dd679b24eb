"""A fake engine that plays a script: public, for tests and for trying a client without a model.

It counts a token per four characters, honours `max_tokens` and prefixes as a real engine does, and
can be told to wait, to fail and to cap its answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

import msgspec

from leafstream.engines.base import Chunk, Generation, Prompt, Standing
from leafstream.errors import EngineError
from leafstream.events import Usage
from leafstream.messages import Messages
from leafstream.prompt import ChatTemplate
from leafstream.sampling import Sampling
from leafstream.schema import Schema

Script = str | Sequence[str] | Callable[[Generation], str | Sequence[str]]
"""What to write: text (cut into tokens of four characters) or the tokens themselves."""


KEPT = 100
"""So many generations are kept."""


class Play(msgspec.Struct, frozen=True):
    """How the script is played.

    `delay` seconds lie between chunks of `burst` tokens (None: the loop is never yielded to; an
    engine that is faster than its reader hands over what has piled up). `fail_after` raises
    `failure` after that many tokens of each generation. `cap` ends every generation with "length"
    after so many tokens, as engines with a limit of their own do.
    """

    delay: float | None = 0.0
    fail_after: int | None = None
    failure: Exception = EngineError("the script says fail")
    cap: int | None = None
    burst: int = 1
    slots: int = 4
    context_window: int = 2048
    constrains: bool = True
    settings: tuple[str, ...] = Sampling.__struct_fields__


class ScriptedEngine:
    """Writes `script` token by token, as `play` says; `generations` are the last asked."""

    model = "scripted"
    outage = ""
    standings: tuple[Standing, ...] = ()

    def __init__(self, script: Script = "", play: Play | None = None) -> None:
        self._script = script
        # One copy for all generations: thousands of them may be open.
        self._tokens: Sequence[str] = () if callable(script) else _split(script)
        self._play = play or Play()
        self.running = 0
        self.generations: list[Generation] = []

    @property
    def context_window(self) -> int:
        return self._play.context_window

    @property
    def slots(self) -> int:
        return self._play.slots

    @property
    def settings(self) -> Mapping[str, str]:
        return {name: name for name in self._play.settings}

    async def prompt(self, messages: Messages, template: str | None = None) -> Prompt:
        num_tokens = sum(2 + len(tokens_of(message.content)) for message in messages)
        if template is not None:
            num_tokens = len(tokens_of(ChatTemplate(template).render(messages)))
        return Prompt(messages=messages, num_tokens=num_tokens)

    async def count(self, text: str) -> int:
        return len(tokens_of(text))

    async def constrains(self, schema: Schema) -> bool:  # noqa: ARG002
        return self._play.constrains

    async def generate(self, generation: Generation) -> AsyncGenerator[Chunk, None]:
        self.generations.append(generation)
        del self.generations[:-KEPT]
        self.running += 1
        try:
            rest = self._rest(generation)
            allowed = min(generation.max_tokens, self._play.cap or generation.max_tokens)
            for number in range(0, allowed, self._play.burst):
                burst = rest[number : min(number + self._play.burst, allowed)]
                if not burst:
                    break
                if number == self._play.fail_after:
                    raise self._play.failure
                if self._play.delay is not None:
                    await asyncio.sleep(self._play.delay)
                yield Chunk("".join(burst), len(burst), tuple(map(len, burst)))
            usage = Usage(generation.prompt.num_tokens, min(allowed, len(rest)))
            yield Chunk("", finish="length" if len(rest) > allowed else "stop", usage=usage)
        finally:
            self.running -= 1

    def _rest(self, generation: Generation) -> Sequence[str]:
        """The script's tokens after what the prefix holds already."""
        tokens = self._tokens
        if callable(self._script):
            tokens = _split(self._script(generation))
        skip = len(generation.prefix.text)
        if not skip:
            return tokens
        for number, token in enumerate(tokens):
            if skip < len(token):
                return [token[skip:], *tokens[number + 1 :]]
            skip -= len(token)
        return ()

    async def close(self) -> None:
        """Nothing to let go."""


def _split(script: str | Sequence[str]) -> Sequence[str]:
    return tokens_of(script) if isinstance(script, str) else script


def tokens_of(text: str) -> list[str]:
    """The text in tokens of four characters."""
    return [text[i : i + 4] for i in range(0, len(text), 4)]
