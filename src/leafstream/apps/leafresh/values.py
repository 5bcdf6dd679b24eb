"""The values of a query string, as the user typed them: decoded, required, checked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import unquote_plus

from leafstream.apps.leafresh import refusals
from leafstream.apps.leafresh.categories import named
from leafstream.apps.leafresh.situation import Situation

MIN_MESSAGE = 5
Given = Mapping[str, str | None]
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def typed(value: str) -> str:
    """The value that a user typed, where a client has encoded it once more than HTTP asks for.

    `50% 할인` is as it was typed; `50%25%20%ED%95%A0%EC%9D%B8` is not.
    """
    # An encoder leaves ASCII only, in which every percent sign begins an escape.
    if "%" in value and value.isascii() and not _BARE_PERCENT.search(value):
        with suppress(UnicodeDecodeError):
            value = unquote_plus(value, errors="strict")
    return unicodedata.normalize("NFC", value)


def required(given: Given) -> dict[str, str]:
    """Every value, typed and without space around it. Raises Refused for what is not there."""
    values = {name: typed(value or "").strip() for name, value in given.items()}
    if absent := [name for name, value in values.items() if not value]:
        raise refusals.missing(absent)
    # Databases and tokenizers written in C end a text there.
    if broken := [name for name, value in values.items() if "\0" in value]:
        raise refusals.invalid(broken)
    return values


def read_base_info(given: Given) -> tuple[str, Situation]:
    """The session and what is told of the person. Raises Refused."""
    values = required(given)
    category = named(values["category"])
    if category is None:
        raise refusals.invalid(["category"])
    return values["sessionId"], Situation(values["location"], values["workType"], category)


def read_free_text(given: Given) -> tuple[str, str]:
    """The session and the message. Raises Refused."""
    values = required(given)
    if len(values["message"]) < MIN_MESSAGE:
        raise refusals.too_short()
    return values["sessionId"], values["message"]
