"""Watching answers: what is told of each, once, as it happens, to metrics, traces and records."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any, Protocol

import msgspec

from leafstream.ask import Ask
from leafstream.events import Event, Failed, Finished, Started, is_terminal

logger = logging.getLogger("leafstream.answers")

traceparent: ContextVar[str] = ContextVar("traceparent", default="")
"""The trace that the request belongs to (W3C Trace Context), "" where it names none."""


class Watch(Protocol):
    """Told of one answer. Its methods are called on the event loop and must not wait."""

    def admitted(self, queued: float) -> None:
        """It has a slot after `queued` seconds. Not called where the answer is gone on with."""
        ...

    def wrote(self, num_tokens: int) -> None:
        """Tokens were written. Called for each piece that comes: it must cost next to nothing."""
        ...

    def told(self, event: Event) -> None:
        """An event of this answer other than its texts and values, each once and in order."""
        ...

    def close(self) -> None:
        """This process writes the answer no longer, whether or not it has its terminal event."""
        ...


class Meter(Protocol):
    """Told of everything that a process does."""

    def watch(self, answer: str, ask: Ask) -> Watch:
        """An answer that this process begins to write, or goes on with."""
        ...

    def sent(self, num_bytes: int) -> None:
        """Bytes of a response's body."""
        ...

    def refused(self, code: str) -> None:
        """A request that was answered with an error."""
        ...


class Meters:
    """Several meters as one."""

    def __init__(self, *meters: Meter) -> None:
        self._meters = meters

    def watch(self, answer: str, ask: Ask) -> Watch:
        return Watches(*(meter.watch(answer, ask) for meter in self._meters))

    def sent(self, num_bytes: int) -> None:
        for meter in self._meters:
            meter.sent(num_bytes)

    def refused(self, code: str) -> None:
        for meter in self._meters:
            meter.refused(code)


class Watches:
    """Several watches of one answer as one."""

    def __init__(self, *watches: Watch) -> None:
        self._watches = watches

    def admitted(self, queued: float) -> None:
        for watch in self._watches:
            watch.admitted(queued)

    def wrote(self, num_tokens: int) -> None:
        for watch in self._watches:
            watch.wrote(num_tokens)

    def told(self, event: Event) -> None:
        for watch in self._watches:
            watch.told(event)

    def close(self) -> None:
        for watch in self._watches:
            watch.close()


class AnswerRecords:
    """The answer log: a record where an answer begins and one where it ends.

    What was asked is in it only with `prompts`; what was answered never is. So of a failure there
    is the code alone: its message may quote what is wrong with the answer.
    """

    def __init__(self, *, prompts: bool = False) -> None:
        self._prompts = prompts

    def watch(self, answer: str, ask: Ask) -> Watch:
        told: dict[str, Any] = {"answer": answer, "assistant": ask.assistant}
        if self._prompts:
            told["prompt"] = msgspec.to_builtins(ask.messages)
        return _Record(told)

    def sent(self, num_bytes: int) -> None:
        """The access log says it."""

    def refused(self, code: str) -> None:
        """The access log says it."""


class _Record:
    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told
        self._ended = False

    def admitted(self, queued: float) -> None:
        """The end says how long it waited."""

    def wrote(self, num_tokens: int) -> None:
        """The end says how many there were."""

    def told(self, event: Event) -> None:
        if isinstance(event, Started):
            plan = event.plan
            room = {"prompt_tokens": plan.prompt_tokens, "max_tokens": plan.max_tokens}
            self._say("answer begun", room)
        elif is_terminal(event):
            self._ended = True
            self._say(f"answer {event.kind}", _ending(event))

    def close(self) -> None:
        if not self._ended:
            self._say("answer left to another process", {})

    def _say(self, message: str, more: dict[str, Any]) -> None:
        logger.info(message, extra={"fields": {**self._told, **more}})
        self._told.pop("prompt", None)


def _ending(event: Event) -> dict[str, Any]:
    if isinstance(event, Finished):
        return {
            "finish": event.finish,
            "complete": event.complete,
            "completion_tokens": event.usage.completion_tokens,
            "queued": event.timings.queued,
            "first_token": event.timings.first_token,
            "seconds": event.timings.total,
        }
    if isinstance(event, Failed):
        return {"code": event.code}
    return {"reason": getattr(event, "reason", "")}
