"""The chatbot's endpoints, as its browser page and its Spring server know them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from leafstream.apps.leafresh import page, telling
from leafstream.apps.leafresh.categories import BY_CODE, Category
from leafstream.apps.leafresh.note import describe
from leafstream.apps.leafresh.question import NAME, leafresh
from leafstream.apps.leafresh.refusals import refused
from leafstream.apps.leafresh.retrieval import retrieval
from leafstream.apps.leafresh.sessions import Caller, Session, Sessions
from leafstream.apps.leafresh.telling import Frame, Place, Subject, Telling
from leafstream.apps.leafresh.values import Given, read_base_info, read_free_text
from leafstream.ask import Ask
from leafstream.errors import LeafstreamError, NotFound
from leafstream.faces import sse
from leafstream.faces.body import answer_json
from leafstream.faces.failures import refusal
from leafstream.faces.parts import Parts, owner
from leafstream.log import Batch
from leafstream.messages import Message

First = Callable[[Request, Given], Awaitable[Response]]


class Chatbot:
    """The requests of this face, over the parts that the app was built from."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._sessions = Sessions(parts.store)
        self._retrieval = retrieval()  # loaded now, and not while the first question waits

    async def base_info(self, request: Request, given: Given) -> Response:
        session_id, situation = read_base_info(given)
        caller = Caller(owner(request), session_id)
        session = await self._sessions.begin(caller, situation.category)
        return await self._ask(request, session, situation.category, situation.text)

    async def free_text(self, request: Request, given: Given) -> Response:
        session_id, message = read_free_text(given)
        said = self._retrieval.wording.read(message)
        if not said.on_topic:
            return _whole(telling.off_topic())
        session = await self._sessions.find(Caller(owner(request), session_id))
        category = session.wanted(said)
        response = await self._ask(request, session, category, message)
        await self._sessions.switch(session, category)
        return response

    async def _ask(
        self, request: Request, session: Session, category: Category, question: str
    ) -> Response:
        ask = Ask(
            messages=(Message("system", leafresh.instructions), Message("user", question)),
            assistant=NAME,
            sampling=leafresh.sampling,
            conversation=session.conversation,
            soft_landing=self._parts.settings.soft_landing,
            owner=owner(request),
            # The session's category is not in the question.
            grounds=self._retrieval.grounds(question, category),
            face={NAME: category.code},
        )
        try:
            answer = await self._parts.runs.start(ask)
        except LeafstreamError:
            await self._sessions.take_back(session)
            raise
        return self._stream(Place(answer, 0), ask)

    async def resume(self, request: Request, last_event_id: str) -> Response:
        """What follows a frame. Raises NotFound where its answer is not known any more."""
        place = Place.parse(last_event_id)
        if place is None:
            raise NotFound(f"{last_event_id!r} is no id of an event", param="Last-Event-ID")
        if place.told is None:
            return Response(status_code=204)  # the one status at which EventSource stops
        if place.answer == telling.OFF_TOPIC_ID:
            return _whole(telling.off_topic(place.told))
        ask = (await self._parts.runs.opening(place.answer, owner(request))).ask
        if NAME not in ask.face:
            raise NotFound(f"{place.answer!r} is no answer of the chatbot", param="Last-Event-ID")
        return self._stream(place, ask)

    def _stream(self, place: Place, ask: Ask) -> Response:
        sources = ask.grounds.sources if ask.grounds else []
        subject = Subject(BY_CODE[str(ask.face[NAME])], sources)
        told = Telling(place.answer, subject, place.told or 0)

        # With an id from the first write on, a client that is cut off before it has read a word
        # comes back to this answer and not to a second one.
        opening = [b"id: %b\n\n" % str(place).encode()]

        def write(batch: Batch) -> bytes:
            frames = [_written(frame) for entry in batch for frame in told.feed(entry.event)]
            return b"".join([opening.pop(), *frames] if opening else frames)

        response = self._parts.stream(place.answer, 0, write)
        response.headers["Leafstream-Answer"] = place.answer
        return response

    async def answered(self, request: Request, asked: Awaitable[Response]) -> Response:
        """The response, or the refusal in the client's own envelope."""
        try:
            return await asked
        except LeafstreamError as error:
            headers = refusal(request, error).headers
            envelope = refused(error)
        if self._parts.settings.leafresh_errors_in_stream:
            return _whole([Frame(str(Place("refused", None)), "error", envelope)])
        return Response(envelope.encode(), envelope.status, headers, "application/json")

    def asked(self, request: Request, given: Given, first: First) -> Awaitable[Response]:
        """A new question, or one whose stream was lost on the way."""
        last = request.headers.get("last-event-id", "")
        return self.resume(request, last) if last else first(request, given)

    async def info(self) -> dict[str, Any]:
        return await describe(self._parts.engine)


def _written(frame: Frame) -> bytes:
    data = sse.one_line(frame.data.encode())
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (frame.id.encode(), frame.event.encode(), data)


def _whole(frames: list[Frame]) -> Response:
    """A stream that is over as soon as it has begun."""
    body = sse.PREAMBLE + b"".join(map(_written, frames))
    return Response(body, headers=sse.HEADERS)


Value = Annotated[str | None, Query()]


def router(parts: Parts) -> APIRouter:
    chatbot = Chatbot(parts)
    routes = APIRouter(tags=["leafresh"])

    @routes.get("/ai/chatbot/recommendation/base-info")
    async def base_info(
        request: Request,
        sessionId: Value = None,  # noqa: N803
        location: Value = None,
        workType: Value = None,  # noqa: N803
        category: Value = None,
    ) -> Response:
        """Start or restart a session: three challenges of a category, over SSE."""
        given = {
            "sessionId": sessionId,
            "location": location,
            "workType": workType,
            "category": category,
        }
        asked = chatbot.asked(request, given, chatbot.base_info)
        return await chatbot.answered(request, asked)

    @routes.get("/ai/chatbot/recommendation/free-text")
    async def free_text(
        request: Request,
        sessionId: Value = None,  # noqa: N803
        message: Value = None,
    ) -> Response:
        """Three challenges for a message in the user's own words, over SSE."""
        given = {"sessionId": sessionId, "message": message}
        asked = chatbot.asked(request, given, chatbot.free_text)
        return await chatbot.answered(request, asked)

    @routes.get("/ai/chatbot/info")
    async def info() -> Response:
        """The model, and in Korean what is to be known of it; `note` is null for a good one."""
        return answer_json(await chatbot.info())

    @routes.get("/leafresh", include_in_schema=False)
    @routes.get("/leafresh/{name}", include_in_schema=False)
    async def files(name: str = page.INDEX) -> Response:
        return page.file(name)

    return routes
