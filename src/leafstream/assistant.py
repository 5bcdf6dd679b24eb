"""What is served: an answer type, instructions, and an input type."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, ValidationError

from leafstream.canonical import RawSchema
from leafstream.decoder.pace import Pace
from leafstream.decoder.text import THINK, Reasoning
from leafstream.errors import InvalidRequest, NotFound, SetupError
from leafstream.grounds import Grounds
from leafstream.invalid import sentence
from leafstream.messages import Message, Messages
from leafstream.pointer import Json, join
from leafstream.prompt import ChatTemplate
from leafstream.sampling import Sampling
from leafstream.schema import Schema

Retrieve = Callable[[str], Grounds]

MAX_INLINE = 256
MAX_INLINE_BYTES = 32_768
"""Longer schemas are parsed each time: kept, they would take the memory of many answers."""


class TextInput(BaseModel):
    """The input of an assistant that declares none: one message."""

    model_config = ConfigDict(extra="forbid")

    message: str


class Assistant:
    """An answer type and a prompt.

    `answer` is a Pydantic model, a JSON schema, or str for plain text. `input` is the Pydantic
    model of what a caller gives. `prompt` makes the user's turn of it: a format string over its
    fields, or a function; without one, a line per field. `retrieve` finds what a user's turn is to
    be answered from; it is called in a thread. `pace` is the grain of its text events, where a
    request asks for no other. `reasoning` are the (opener, closer) of what the model thinks
    aloud and nobody is shown; with an empty opener its text begins inside. Without `guard` what
    goes in circles goes on to its limit. `chat_template` is Jinja (a Path: of a file) to use
    instead of the model's own. Raises UnsupportedSchema for an answer type that
    leafstream does not serve, InvalidRequest for a pace that is none, SetupError for a
    template that drops a turn or a `retrieve` that is a coroutine function.
    """

    def __init__(  # noqa: PLR0913 -- what can be declared, by name
        self,
        answer: type[BaseModel] | type[str] | RawSchema = str,
        *,
        instructions: str = "",
        input: type[BaseModel] = TextInput,  # noqa: A002
        prompt: str | Callable[[Any], str] | None = None,
        retrieve: Retrieve | None = None,
        sampling: Sampling | None = None,
        pace: Json = "token",
        reasoning: Reasoning = THINK,
        guard: bool = True,
        chat_template: str | Path | None = None,
    ) -> None:
        self.instructions = instructions.strip()
        self.input = input
        self.sampling = sampling or Sampling()
        self.pace = Pace.parse(pace)
        self.reasoning = _checked(reasoning)
        self.guard = guard
        self.chat_template = _template(chat_template)
        self._prompt = prompt
        self._retrieve = _plain(retrieve)
        self._model = answer if isinstance(answer, type) and answer is not str else None
        self.schema = _schema(answer)

    @cached_property
    def input_schema(self) -> RawSchema:
        return self.input.model_json_schema()

    @cached_property
    def text_field(self) -> str | None:
        """The field that a text alone is the input of: the only one, or the only one required."""
        if self.input is TextInput:  # of every request with a schema of its own
            return "message"
        fields = self.input_schema.get("properties", {})
        wanted = self.input_schema.get("required") or list(fields)
        one = wanted[0] if len(wanted) == 1 else ""
        return one if fields.get(one, {}).get("type") == "string" else None

    def given(self, text: str) -> dict[str, Json]:
        """The input that a text alone is. Raises InvalidRequest where there are several fields."""
        if self.text_field is None:
            fields = ", ".join(self.input_schema.get("properties", {}))
            raise InvalidRequest(f"input is an object with the fields: {fields}", param="input")
        return {self.text_field: text}

    def messages(self, given: Json) -> Messages:
        """The turns for an input: the instructions and the user's. Raises InvalidRequest."""
        turn = Message("user", self.user_turn(given))
        return (Message("system", self.instructions), turn) if self.instructions else (turn,)

    def user_turn(self, given: Json) -> str:
        """The user's turn for an input. Raises InvalidRequest naming the field."""
        try:
            value = self.input.model_validate(given)
        except ValidationError as error:
            raise invalid_fields(error, "input", self.input) from None
        if callable(self._prompt):
            return self._prompt(value)
        fields = value.model_dump(mode="json")
        if self._prompt is not None:
            return self._prompt.format(**fields)
        if isinstance(value, TextInput):
            return value.message
        return "\n".join(
            f"{name}: {_shown(item)}" for name, item in fields.items() if item is not None
        )

    async def grounds(self, question: str) -> Grounds | None:
        """What is found for a user's turn; None where there is nothing to look in."""
        if self._retrieve is None:
            return None
        found = await asyncio.to_thread(self._retrieve, question)
        if not isinstance(found, Grounds):
            raise SetupError(f"an assistant's retrieve gives Grounds, not {type(found).__name__}")
        return found

    def errors(self, value: Json) -> list[tuple[str, str]]:
        """(path, message) of what the schema or the Pydantic model finds wrong with an answer."""
        if self.schema is None:
            return []
        found = self.schema.errors(value)
        if not found and isinstance(self._model, type) and issubclass(self._model, BaseModel):
            try:
                self._model.model_validate(value)
            except ValidationError as error:
                return [(_pointer(e["loc"]), e["msg"]) for e in error.errors(include_url=False)]
        return found


