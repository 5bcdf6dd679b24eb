"""What clients send as conversation, chat messages and input items, as the turns of a model."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from leafstream.errors import InvalidRequest
from leafstream.faces.openai.refusals import Unsupported
from leafstream.messages import Message, Messages, Role

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
MESSAGE_KEYS = frozenset(("role", "content"))
ITEM_KEYS = frozenset(("role", "content", "type", "id", "status", "phase"))
"""Of an item, `id`, `status` and `phase` are what an earlier response said of it."""
PART_KEYS = frozenset(("type", "text", "annotations", "logprobs"))
TEXT_PARTS = frozenset(("text", "input_text", "output_text"))


def read_messages(messages: list[Any]) -> Messages:
    """Chat messages. Raises Unsupported or InvalidRequest naming the place."""
    return tuple(
        _turn(message, MESSAGE_KEYS, f"messages[{number}]")
        for number, message in enumerate(messages)
    )


def read_input(given: str | list[Any]) -> Messages:
    """The `input` of a response: a user's text, or items. Raises as `read_messages`."""
    if isinstance(given, str):
        return (Message("user", given),)
    return tuple(_item(item, f"input[{number}]") for number, item in enumerate(given))


def prompt_turns(instructions: list[str], turns: Messages, param: str) -> Messages:
    """The turns under one system turn, which holds the instructions and the leading system turns.

    Raises InvalidRequest, naming `param`, where there is nothing to answer.
    """
    first = next((n for n, turn in enumerate(turns) if turn.role != "system"), len(turns))
    system = "\n\n".join(filter(None, [*instructions, *(turn.content for turn in turns[:first])]))
    if first == len(turns) or turns[-1].role != "user":
        raise InvalidRequest("the last turn must be the user's", param=param)
    return (Message("system", system), *turns[first:]) if system else turns[first:]


def _item(item: Any, place: str) -> Message:
    kind = item.get("type", "message") if isinstance(item, dict) else None
    if isinstance(kind, str) and kind != "message":
        raise Unsupported(f"items of type {kind!r} are not supported", param=f"{place}.type")
    return _turn(item, ITEM_KEYS, place)


def _turn(raw: Any, keys: Collection[str], place: str) -> Message:
    if not isinstance(raw, dict):
        raise InvalidRequest("a message is an object with role and content", param=place)
    _refuse_others(raw, keys, place)
    role = raw.get("role")
    if not isinstance(role, str) or role not in ROLES:
        known = ", ".join(ROLES)
        raise Unsupported(f"a role is one of {known}, not {role!r}", param=f"{place}.role")
    return Message(ROLES[role], _text(raw.get("content"), f"{place}.content"))


def _text(content: Any, place: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise InvalidRequest("content is a text or a list of text parts", param=place)
    return "".join(_part(part, f"{place}[{number}]") for number, part in enumerate(content))


def _part(part: Any, place: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str) or kind not in TEXT_PARTS:
        raise Unsupported(f"content is text, not {kind!r}", param=f"{place}.type")
    _refuse_others(part, PART_KEYS, place)
    text = part.get("text")
    if not isinstance(text, str):
        raise InvalidRequest("the text is missing", param=f"{place}.text")
    return text


def _refuse_others(raw: dict[str, Any], keys: Collection[str], place: str) -> None:
    for key, value in raw.items():
        if key not in keys and value not in (None, []):
            raise Unsupported(f"{key!r} is not supported here", param=f"{place}.{key}")


Status = Literal["in_progress", "completed", "incomplete"]


def output_text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def output_message(item: str, text: str | None, status: Status) -> dict[str, Any]:
    """The one item of an answer; without a text it has just begun."""
    content = [] if text is None else [output_text(text)]
    return {
        "id": item,
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
    }


def input_message(item: str, turn: Message) -> dict[str, Any]:
    """A turn that was given, as an item."""
    if turn.role == "assistant":
        return output_message(item, turn.content, "completed")
    content = [{"type": "input_text", "text": turn.content}]
    return {
        "id": item,
        "type": "message",
        "role": turn.role,
        "status": "completed",
        "content": content,
    }
