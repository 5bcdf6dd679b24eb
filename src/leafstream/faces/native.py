"""leafstream's own HTTP protocol: `/v1/answers` and `/v1/assistants`."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from leafstream.ask import Ask
from leafstream.assistant import Assistant, find
from leafstream.decoder.pace import Pace
from leafstream.decoder.value import fold
from leafstream.errors import Conflict, InvalidRequest
from leafstream.events import Cancelled, Failed, Finished, Queued, Started
from leafstream.faces.body import answer_json, documented, read_model
from leafstream.faces.failures import envelope, refusal
from leafstream.faces.parts import Parts, owner
from leafstream.sampling import SETTINGS, read_sampling


class AnswerRequest(BaseModel):
    """What to answer: an assistant's name or a schema of your own, and the input."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    assistant: str | None = Field(None, description="The name of a declared assistant.")
    answer_schema: dict[str, Any] | None = Field(
        None, alias="schema", description="A JSON Schema of your own instead of an assistant."
    )
    instructions: str | None = Field(None, description="The system turn, with `schema` only.")
    input: dict[str, Any] | str = Field(description="What the assistant's input type asks for.")
    max_tokens: int | None = Field(
        None, ge=1, le=10**9, description="The longest answer, in tokens."
    )
    max_new_tokens: int | None = Field(
        None, ge=1, le=10**9, description="Another name of max_tokens."
    )
    do_sample: bool | None = None
    temperature: float | None = Field(None, ge=0, le=5)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0, le=1_000_000)
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = Field(None, gt=0, le=10)
    no_repeat_ngram_size: int | None = Field(None, ge=2, le=64)
    seed: int | None = Field(None, ge=0, lt=2**32)
    stop: str | list[str] | None = Field(None, description="Texts that end a plain answer.")
    num_beams: int | None = Field(None, ge=1)
    early_stopping: bool | None = None
    use_cache: bool | None = None
    pace: dict[str, Any] | str | None = Field(None, description="Granularity of the text events.")
    conversation: str | None = Field(
        None, description="Go on with this conversation: its turns come before this one."
    )
    background: bool = Field(False, description="Go on when nobody reads.")

    def limit(self) -> int | None:
        """Raises InvalidRequest where the two names of the limit differ."""
        if self.max_tokens and self.max_new_tokens and self.max_tokens != self.max_new_tokens:
            raise InvalidRequest(
                "max_tokens and max_new_tokens are one setting", param="max_new_tokens"
            )
        return self.max_tokens or self.max_new_tokens

    def settings(self) -> dict[str, Any]:
        """The generation settings, as they were given."""
        return self.model_dump(include={setting.name for setting in SETTINGS})