def inline(schema: RawSchema, instructions: str = "") -> Assistant:
    """The assistant of a request that brings its own schema."""
    return Assistant(schema, instructions=instructions)


class Inline:
    """The assistants of requests that bring their own schema: for the same schema the same one."""

    def __init__(self) -> None:
        self._known: dict[bytes, Assistant] = {}

    async def find(self, schema: RawSchema) -> Assistant:
        """Parsed in a thread, as it may be long. Raises UnsupportedSchema."""
        text = msgspec.json.encode(schema)
        if len(text) > MAX_INLINE_BYTES:
            return await asyncio.to_thread(inline, schema)
        key = hashlib.sha256(text).digest()
        assistant = self._known.pop(key, None)
        if assistant is None:
            assistant = await asyncio.to_thread(inline, schema)
        self._known[key] = assistant
        if len(self._known) > MAX_INLINE:
            del self._known[next(iter(self._known))]  # the one that was asked for longest ago
        return assistant


def find(assistants: Mapping[str, Assistant], name: str) -> Assistant:
    """The assistant of that name. Raises NotFound, naming those there are."""
    if name not in assistants:
        known = ", ".join(assistants)
        raise NotFound(f"there is no assistant {name!r}; there are: {known}", param="assistant")
    return assistants[name]


def invalid_fields(error: ValidationError, base: str, model: type[BaseModel]) -> InvalidRequest:
    """The first thing wrong with a request, as a sentence with the field's name."""
    first = error.errors(include_url=False)[0]
    param = ".".join(str(part) for part in (base, *first["loc"]) if part != "")
    known = [field.alias or name for name, field in model.model_fields.items()]
    return InvalidRequest(sentence(first, param, known), param=param or None)


def _schema(answer: type | RawSchema) -> Schema | None:
    if answer is str:
        return None
    if isinstance(answer, dict):
        return Schema.parse(answer)
    if isinstance(answer, type) and issubclass(answer, BaseModel):
        return Schema.parse(answer.model_json_schema())
    raise SetupError(f"an answer type is a Pydantic model, a JSON schema or str, not {answer!r}")


def _template(given: str | Path | None) -> str | None:
    if isinstance(given, Path):
        try:
            given = given.read_text()
        except OSError as error:
            raise SetupError(
                f"the chat template {given} cannot be read: {error.strerror}"
            ) from None
    if given is not None:
        ChatTemplate(given)
    return given


def _checked(reasoning: Reasoning) -> Reasoning:
    try:
        return msgspec.convert(reasoning, Reasoning)
    except msgspec.ValidationError as error:
        raise SetupError(
            f'reasoning is pairs of an opener and a closer, (("<think>", "</think>"),): {error}'
        ) from None


def _plain(retrieve: Retrieve | None) -> Retrieve | None:
    if inspect.iscoroutinefunction(retrieve):
        raise SetupError(
            "retrieve is a plain function: it is called in a thread, where it may wait"
        )
    return retrieve


def _shown(item: Json) -> str:
    return ", ".join(map(str, item)) if isinstance(item, list) else str(item)


def _pointer(loc: tuple[int | str, ...]) -> str:
    path = ""
    for token in loc:
        path = join(path, token)
    return path
