"""Answers in a terminal: fields growing in place, plain text in a pipe, JSON lines on request."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from leafstream.client import Client
from leafstream.decoder.value import Fold
from leafstream.errors import EngineUnavailable, InvalidRequest, LeafstreamError
from leafstream.events import Cancelled, Event, Failed, Finished, Noticed, TextAppended, ValueSet
from leafstream.invalid import near
from leafstream.pointer import Json, split
from leafstream.settings import shown_url

CONTROLS = dict.fromkeys([*range(9), *range(11, 32), *range(127, 160)], "\N{REPLACEMENT CHARACTER}")
"""What a terminal may obey: a model's text does not clear the screen or write the clipboard."""


HERE = "http://127.0.0.1:8000"


class Options(msgspec.Struct, frozen=True):
    """`url` None: the server on port 8000 where there is one, else an app in this process."""

    url: str | None
    file: Path | None = None
    max_tokens: int | None = None
    seed: int | None = None
    json: bool = False

    def request(self) -> dict[str, Any]:
        given = {"max_tokens": self.max_tokens, "seed": self.seed}
        return {name: value for name, value in given.items() if value is not None}


async def ask_once(assistant: str, arguments: list[str], options: Options) -> None:
    """Ask and print. Raises LeafstreamError for a refusal and for an answer that failed."""
    async with connected(options) as client:
        described = await client.assistant(assistant)
        given = parse_input(arguments, described["input_schema"], described["text_field"])
        events = client.ask(assistant, given, **options.request())
        await _show(events, options)


async def hold_conversation(assistant: str, options: Options) -> None:
    """Turns from standard input until its end."""
    console = Console()
    async with connected(options) as client:
        described = await client.assistant(assistant)
        if described["answer_schema"] is not None:
            raise InvalidRequest(f"{assistant!r} answers with fields; use leafstream ask for it")
        conversation = await client.new_conversation(assistant)
        while (line := _read_line(console)) is not None:
            if line.strip():
                events = client.ask(assistant, {"message": line}, conversation=conversation)
                await _show(events, options)


def _read_line(console: Console) -> str | None:
    try:
        return console.input("[bold]> [/bold]" if sys.stdin.isatty() else "")
    except EOFError:
        return None


def parse_input(
    arguments: list[str], schema: dict[str, Any], text_field: str | None
) -> dict[str, Json]:
    """`--field value` and `--field=value` by the input schema, or the text of `text_field` alone.

    Raises InvalidRequest.
    """
    fields = schema.get("properties", {})
    given: dict[str, Json] = {}
    waiting = iter(arguments)
    for argument in waiting:
        name, _, value = argument.removeprefix("--").partition("=")
        name = name.replace("-", "_")
        if not argument.startswith("--"):
            if text_field is None or text_field in given:
                raise InvalidRequest(_stray(argument, fields))
            given[text_field] = argument
        elif name not in fields:
            raise InvalidRequest(f"--{name} is no field of this assistant; {_near(name, fields)}")
        else:
            given[name] = _typed(value if "=" in argument else next(waiting, ""), fields[name])
    return given


def _stray(argument: str, fields: dict[str, Any]) -> str:
    known = " ".join(f"--{field} …" for field in fields)
    return f"{argument!r} belongs to no field; quote a text of several words, or give {known}"


def _near(name: str, fields: dict[str, Any]) -> str:
    return near(f"--{name}", [f"--{field}" for field in fields])


def _typed(text: str, schema: dict[str, Any]) -> Json:
    if _takes_text(schema):
        return text
    try:
        value: Json = json.loads(text)
    except ValueError:
        return text
    return value


