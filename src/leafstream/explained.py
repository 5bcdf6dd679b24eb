"""`leafstream explain` in the terminal: what `explain` says, in tables and colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leafstream.assistant import Assistant, find
from leafstream.engine_choice import open_engine
from leafstream.engines.base import Engine, Legible
from leafstream.errors import InvalidRequest, SetupError
from leafstream.explain import Part, Token, explain_schema, explain_settings, parted
from leafstream.messages import Messages
from leafstream.models.fetch import Progress
from leafstream.sampling import SETTINGS
from leafstream.schema import Schema
from leafstream.served import Served, read_served
from leafstream.settings import Settings, read_settings
from leafstream.store.conversations import Conversations
from leafstream.terminal import CONTROLS, parse_input

COLOURS: dict[Part, str] = {
    "system": "cyan",
    "history": "green",
    "user": "yellow",
    "template": "magenta",
}


class Explained:
    """The settings and the assistants that are explained."""

    def __init__(self, file: Path | None, progress: Progress | None = None) -> None:
        self.settings: Settings = read_settings()
        self.served: Served = read_served(file)
        self._progress = progress

    @asynccontextmanager
    async def engine(self) -> AsyncIterator[Engine]:
        engine = await open_engine(self.settings, self._progress)
        try:
            yield engine
        finally:
            await engine.close()


async def show_settings(explained: Explained, name: str | None, given: list[str]) -> None:
    """The table of the generation settings. Raises InvalidRequest for one that is none."""
    assistant = Assistant() if name is None else find(explained.served.assistants, name)
    asked = dict(map(_setting, given))
    async with explained.engine() as engine:
        lines = explain_settings(asked, assistant.sampling, engine.settings)
        title = f"Generation settings on {engine.model}"
    table = Table("setting", "meaning", "value", "effect on this engine", "cost", title=title)
    for line in lines:
        style = "red" if line.refused else "bold" if line.value != "unset" else ""
        table.add_row(line.name, line.meaning, line.value, line.effect, line.cost, style=style)
    _console().print(table)


def _setting(given: str) -> tuple[str, Any]:
    name, is_given, value = given.partition("=")
    known = [setting.name for setting in SETTINGS]
    if name not in known or not is_given:
        raise InvalidRequest(f"{given!r} is no setting; write NAME=VALUE of: {', '.join(known)}")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


async def show_schema(explained: Explained, name: str) -> None:
    """Each keyword of an assistant's or a file's schema, and what enforces it."""
    schema = _schema(explained.served, name)
    async with explained.engine() as engine:
        lines = [line async for line in explain_schema(schema, engine.constrains)]
        title = f"{name} on {engine.model}"
    table = Table("path", "keyword", "value", "enforced", title=title)
    for line in lines:
        value = msgspec.json.encode(line.value).decode()
        when = "while written" if line.while_written else "after, with one retry"
        style = "" if line.while_written else "yellow"
        table.add_row(line.path or "/", line.keyword, value[:60], when, style=style)
    _console().print(table)


def _schema(served: Served, name: str) -> Schema:
    if name in served.assistants:
        schema = served.assistants[name].schema
        if schema is None:
            raise InvalidRequest(f"{name!r} answers with plain text: it has no schema")
        return schema
    path = Path(name)
    if not path.is_file():
        known = ", ".join(served.assistants)
        raise InvalidRequest(f"{name!r} is no file and no assistant; there are: {known}")
    try:
        return Schema.parse(msgspec.json.decode(path.read_bytes()))
    except (msgspec.DecodeError, OSError) as error:
        raise SetupError(f"{path} holds no JSON: {error}") from None


async def show_prompt(
    explained: Explained, name: str, arguments: list[str], conversation: str | None
) -> None:
    """The exact text that the model reads, its tokens coloured and counted by part."""
    assistant = find(explained.served.assistants, name)
    messages = assistant.messages(
        parse_input(arguments, assistant.input_schema, assistant.text_field)
    )
    grounds = await assistant.grounds(messages[-1].content)
    messages = messages if grounds is None else grounds.before(messages)
    if conversation is not None:
        history = await _history(explained.settings, conversation)
        messages = (*messages[:-1], *history, messages[-1])
    async with explained.engine() as engine:
        if not isinstance(engine, Legible):
            raise InvalidRequest(f"the engine of {engine.model} does not show its prompts")
        prompt = await engine.prompt(messages, assistant.chat_template)
        pieces = await engine.legible(messages, assistant.chat_template)
        window = engine.context_window
    tokens = parted(pieces, prompt.messages)
    console = _console()
    console.print(_coloured(tokens), soft_wrap=True)
    console.print(_counts(tokens, window))


async def _history(settings: Settings, conversation: str) -> Messages:
    store = await Conversations.open(settings.database)
    try:
        return await store.messages(conversation)
    finally:
        await store.close()


def _coloured(tokens: list[Token]) -> Text:
    text = Text()
    for number, token in enumerate(tokens):
        shade = " on grey15" if number % 2 else ""
        text.append(token.text.translate(CONTROLS), style=COLOURS[token.part] + shade)
    return text


def _counts(tokens: list[Token], window: int) -> Table:
    counts = Counter(token.part for token in tokens)
    table = Table("part", "tokens")
    for part, colour in COLOURS.items():
        table.add_row(Text(part, style=colour), str(counts[part]))
    table.add_row("all", f"{len(tokens)} of {window}")
    return table


def _console() -> Console:
    console = Console(highlight=False)
    # A pipe has no width: tables are not to be cut there.
    return console if console.is_terminal else Console(highlight=False, width=160)
