"""A response as an object: what was asked of it and how far it is, from the log alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from leafstream.decoder.transcript import Transcript
from leafstream.events import Cancelled, Event, Failed, Finished, Queued, Usage
from leafstream.faces.openai.items import output_message
from leafstream.log import Opening
from leafstream.messages import Messages
from leafstream.pointer import Json

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """What this face keeps with an answer, so that any process can show it again.

    `turns` are the conversation up to the answer, without the instructions.
    """

    model: str
    typed: bool
    turns: Messages
    format: dict[str, Json]
    kind: Literal["responses"] = "responses"
    stream: bool = False
    store: bool = True
    instructions: str | None = None
    previous_response_id: str | None = None
    metadata: dict[str, str] = {}
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    truncation: Literal["auto", "disabled"] = "disabled"
    identifiers: dict[str, str] = {}

    def face(self) -> dict[str, Json]:
        made: dict[str, Json] = msgspec.to_builtins(self)
        return {**made, "kind": self.kind}

    @classmethod
    def of(cls, opening: Opening) -> Kept | None:
        """None where the answer was asked for through another face."""
        face = opening.ask.face
        return msgspec.convert(face, cls) if face.get("kind") == "responses" else None


def response_id(answer: str) -> str:
    return "resp_" + answer.removeprefix("ans_")


def answer_id(response: str) -> str:
    """The answer behind a response's id; of any other text an id that no answer has."""
    return "ans_" + response.removeprefix("resp_") if response.startswith("resp_") else ""


def item_id(answer: str) -> str:
    return "msg_" + answer.removeprefix("ans_")


class Snapshots:
    """The objects of one response; what stays the same is made once."""

    def __init__(self, opening: Opening, kept: Kept) -> None:
        ask = opening.ask
        self.typed = kept.typed
        self.item = item_id(opening.id)
        self._base: dict[str, Any] = {
            "id": response_id(opening.id),
            "object": "response",
            "created_at": int(opening.created),
            "status": "queued",
            "background": ask.background,
            "error": None,
            "incomplete_details": None,
            "instructions": kept.instructions,
            "max_output_tokens": kept.max_output_tokens,
            "max_tool_calls": None,
            "metadata": kept.metadata,
            "model": kept.model,
            "output": [],
            "parallel_tool_calls": False,
            "previous_response_id": kept.previous_response_id,
            "conversation": {"id": ask.conversation} if ask.conversation else None,
            "reasoning": {"effort": None, "summary": None},
            "service_tier": "default",
            "store": kept.store,
            "temperature": kept.temperature,
            "text": {"format": kept.format},
            "tool_choice": "none",
            "tools": [],
            "top_logprobs": 0,
            "top_p": kept.top_p,
            "truncation": kept.truncation,
            "usage": None,
            "user": None,
            **kept.identifiers,
        }

    def of(self, events: Sequence[Event]) -> dict[str, Any]:
        """The response after `events`, which are all so far."""
        if not events:
            return self.begun("queued")
        transcript = Transcript(typed=self.typed)
        last = events[-1]
        for event in events[:-1] if isinstance(last, Finished) else events:
            transcript.feed(event)
        if isinstance(last, Finished):
            return self.finished(last)
        if isinstance(last, Failed | Cancelled):
            return self.ended(last, transcript.text)
        if transcript.text:
            return self._with("in_progress", transcript.text)
        is_waiting = isinstance(last, Queued)
        return self.begun("queued" if is_waiting else "in_progress")

    def begun(self, status: Status) -> dict[str, Any]:
        return {**self._base, "status": status}

    def finished(self, event: Finished) -> dict[str, Any]:
        text = Transcript(typed=self.typed).feed(event)
        is_whole = event.finish == "stop"
        response = self._with("completed" if is_whole else "incomplete", text)
        response["usage"] = usage(event.usage)
        if not is_whole:
            # An answer that went in circles was cut as one that was too long.
            response["incomplete_details"] = {"reason": "max_output_tokens"}
        return response

    def ended(self, event: Failed | Cancelled, text: str) -> dict[str, Any]:
        """A response that has no answer, with what there was of one."""
        status: Status = "cancelled" if isinstance(event, Cancelled) else "failed"
        response = self._with(status, text) if text else self.begun(status)
        response["error"] = _error(event)
        return response

    def _with(self, status: Status, text: str) -> dict[str, Any]:
        of_item: Literal["completed", "in_progress", "incomplete"] = (
            status if status in ("completed", "in_progress") else "incomplete"
        )
        return {
            **self._base,
            "status": status,
            "output": [output_message(self.item, text, of_item)],
        }


def _error(event: Failed | Cancelled) -> dict[str, str]:
    """Its code is one of those that the API's schema lists."""
    if isinstance(event, Cancelled):
        return {"code": "server_error", "message": f"cancelled: {event.reason}"}
    codes = {"prompt_too_long": "invalid_prompt", "overloaded": "rate_limit_exceeded"}
    code = codes.get(event.code, "server_error")
    return {"code": code, "message": f"{event.code}: {event.message}"}


def usage(used: Usage) -> dict[str, Any]:
    return {
        "input_tokens": used.prompt_tokens,
        "input_tokens_details": {"cached_tokens": used.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": used.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": used.prompt_tokens + used.completion_tokens,
    }
