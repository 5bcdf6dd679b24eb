"""The bodies of this API's requests: what is served of them, each field checked."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request

from leafstream.assistant import invalid_fields
from leafstream.errors import InvalidRequest
from leafstream.faces.body import read_json
from leafstream.faces.openai.refusals import Refused, refuse_unsupported

B = TypeVar("B", bound="Common")

SAMPLING = "temperature top_p seed stop top_k min_p repetition_penalty no_repeat_ngram_size".split()
IDENTIFIERS = "user safety_identifier prompt_cache_key".split()


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    include_usage: bool | None = Field(None, description="Chat: usage in a last chunk.")
    include_obfuscation: Literal[False] | None = Field(
        None, description="Nothing is padded here; false says so."
    )


class Common(BaseModel):
    """What both ways to ask have in common; the last five are leafstream's own settings."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(description="The served model's name, or an assistant's.")
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    user: str | None = Field(None, description="Kept with the answer.")
    safety_identifier: str | None = Field(None, description="Kept with the answer.")
    prompt_cache_key: str | None = Field(None, description="Kept with the answer.")
    top_k: int | None = Field(None, ge=0, le=1_000_000)
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float | None = Field(None, gt=0, le=10)
    no_repeat_ngram_size: int | None = Field(None, ge=2, le=64)
    seed: int | None = Field(None, ge=0, lt=2**32)

    def settings(self) -> dict[str, Any]:
        """The generation settings that were given."""
        return self.model_dump(include=set(SAMPLING), exclude_none=True)

    def identifiers(self) -> dict[str, str]:
        return self.model_dump(include=set(IDENTIFIERS), exclude_none=True)

    def check_stream_options(self) -> None:
        """Raises InvalidRequest for options of a stream where there is none."""
        if self.stream_options is not None and not self.stream:
            raise InvalidRequest("stream_options goes with stream=true", param="stream_options")


class ChatRequest(Common):
    messages: list[Any] = Field(min_length=1)
    response_format: dict[str, Any] | None = None
    max_tokens: int | None = Field(None, ge=1, lt=2**31)
    max_completion_tokens: int | None = Field(None, ge=1, lt=2**31)
    stop: str | list[str] | None = None

    def limit(self) -> int | None:
        """Raises InvalidRequest where the two names of the limit differ."""
        first, second = self.max_completion_tokens, self.max_tokens
        if first and second and first != second:
            raise InvalidRequest(
                "max_tokens is the old name of max_completion_tokens; give one",
                param="max_tokens",
            )
        return first or second


class ConversationId(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: str


class TextConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: dict[str, Any] | None = None
    verbosity: Literal["medium"] | None = None


class ResponsesRequest(Common):
    input: str | list[Any]
    instructions: str | None = None
    text: TextConfig | None = None
    max_output_tokens: int | None = Field(None, ge=1, lt=2**31)
    metadata: (
        dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] | None
    ) = Field(None, max_length=16)
    previous_response_id: str | None = None
    conversation: str | ConversationId | None = None
    background: bool | None = None
    store: bool | None = None
    truncation: Literal["auto", "disabled"] | None = None

    def check(self) -> None:
        """Raises InvalidRequest for parameters that exclude each other."""
        self.check_stream_options()
        if self.stream_options is not None and self.stream_options.include_usage is not None:
            raise InvalidRequest(
                "include_usage is a chat completion's; a response always tells its usage",
                param="stream_options",
            )
        if self.background and self.store is False:
            raise InvalidRequest("a background response must be stored", param="store")
        if self.previous_response_id is not None and self.conversation is not None:
            raise InvalidRequest(
                "give either previous_response_id or conversation", param="previous_response_id"
            )

    @property
    def conversation_id(self) -> str | None:
        given = self.conversation
        return given.id if isinstance(given, ConversationId) else given


async def read_request(
    request: Request, model: type[B], refused: dict[str, Refused], limit: int
) -> B:
    """The body as `model`. Raises InvalidRequest naming the parameter."""
    body = await read_json(request, limit)
    if not isinstance(body, dict):
        raise InvalidRequest("the body is a JSON object")
    body = refuse_unsupported(body, refused)
    for name in body:
        if name not in model.model_fields:
            raise InvalidRequest(f"there is no parameter {name!r}", param=name)
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise invalid_fields(error, "", model) from None