def _takes_text(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "string" or any(map(_takes_text, schema.get("anyOf", ())))


@asynccontextmanager
async def connected(options: Options) -> AsyncIterator[Client]:
    """A client of the server at the URL, or of an app in this process where there is none."""
    async with Client(options.url or HERE) as client:
        if options.url is not None and not await client.alive():
            raise EngineUnavailable(f"no leafstream server answers at {shown_url(options.url)}")
        if options.file is None and (options.url is not None or await client.alive()):
            yield client
            return
    if options.file is None:
        sys.stderr.write(f"(no server at {HERE}; the model is loaded here)\n")
    async with _embedded(options) as client:
        yield client


@asynccontextmanager
async def _embedded(options: Options) -> AsyncIterator[Client]:
    from leafstream.engine_choice import open_engine  # noqa: PLC0415
    from leafstream.reporting import download_bar  # noqa: PLC0415
    from leafstream.served import read_served  # noqa: PLC0415
    from leafstream.server import Listening, open_app  # noqa: PLC0415
    from leafstream.settings import read_settings  # noqa: PLC0415

    served = read_served(options.file)
    settings = read_settings()
    with download_bar() as progress:
        loading = asyncio.ensure_future(open_engine(settings, progress))
        app = await open_app(settings, served, loading)
    async with Listening(app) as url, Client(url) as client:
        yield client


async def _show(events: AsyncGenerator[Event, None], options: Options) -> None:
    async with aclosing(events):
        if options.json:
            await _show_json(events)
        elif sys.stdout.isatty():
            await _show_live(events)
        else:
            await _show_plain(events)


async def _show_json(events: AsyncIterator[Event]) -> None:
    async for event in events:
        line = {"event": event.kind, **msgspec.to_builtins(event)}
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
        sys.stdout.flush()
        _raise_failure(event)


async def _show_plain(events: AsyncIterator[Event]) -> None:
    """The text as it comes; of an answer with fields, a line for each with its name."""
    path: str | None = None
    async for event in events:
        if isinstance(event, Noticed):
            sys.stderr.write(f"({event.message})\n")
        if isinstance(event, TextAppended):
            sys.stdout.write(event.text if event.path == path else _label(event, path) + event.text)
            path = event.path
        elif isinstance(event, ValueSet) and not isinstance(event.value, dict | list):
            sys.stdout.write(_label(event, path) + _written(event.value))
            path = event.path
        sys.stdout.flush()
        _raise_failure(event)
    sys.stdout.write("\n")


def _label(event: TextAppended | ValueSet, before: str | None) -> str:
    """What comes before a field's text: the end of the line before and the field's name."""
    name = ".".join(split(event.path))
    return ("" if before is None else "\n") + (f"{name}: " if name else "")


async def _show_live(events: AsyncIterator[Event]) -> None:
    fold, notes = Fold(), list[str]()
    with Live(console=Console(), refresh_per_second=12, vertical_overflow="visible") as live:
        async for event in events:
            fold.apply(event)
            if isinstance(event, Noticed):
                notes.append(event.message)
            if isinstance(event, Finished):
                notes.append(_summary(event))
            begun = [] if fold.value is None else [drawn(fold.value)]
            live.update(Group(*begun, *(Text(note, style="dim") for note in notes)))
            _raise_failure(event)


def _raise_failure(event: Event) -> None:
    if isinstance(event, Failed):
        raise LeafstreamError(event.message)
    if isinstance(event, Cancelled):
        raise LeafstreamError(f"cancelled: {event.reason}")


def _summary(event: Finished) -> str:
    seconds = event.timings.total
    speed = event.usage.completion_tokens / seconds if seconds else 0
    end = "" if event.complete else f" · {event.finish}, cut: {', '.join(event.cut) or 'nothing'}"
    return f"{event.usage.completion_tokens} tokens · {seconds:.1f} s · {speed:.0f} tokens/s{end}"


def drawn(value: Json, name: str | None = None) -> RenderableType:
    """A value as a person reads it: fields by name, containers as panels."""
    shown = (name or "").translate(CONTROLS)
    if isinstance(value, dict):
        body = Group(*(drawn(item, key) for key, item in value.items()))
        return Panel(body, title=Text(shown), title_align="left") if name else body
    if isinstance(value, list):
        items = [drawn(item, f"{name or ''} {i + 1}".strip()) for i, item in enumerate(value)]
        return Group(*items)
    text = _written(value).translate(CONTROLS)
    return Text.assemble((f"{shown}  ", "bold green"), text) if name else Text(text)


def _written(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
