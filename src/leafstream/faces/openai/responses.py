"""`/v1/responses`: answers that are kept, gone on from, followed again and cancelled."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from starlette.requests import Request
from starlette.responses import Response

from leafstream.ask import Ask
from leafstream.decoder.transcript import Transcript
from leafstream.errors import Conflict, InvalidRequest, NotFound
from leafstream.events import Cancelled, Event, Failed, Finished
from leafstream.faces.body import answer_json
from leafstream.faces.openai.bodies import ResponsesRequest, read_request
from leafstream.faces.openai.input_items import Page, list_items
from leafstream.faces.openai.items import prompt_turns, read_input
from leafstream.faces.openai.refusals import RESPONSES, refuse
from leafstream.faces.openai.sequence import Sequence
from leafstream.faces.openai.snapshot import Kept, Snapshots, answer_id, item_id
from leafstream.faces.openai.wanted import Wanted, read_wanted
from leafstream.faces.parts import Parts, owner
from leafstream.log import Entry, Opening
from leafstream.messages import Message, Messages
from leafstream.sampling import read_sampling


class Responses:
    """The requests of these routes, over the parts that the app was built from."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.settings

    async def create(self, request: Request, key: str | None) -> Response:
        limit = self._settings.max_body_bytes
        asked = await read_request(request, ResponsesRequest, RESPONSES, limit)
        asked.check()
        given = asked.text.format if asked.text else None
        wanted = await read_wanted(self._parts, asked.model, given, "text.format")
        kept = await self._kept(asked, wanted, owner(request))
        answer = await self._parts.runs.start(self._ask(asked, wanted, kept, owner(request)), key)
        opening = await self._parts.log.opening(answer)
        if asked.stream:
            response = self._stream(opening, kept, -1)
        elif asked.background:
            response = await self._shown(opening, kept)
        else:
            response = await self._whole(request, opening, kept)
        response.headers["Leafstream-Answer"] = answer
        return response

    async def _kept(self, asked: ResponsesRequest, wanted: Wanted, by: str) -> Kept:
        turns = read_input(asked.input)
        if asked.previous_response_id is not None:
            turns = (*await self._turns_of(asked.previous_response_id, by), *turns)
        return Kept(
            model=wanted.model,
            typed=wanted.typed,
            turns=turns,
            format=wanted.format,
            stream=bool(asked.stream),
            store=asked.store is not False,
            instructions=asked.instructions,
            previous_response_id=asked.previous_response_id,
            metadata=asked.metadata or {},
            temperature=asked.temperature,
            top_p=asked.top_p,
            max_output_tokens=asked.max_output_tokens,
            truncation=asked.truncation or "disabled",
            identifiers=asked.identifiers(),
        )

    def _ask(self, asked: ResponsesRequest, wanted: Wanted, kept: Kept, by: str) -> Ask:
        instructions = [*wanted.instructions, asked.instructions or ""]
        messages = prompt_turns(instructions, kept.turns, "input")
        if asked.conversation_id is not None and sum(m.role != "system" for m in messages) > 1:
            raise InvalidRequest("with a conversation, give one user's turn", param="input")
        return Ask(
            messages=messages,
            assistant=wanted.assistant,
            schema=wanted.schema,
            max_tokens=asked.max_output_tokens,
            sampling=read_sampling(asked.settings(), wanted.sampling),
            conversation=asked.conversation_id,
            soft_landing=self._settings.soft_landing,
            background=bool(asked.background),
            owner=by,
            trim=kept.truncation == "auto",
            rewrite=not asked.stream,
            face=kept.face(),
        )

    async def _turns_of(self, previous: str, by: str) -> Messages:
        """The turns of an earlier response and its answer. Raises InvalidRequest."""
        param = "previous_response_id"
        try:
            opening, kept = await self._found(previous, by)
        except NotFound:
            raise InvalidRequest(f"there is no response {previous!r}", param=param) from None
        if opening.ask.conversation is not None:
            raise InvalidRequest(
                f"that response belongs to the conversation {opening.ask.conversation!r}: "
                "give it as conversation",
                param=param,
            )
        last = await self._last(opening.id)
        if not isinstance(last, Finished):
            raise InvalidRequest(f"the response {previous!r} has no answer", param=param)
        text = Transcript(typed=kept.typed).feed(last)
        return (*kept.turns, Message("assistant", text))

    async def _found(self, response: str, by: str) -> tuple[Opening, Kept]:
        """Raises NotFound where there is none of this owner that was stored."""
        missing = NotFound(f"there is no response {response!r}, or it is kept no longer")
        try:
            opening = await self._parts.runs.opening(answer_id(response), by)
        except NotFound:
            raise missing from None
        kept = Kept.of(opening)
        if kept is None or not kept.store:
            raise missing
        return opening, kept

    async def retrieve(self, request: Request, response: str) -> Response:
        opening, kept = await self._found(response, owner(request))
        return await self._shown(opening, kept)

    async def input_items(self, request: Request, response: str, page: Page) -> Response:
        """The turns before the answer; those of a conversation are kept with the conversation."""
        opening, kept = await self._found(response, owner(request))
        return answer_json(list_items(item_id(opening.id), kept.turns, page))

    async def delete(self, request: Request, response: str) -> Response:
        """Delete a response and its events for good; one that runs is ended first."""
        opening, _ = await self._found(response, owner(request))
        with suppress(Conflict):  # it is over
            await self._parts.runs.cancel(opening.id)
        await self._parts.log.delete(opening.id)
        return answer_json({"id": response, "object": "response", "deleted": True})

    async def follow(self, request: Request, response: str, after: int) -> Response:
        """The stream again, after a sequence number."""
        opening, kept = await self._found(response, owner(request))
        if not kept.stream:
            raise InvalidRequest(
                "only a response that was created with stream=true is streamed", param="stream"
            )
        return self._stream(opening, kept, after)

    async def cancel(self, request: Request, response: str) -> Response:
        opening, kept = await self._found(response, owner(request))
        if not isinstance(await self._last(opening.id), Cancelled):
            await self._parts.runs.cancel(opening.id)
        return await self._shown(opening, kept)

    async def _last(self, answer: str) -> Event | None:
        events = await self._parts.log.events(answer)
        return events[-1] if events else None

    async def _shown(self, opening: Opening, kept: Kept) -> Response:
        events = await self._parts.log.events(opening.id)
        return answer_json(Snapshots(opening, kept).of(events))

    async def _whole(self, request: Request, opening: Opening, kept: Kept) -> Response:
        last = await self._parts.last(opening.id, request)
        if last is None:
            return Response(status_code=499)  # nobody reads it
        if isinstance(last, Failed):
            return refuse(request, last)
        return await self._shown(opening, kept)

    def _stream(self, opening: Opening, kept: Kept, after: int) -> Response:
        sequence = Sequence(Snapshots(opening, kept), after)
        return self._parts.send(self._frames(opening.id, sequence))

    async def _frames(self, answer: str, sequence: Sequence) -> AsyncGenerator[bytes, None]:
        read = 0
        if sequence.is_behind():
            # One by one, so that no delta holds what the client has and what it has not.
            for read, event in enumerate(await self._parts.log.events(answer), 1):
                if frames := sequence.frames(Entry(read, event)):
                    yield b"".join(frames)
                if not sequence.is_behind():
                    break
        reading = self._parts.read(answer, read, self._settings.heartbeat_seconds)
        async with aclosing(reading) as batches:
            async for batch in batches:
                frames = [frame for entry in batch for frame in sequence.frames(entry)]
                if frames or not batch:
                    yield b"".join(frames)
