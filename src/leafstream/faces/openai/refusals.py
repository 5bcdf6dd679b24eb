"""What is refused, by name, and every error in the shape that OpenAI's clients read."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import Response

from leafstream.errors import (
    InvalidRequest,
    LeafstreamError,
    NotFound,
    Overloaded,
    PromptTooLong,
    RateLimited,
)
from leafstream.events import Cancelled, Failed
from leafstream.faces.body import answer_json
from leafstream.faces.failures import Ending, refusal, wrong_parameter
from leafstream.pointer import Json

# Codes that clients of this API look for.
_KNOWN_CODES = {
    PromptTooLong.code: "context_length_exceeded",
    Overloaded.code: "rate_limit_exceeded",
    RateLimited.code: "rate_limit_exceeded",
}


class Unsupported(InvalidRequest):
    """A parameter or a kind of content that this server does not serve."""

    code = "unsupported_parameter"


class Refused(msgspec.Struct, frozen=True):
    """Why a parameter is not served; its `neutral` values ask for nothing and may be sent."""

    why: str
    neutral: tuple[Json, ...] = ()


_NO_TOOLS = Refused("leafstream calls no tools", ([], "none", "auto"))
_NO_LOGPROBS = Refused("leafstream tells no probabilities", (False, 0))
_NO_CACHE = Refused("what of a prompt is kept is the engine's own choice")
_ONE_TIER = Refused("there is one tier", ("auto", "default"))
_NO_MODERATION = Refused("leafstream moderates nothing")
_NO_REASONING = Refused("reasoning is the model's own, and is left out of answers", ("none",))

COMMON = {
    "moderation": _NO_MODERATION,
    "parallel_tool_calls": Refused("leafstream calls no tools", (True, False)),
    "prompt_cache_options": _NO_CACHE,
    "prompt_cache_retention": _NO_CACHE,
    "service_tier": _ONE_TIER,
    "tool_choice": _NO_TOOLS,
    "tools": _NO_TOOLS,
    "top_logprobs": _NO_LOGPROBS,
}
CHAT = {
    **COMMON,
    "audio": Refused("leafstream writes text only"),
    "frequency_penalty": Refused("use repetition_penalty", (0,)),
    "function_call": _NO_TOOLS,
    "functions": _NO_TOOLS,
    "logit_bias": Refused("tokens cannot be favoured"),
    "logprobs": _NO_LOGPROBS,
    "metadata": Refused("chat completions are not stored; use /v1/responses"),
    "modalities": Refused("leafstream writes text only", (["text"],)),
    "n": Refused("there is one answer to a request; send it again for another", (1,)),
    "prediction": Refused("predicted outputs are not used"),
    "presence_penalty": Refused("use repetition_penalty", (0,)),
    "reasoning_effort": _NO_REASONING,
    "store": Refused("chat completions are not stored; use /v1/responses", (False,)),
    "verbosity": Refused("say it in the instructions", ("medium",)),
    "web_search_options": Refused("leafstream searches nothing"),
}
RESPONSES = {
    **COMMON,
    "access_programs": Refused("there are none"),
    "background_options": Refused("a background answer begins as soon as there is a slot"),
    "context_management": Refused("use truncation"),
    "image": Refused("leafstream reads text only"),
    "include": Refused("there is nothing more to include", ([],)),
    "max_tool_calls": _NO_TOOLS,
    "prompt": Refused("prompts are not kept here; declare an assistant and give it as model"),
    "reasoning": _NO_REASONING,
}


def refuse_unsupported(body: dict[str, Any], refused: dict[str, Refused]) -> dict[str, Any]:
    """The body without parameters that ask for nothing. Raises Unsupported naming the first."""
    kept = {}
    for name, value in body.items():
        refusal = refused.get(name)
        if refusal is None:
            kept[name] = value
        elif not _is_neutral(value, refusal.neutral):
            raise Unsupported(f"{name!r} is not supported: {refusal.why}", param=name)
    return kept


def _is_neutral(value: Json, neutral: tuple[Json, ...]) -> bool:
    if isinstance(value, dict):
        return all(item is None for item in value.values())
    return value is None or value in neutral


def ending_error(ending: Ending) -> dict[str, Json]:
    """The object that stands under "error" where there is no answer."""
    if isinstance(ending, Cancelled):
        return _error(
            f"the answer was cancelled: {ending.reason}", "server_error", None, "cancelled"
        )
    kind = _kind(_status(ending, ending.status))
    param = None if isinstance(ending, Failed) else ending.param
    return _error(ending.message, kind, param, _code(ending))


def refuse(request: Request, ending: Ending) -> Response:
    """The same before anything was sent, with the status that it has then."""
    told = refusal(request, ending)
    status = _status(ending, told.status)
    return answer_json({"error": ending_error(ending)}, status, told.headers)


class OpenAIRoute(APIRoute):
    """A route whose errors have the shape {"error": {"message", "type", "param", "code"}}."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await handle(request)
            except LeafstreamError as error:
                return refuse(request, error)
            except RequestValidationError as error:
                return refuse(request, wrong_parameter(error))

        return handler


def _error(message: str, kind: str, param: str | None, code: str) -> dict[str, Json]:
    return {"message": message, "type": kind, "param": param, "code": code}


def _status(ending: Ending, status: int) -> int:
    """OpenAI says 429 of a full queue, and 400 where FastAPI's world says 422."""
    if isinstance(ending, Overloaded):
        return 429
    return 400 if status == 422 else status


def _kind(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"


def _code(ending: LeafstreamError | Failed) -> str:
    if isinstance(ending, NotFound) and ending.param == "model":
        return "model_not_found"
    return _KNOWN_CODES.get(ending.code, ending.code)
