"""What kind of answer a request wants: whose, of which type, under which instructions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from leafstream.assistant import Assistant
from leafstream.canonical import RawSchema
from leafstream.errors import InvalidRequest, NotFound, UnsupportedSchema
from leafstream.faces.openai.refusals import Unsupported
from leafstream.faces.parts import Parts
from leafstream.pointer import Json
from leafstream.sampling import Sampling

ANY_OBJECT: RawSchema = {"type": "object"}


class JsonSchemaFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`strict` may be either: every answer is held to its schema."""

    name: str
    schema: RawSchema
    description: str | None = None
    strict: bool | None = None


class Wanted(msgspec.Struct, frozen=True):
    """`assistant` is a declared one; its answer has its own type, or that of `schema`."""

    model: str
    assistant: str | None
    schema: RawSchema | None
    typed: bool
    instructions: list[str]
    sampling: Sampling
    format: dict[str, Json]


async def read_wanted(parts: Parts, model: str, given: dict[str, Any] | None, param: str) -> Wanted:
    """What `model` and the format at `param` ask for.

    Raises NotFound for a model that is not served and InvalidRequest for a format that is not.
    """
    assistant = _assistant(parts, model)
    declared = model if model != parts.runs.model else None
    base = Wanted(
        model=model,
        assistant=declared,
        schema=None,
        typed=assistant.schema is not None,
        instructions=[assistant.instructions],
        sampling=assistant.sampling,
        format={"type": "text"},
    )
    if assistant.schema is not None:
        if given is not None:
            raise InvalidRequest(f"{model!r} answers with its own type: leave it out", param=param)
        own: dict[str, Json] = {"type": "json_schema", "name": model, "strict": True}
        return _replace(base, format={**own, "schema": assistant.schema.source})
    return base if given is None else await _formatted(parts, base, given, param)


def served_models(parts: Parts) -> list[str]:
    """What may be given as `model`: the model itself, and every assistant."""
    return [parts.runs.model, *(name for name in parts.assistants if name != parts.runs.model)]


def _assistant(parts: Parts, model: str) -> Assistant:
    if model == parts.runs.model:
        return Assistant()
    if model not in parts.assistants:
        known = ", ".join(served_models(parts))
        raise NotFound(f"there is no model {model!r}; there are: {known}", param="model")
    return parts.assistants[model]


async def _formatted(parts: Parts, base: Wanted, given: dict[str, Any], param: str) -> Wanted:
    kind = given.get("type")
    if kind == "text":
        return base
    if kind not in ("json_object", "json_schema"):
        raise Unsupported(
            f"a format is text, json_object or json_schema, not {kind!r}", param=f"{param}.type"
        )
    if not parts.settings.inline_schemas:
        raise InvalidRequest("this server takes no schemas of callers", param=param)
    if kind == "json_object":
        return _typed(base, ANY_OBJECT, {"type": kind})
    rest = {name: value for name, value in given.items() if name != "type"}
    named = _json_schema(rest, param)
    await _check(parts, named.schema, param)
    echoed: dict[str, Json] = {"type": kind, **msgspec.structs.asdict(named)}
    wanted = _typed(base, named.schema, echoed)
    return _replace(wanted, instructions=[*base.instructions, named.description or ""])


def _json_schema(given: Mapping[str, Any], param: str) -> JsonSchemaFormat:
    # Chat completions nest it once more than responses do.
    if given.keys() == {"json_schema"}:
        given, param = given["json_schema"], f"{param}.json_schema"
    try:
        return msgspec.convert(given, JsonSchemaFormat)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{param}: {error}", param=param) from None


async def _check(parts: Parts, schema: RawSchema, param: str) -> None:
    try:
        await parts.runs.inline.find(schema)
    except UnsupportedSchema as error:
        raise UnsupportedSchema(
            f"{param}: {error.message} (at {error.param or '/'})", param=param
        ) from None


def _typed(base: Wanted, schema: RawSchema, shown: dict[str, Json]) -> Wanted:
    return _replace(base, schema=schema, typed=True, format=shown)


def _replace(wanted: Wanted, **changes: Any) -> Wanted:
    return msgspec.structs.replace(wanted, **changes)