class Native:
    """The requests of this face, over the parts that the app was built from."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.settings

    async def ask(self, request: Request, key: str | None) -> Response:
        asked = await read_model(request, AnswerRequest, self._settings.max_body_bytes)
        answer = await self._parts.runs.start(self._ask(asked, owner(request)), key)
        if _wants_stream(request):
            return self._stream(answer, 0)
        response = await self._whole(request, answer)
        response.headers["Leafstream-Answer"] = answer
        return response

    def _ask(self, asked: AnswerRequest, by: str) -> Ask:
        assistant = self._assistant(asked)
        given = assistant.given(asked.input) if isinstance(asked.input, str) else asked.input
        return Ask(
            messages=assistant.messages(given),
            assistant=asked.assistant,
            schema=asked.answer_schema,
            max_tokens=asked.limit(),
            sampling=read_sampling(asked.settings(), assistant.sampling),
            pace=assistant.pace if asked.pace is None else Pace.parse(asked.pace),
            conversation=asked.conversation,
            soft_landing=self._settings.soft_landing,
            background=asked.background,
            owner=by,
        )

    def _assistant(self, asked: AnswerRequest) -> Assistant:
        if (asked.assistant is None) == (asked.answer_schema is None):
            raise InvalidRequest("give either 'assistant' or 'schema'", param="assistant")
        if asked.answer_schema is not None:
            if not self._settings.inline_schemas:
                raise InvalidRequest("this server takes no schemas of callers", param="schema")
            # Only its turns are needed here; the schema is parsed where the answer is begun.
            return Assistant(instructions=asked.instructions or "")
        if asked.instructions is not None:
            raise InvalidRequest("'instructions' goes with 'schema' only", param="instructions")
        return find(self._parts.assistants, asked.assistant or "")

    async def follow(self, request: Request, answer: str, after: int | None) -> Response:
        await self._parts.runs.opening(answer, owner(request))
        if after is None:
            after = _last_event_id(request)
        if after and await self._parts.is_over(answer, after):
            return Response(status_code=204)  # the one status at which EventSource stops
        return self._stream(answer, after)

    def _stream(self, answer: str, after: int) -> Response:
        response = self._parts.stream(answer, after)
        response.headers["Leafstream-Answer"] = answer
        return response

    async def _whole(self, request: Request, answer: str) -> Response:
        """Waits for the end; a failed answer has the status it would have had before it began."""
        last = await self._parts.last(answer, request)
        if last is None:
            return Response(status_code=499)  # nobody reads it
        if isinstance(last, Failed):
            refused = refusal(request, last)
            error = envelope(last.code, last.message, None, id=answer, **last.details)
            return answer_json(error, refused.status, refused.headers)
        if isinstance(last, Cancelled):
            raise Conflict(f"the answer was cancelled: {last.reason}")
        return answer_json(await self.state(answer, owner(request)))

    async def state(self, answer: str, by: str) -> dict[str, Any]:
        """What GET /v1/answers/{id} shows: the state, the value so far, and how it ended."""
        ask = (await self._parts.runs.opening(answer, by)).ask
        events = await self._parts.log.events(answer)
        last = events[-1] if events else None
        state: dict[str, Any] = {
            "id": answer,
            "assistant": ask.assistant,
            "conversation": ask.conversation,
            "state": "writing",
            "last_event_id": len(events),
            "value": fold(events),
        }
        begun = next((event for event in events if isinstance(event, Started)), None)
        if begun is not None:
            state |= {"model": begun.model, "plan": begun.plan}
        if isinstance(last, Queued):
            state |= {"state": "queued", "position": last.position}
        if isinstance(last, Finished | Failed | Cancelled):
            state |= {"state": last.kind, **msgspec.structs.asdict(last)}
        return state

    async def cancel(self, answer: str, by: str) -> dict[str, Any]:
        await self._parts.runs.opening(answer, by)
        await self._parts.runs.cancel(answer)
        return await self.state(answer, by)

    def list_assistants(self) -> dict[str, Any]:
        return {"data": [self.describe(name) for name in self._parts.assistants]}

    def describe(self, name: str) -> dict[str, Any]:
        assistant = find(self._parts.assistants, name)
        return {
            "name": name,
            "instructions": assistant.instructions,
            "input_schema": assistant.input_schema,
            "text_field": assistant.text_field,
            "answer_schema": assistant.schema.source if assistant.schema else None,
        }


LARGEST_NUMBER = 2**53 - 1
"""Of an event: what JavaScript and every database can count to."""

_ERROR = {"description": 'Refused: {"error": {"code", "message", "param"}}'}
_REFUSALS: dict[int | str, dict[str, Any]] = dict.fromkeys((400, 404, 409, 413, 422, 503), _ERROR)


def router(parts: Parts) -> APIRouter:
    native = Native(parts)
    routes = APIRouter(prefix="/v1", tags=["answers"], responses=_REFUSALS)

    @routes.post("/answers", openapi_extra=documented(AnswerRequest))
    async def ask(
        request: Request, idempotency_key: Annotated[str | None, Header(max_length=255)] = None
    ) -> Response:
        """Start an answer and stream its events, or wait for it where Accept asks for JSON."""
        return await native.ask(request, idempotency_key)

    @routes.get("/answers/{answer}")
    async def state(request: Request, answer: str) -> Response:
        """The state of an answer and its value so far."""
        return answer_json(await native.state(answer, owner(request)))

    @routes.get("/answers/{answer}/events")
    async def follow(
        request: Request,
        answer: str,
        after: Annotated[int | None, Query(ge=0, le=LARGEST_NUMBER)] = None,
    ) -> Response:
        """Replay an answer's events after a number and follow it to its end.

        204 where nothing follows: the answer ended there.
        """
        return await native.follow(request, answer, after)

    @routes.post("/answers/{answer}/cancel")
    async def cancel(request: Request, answer: str) -> Response:
        """End a running answer."""
        return answer_json(await native.cancel(answer, owner(request)))

    @routes.get("/assistants")
    async def assistants() -> Response:
        """The declared assistants with their input and answer types."""
        return answer_json(native.list_assistants())

    @routes.get("/assistants/{name}")
    async def assistant(name: str) -> Response:
        """One assistant."""
        return answer_json(native.describe(name))

    return routes


def _last_event_id(request: Request) -> int:
    """Raises InvalidRequest where it is no number of an event."""
    given = request.headers.get("last-event-id", "") or "0"
    digits = given if given.isascii() and given.isdigit() else ""
    # Its length first: Python refuses to read a number of thousands of digits.
    if not digits or len(digits) > len(str(LARGEST_NUMBER)) or int(digits) > LARGEST_NUMBER:
        raise InvalidRequest("Last-Event-ID is not a number of an event", param="Last-Event-ID")
    return int(digits)


def _wants_stream(request: Request) -> bool:
    return "text/event-stream" in request.headers.get("accept", "")
