"""What is behind an answer, as values to be shown: its settings, its schema, its prompt."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from leafstream.messages import Messages
from leafstream.pointer import Json, join
from leafstream.sampling import SETTINGS, Sampling, contradictions
from leafstream.schema import Schema

Part = Literal["template", "system", "history", "user"]

# Not of Sampling, and the same on every engine: the plan's, or refused unless they are as they are.
_EVERYWHERE = {
    "max_new_tokens": "the plan's limit, clamped to the room in the context",
    "do_sample": "false is temperature 0",
    "num_beams": "1; more cannot be streamed",
    "early_stopping": "none without beams",
    "use_cache": "always on",
}
# What a schema consists of; the rest of the keywords say something of values.
_STRUCTURE = frozenset("$ref $defs anyOf properties items prefixItems additionalProperties".split())


class SettingLine(msgspec.Struct, frozen=True):
    name: str
    meaning: str
    value: str
    effect: str
    cost: str
    refused: bool = False


class KeywordLine(msgspec.Struct, frozen=True):
    """A keyword of a schema; `while_written`: the grammar enforces it, else it is checked after."""

    path: str
    keyword: str
    value: Json
    while_written: bool


def explain_settings(
    asked: Mapping[str, Any], defaults: Sampling, engine: Mapping[str, str]
) -> list[SettingLine]:
    """A line for each setting: `engine` has its own names of those that it honours."""
    wrong = {found.name: found.why for found in contradictions(asked, defaults)}
    lines = []
    for setting in SETTINGS:
        name = setting.name
        value = asked.get(name, getattr(defaults, name, None) or None)
        shown = "unset" if value is None else msgspec.json.encode(value).decode()
        effect = _EVERYWHERE.get(name) or _effect(name, engine)
        if name in wrong:
            effect = f"refused: {name} {wrong[name]}"
        elif value is not None and name not in engine and name not in _EVERYWHERE:
            effect = "refused: this engine does not have it"
        refused = effect.startswith("refused")
        lines.append(SettingLine(name, setting.meaning, shown, effect, setting.cost, refused))
    return lines


def _effect(name: str, engine: Mapping[str, str]) -> str:
    return f"sent as {engine[name]}" if name in engine else "not to be had"


async def explain_schema(
    schema: Schema, constrains: Callable[[Schema], Awaitable[bool]]
) -> AsyncIterator[KeywordLine]:
    """Each keyword, and whether an engine's grammar (`constrains`) enforces it."""
    whole = await constrains(schema)
    for path, raw in _nodes(schema.source, ""):
        for keyword, value in raw.items():
            if keyword not in _STRUCTURE:
                enforced = whole or await constrains(_alone(raw, keyword))
                yield KeywordLine(path, keyword, value, enforced)


def _alone(raw: Mapping[str, Any], keyword: str) -> Schema:
    """A schema that says nothing but this keyword."""
    alone = {name: raw[name] for name in ("type", keyword) if name in raw}
    if keyword == "required":
        alone["properties"] = {name: {} for name in raw[keyword]}
    return Schema({"anyOf": [alone]})


def _nodes(raw: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(raw, dict):
        return
    yield path, raw
    for keyword in ("properties", "patternProperties", "$defs"):
        for name, sub in raw.get(keyword, {}).items():
            yield from _nodes(sub, join(path, name) if keyword == "properties" else
                              join(join(path, keyword), name))  # fmt: skip
    for keyword in ("anyOf", "prefixItems"):
        for place, sub in enumerate(raw.get(keyword, ())):
            yield from _nodes(sub, join(join(path, keyword), place))
    for keyword in ("items", "additionalProperties"):
        yield from _nodes(raw.get(keyword), join(path, keyword))


class Token(msgspec.Struct, frozen=True):
    text: str
    part: Part


def parted(pieces: list[str], messages: Messages) -> list[Token]:
    """The tokens of a prompt by the part that their text begins in."""
    text = "".join(pieces)
    spans: list[tuple[int, int, Part]] = []
    at = 0
    for number, message in enumerate(messages):
        content = message.content.strip()
        found = text.find(content, at)
        if found >= 0 and content:
            at = found + len(content)
            spans.append((found, at, _part(message.role, last=number == len(messages) - 1)))
    tokens, at = [], 0
    for piece in pieces:
        here = at + len(piece) - len(piece.lstrip())
        within: list[Part] = [part for start, end, part in spans if start <= here < end]
        tokens.append(Token(piece, within[0] if within else "template"))
        at += len(piece)
    return tokens


def _part(role: str, *, last: bool) -> Part:
    if role == "system":
        return "system"
    return "user" if last else "history"
