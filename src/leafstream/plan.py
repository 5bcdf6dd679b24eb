"""The token budget: what fits, what is dropped so that it fits, and what is told of it."""

from __future__ import annotations

import msgspec

from leafstream.errors import InvalidRequest, PromptTooLong
from leafstream.events import Plan
from leafstream.messages import Messages


class Budget(msgspec.Struct, frozen=True):
    """What an answer asks of the context; counts are tokens. `least` is what its schema needs."""

    context_window: int
    requested: int | None
    least: int

    def fits(self, prompt_tokens: int) -> bool:
        return prompt_tokens + self.wanted <= self.context_window

    @property
    def wanted(self) -> int:
        """Turns are dropped until this much is free: what was asked for, up to half the window."""
        half = self.context_window // 2
        return max(self.least, min(self.requested or half, half))

    def check_request(self) -> None:
        """Raises InvalidRequest for a `max_tokens` in which no valid answer can be written."""
        if self.requested is not None and self.requested < self.least:
            raise InvalidRequest(
                f"max_tokens is {self.requested}, but the shortest answer of this type takes "
                f"{self.least} tokens",
                param="max_tokens",
            )

    def plan(self, prompt_tokens: int, *, dropped_turns: int, estimated: bool) -> Plan:
        """The plan for a prompt from which nothing more can be dropped. Raises PromptTooLong."""
        room = self.context_window - prompt_tokens
        if room < max(self.least, 1):
            raise PromptTooLong(
                f"the prompt takes {prompt_tokens} tokens and the answer at least "
                f"{max(self.least, 1)}; the context window is {self.context_window}",
                details={
                    "prompt_tokens": prompt_tokens,
                    "min_tokens": self.least,
                    "context_window": self.context_window,
                },
            )
        return Plan(
            prompt_tokens=prompt_tokens,
            max_tokens=min(self.requested or room, room),
            context_window=self.context_window,
            dropped_turns=dropped_turns,
            clamped_from=self.requested if self.requested and self.requested > room else None,
            min_tokens=self.least,
            estimated=estimated,
        )


def droppable(messages: Messages) -> list[int]:
    """How many messages may be dropped, in order: 0, then whole pairs from the oldest on.

    The system turn and the last user turn always stay.
    """
    start = 1 if messages and messages[0].role == "system" else 0
    later = range(start + 1, len(messages))
    return [0, *(index - start for index in later if messages[index].role == "user")]


def without_oldest(messages: Messages, count: int) -> Messages:
    """The messages less the `count` oldest turns after the system turn."""
    start = 1 if messages and messages[0].role == "system" else 0
    return messages[:start] + messages[start + count :]
