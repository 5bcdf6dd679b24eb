"""`/v1/chat/completions`: one answer to the turns of a request."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from leafstream.ask import Ask
from leafstream.decoder.transcript import Rewritten, Transcript
from leafstream.draft import failure
from leafstream.errors import Interrupted
from leafstream.events import Cancelled, Event, Failed, Finish, Finished, Usage
from leafstream.faces import sse
from leafstream.faces.body import answer_json
from leafstream.faces.openai.bodies import ChatRequest, read_request
from leafstream.faces.openai.items import prompt_turns, read_messages
from leafstream.faces.openai.refusals import CHAT, ending_error, refuse
from leafstream.faces.openai.wanted import Wanted, read_wanted
from leafstream.faces.parts import Parts, owner
from leafstream.sampling import read_sampling

_encode = msgspec.json.Encoder().encode
_MARK = "\ue000"
_Broken = Failed | Cancelled
DONE = sse.data_frame(b"[DONE]")


class Chat:
    """The requests of this route, over the parts that the app was built from."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.settings

    async def complete(self, request: Request, key: str | None) -> Response:
        asked = await read_request(request, ChatRequest, CHAT, self._settings.max_body_bytes)
        asked.check_stream_options()
        wanted = await read_wanted(
            self._parts, asked.model, asked.response_format, "response_format"
        )
        ask = self._ask(asked, wanted, owner(request))
        answer = await self._parts.runs.start(ask, key)
        opening = await self._parts.log.opening(answer)
        with_usage = bool(asked.stream_options and asked.stream_options.include_usage)
        completion = Completion(answer, int(opening.created), wanted, with_usage=with_usage)
        if asked.stream:
            response: Response = self._parts.send(self._frames(completion))
        else:
            response = await self._whole(request, completion)
        response.headers["Leafstream-Answer"] = answer
        return response

    def _ask(self, asked: ChatRequest, wanted: Wanted, by: str) -> Ask:
        return Ask(
            messages=prompt_turns(wanted.instructions, read_messages(asked.messages), "messages"),
            assistant=wanted.assistant,
            schema=wanted.schema,
            max_tokens=asked.limit(),
            sampling=read_sampling(asked.settings(), wanted.sampling),
            soft_landing=self._settings.soft_landing,
            owner=by,
            # A chunk can tell neither of dropped turns nor that text is taken back.
            trim=False,
            rewrite=not asked.stream,
            face={"kind": "chat", "model": wanted.model, **asked.identifiers()},
        )

    async def _frames(self, completion: Completion) -> AsyncGenerator[bytes, None]:
        reading = self._parts.read(completion.answer, 0, self._settings.heartbeat_seconds)
        async with aclosing(reading) as batches:
            yield completion.opening_frame()
            async for batch in batches:
                frames = [frame for entry in batch for frame in completion.frames(entry.event)]
                if frames or not batch:
                    yield b"".join(frames)
        if not completion.has_ended:
            yield completion.failed_frame(failure(Interrupted("this server is stopping")))
        elif usage := completion.usage_frame():
            yield usage
        yield DONE

    async def _whole(self, request: Request, completion: Completion) -> Response:
        last = await self._parts.last(completion.answer, request)
        if last is None:
            return Response(status_code=499)  # nobody reads it
        if not isinstance(last, Finished):
            return refuse(request, last)
        return answer_json(completion.whole(last))


class Completion:
    """One answer as this API shows it: whole, or in chunks of its text.

    `with_usage`: every chunk has a usage, which is null in all but the last.
    """

    def __init__(
        self, answer: str, created: int, wanted: Wanted, *, with_usage: bool = False
    ) -> None:
        self.answer = answer
        self.has_ended = False
        self._used: Usage | None = None
        self._more: dict[str, Any] = {"usage": None} if with_usage else {}
        self._typed = wanted.typed
        self._transcript = Transcript(typed=wanted.typed)
        self._around: tuple[bytes, bytes] | None = None
        self._head: dict[str, Any] = {
            "id": "chatcmpl-" + answer.removeprefix("ans_"),
            "created": created,
            "model": wanted.model,
        }

    def whole(self, finished: Finished) -> dict[str, Any]:
        text = Transcript(typed=self._typed).feed(finished)
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": finish_reason(finished.finish),
        }
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [choice],
            "usage": usage_of(finished.usage),
        }

    def opening_frame(self) -> bytes:
        return self._chunk({"role": "assistant", "content": ""})

    def frames(self, event: Event) -> Iterator[bytes]:
        """The chunks that `event` leads to."""
        try:
            added = self._transcript.feed(event)
        except Rewritten as error:
            event, added = failure(error), ""
        if added:
            yield self._text_frame(added)
        if isinstance(event, Finished):
            self.has_ended, self._used = True, event.usage
            yield self._chunk({}, finish_reason(event.finish))
        elif isinstance(event, _Broken):
            self.has_ended = True
            yield self.failed_frame(event)

    @staticmethod
    def failed_frame(event: Failed | Cancelled) -> bytes:
        return sse.data_frame(msgspec.json.encode({"error": ending_error(event)}))

    def usage_frame(self) -> bytes:
        """The last chunk; b"" where it was not asked for, or the answer has no usage."""
        if not self._more or self._used is None:
            return b""
        return self._frame([], {"usage": usage_of(self._used)})

    def _text_frame(self, text: str) -> bytes:
        """A chunk of text: the same but for the text, and there is one a token."""
        if self._around is None:
            before, _, after = self._chunk({"content": _MARK}).rpartition(_encode(_MARK))
            self._around = before, after
        before, after = self._around
        return b"%b%b%b" % (before, sse.one_line(_encode(text)), after)

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._frame([choice], self._more)

    def _frame(self, choices: list[Any], more: dict[str, Any]) -> bytes:
        chunk = {**self._head, "object": "chat.completion.chunk", "choices": choices, **more}
        return sse.data_frame(msgspec.json.encode(chunk))


def finish_reason(finish: Finish) -> str:
    """An answer that went in circles was cut as one that was too long: there is no other word."""
    return "stop" if finish == "stop" else "length"


def usage_of(used: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.prompt_tokens + used.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": used.cached_tokens},
    }
