"""The settings as a table of what is in force, and as a reference page of what there is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.table import Table

from leafstream.reporting import print_table
from leafstream.settings import Reading, Settings, shown

INTRODUCTION = """# Settings

Written by `leafstream settings --markdown`; do not edit it by hand.

A setting is given, strongest first, as a flag of `leafstream serve` (`--port 8001`), as an
environment variable (`LEAFSTREAM_PORT=8001`), by the same name in a `.env` of the working folder,
or under its own name in one TOML file (`port = 8001`): the file that `--config` or
`LEAFSTREAM_CONFIG` names, else `leafstream.toml` in the working folder. An empty variable counts
as unset. A key that is no setting is refused with the nearest name. `leafstream settings` shows
the value and the source of each.

What `.env` holds under other names (`HF_TOKEN`, `HTTPS_PROXY`) is handed on as environment
variables. `LEAFSTREAM_URL` says to the client commands (`ask`, `chat`, `top`) which server they
ask.
"""
_FIELDS = Settings.model_fields
_BOUNDS: tuple[tuple[type[Any], str, str], ...] = (
    (Ge, "ge", "≥"),
    (Gt, "gt", ">"),
    (Le, "le", "≤"),
    (Lt, "lt", "<"),
)


def groups() -> dict[str, dict[str, FieldInfo]]:
    """The settings' fields under the headings of the classes that declare them."""
    found: dict[str, dict[str, FieldInfo]] = {}
    for cls in reversed(Settings.__mro__):
        if issubclass(cls, BaseModel) and cls.__module__.startswith("leafstream."):
            own = {n: Settings.model_fields[n] for n in cls.__annotations__ if n in _FIELDS}
            if own:
                found["Other" if cls is Settings else str(cls.__doc__)] = own
    return dict(reversed(found.items()))


def show(reading: Reading) -> None:
    """Print the table of all settings in force."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("setting", "value", "source"):
        table.add_column(column, overflow="fold")
    for heading, fields in groups().items():
        table.add_row(f"[dim]{heading}[/dim]")
        for name in fields:
            table.add_row(
                name, _value(reading, name), _source(reading, name), style=_style(reading, name)
            )
    print_table(table)


def _style(reading: Reading, name: str) -> str:
    return "" if reading.source(name) == "default" else "bold"


def _value(reading: Reading, name: str) -> str:
    value = shown(name, getattr(reading.settings, name))
    return "–" if value is None else _literal(value)


def _source(reading: Reading, name: str) -> str:
    layer = reading.layers.get(name)
    if layer is None:
        return "default"
    return (
        f"{layer.source} {layer.where}" if layer.where not in ("", layer.source) else layer.source
    )


def as_json(reading: Reading) -> str:
    """An object of {value, source} by name."""
    told = {
        name: {
            "value": shown(name, getattr(reading.settings, name)),
            "source": reading.source(name),
        }
        for name in _FIELDS
    }
    return json.dumps(told, ensure_ascii=False, default=str)


def page() -> str:
    """The reference page, in Markdown."""
    parts = [INTRODUCTION]
    for heading, fields in groups().items():
        rows = [_row(name, field) for name, field in fields.items()]
        head = "| setting | takes | default | |\n|---|---|---|---|"
        parts.append(f"## {heading}\n\n{head}\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _row(name: str, field: FieldInfo) -> str:
    default = "" if field.default is None else f"`{_literal(field.default)}`"
    cells = (f"`{name}`", _takes(field), default, field.description or "")
    return "| " + " | ".join(cells).replace("\n", " ") + " |"


def _takes(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {getattr(bound, key)}"
        for bound in field.metadata
        for kind, key, sign in _BOUNDS
        if isinstance(bound, kind)
    ]
    return " ".join([_kind(field.annotation), ", ".join(bounds)]).strip()


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(_kind(arg) for arg in get_args(annotation) if arg is not NoneType)
    names = {
        bool: "`true`, `false`",
        int: "whole number",
        float: "number",
        str: "text",
        Path: "path",
    }
    return names.get(annotation) or re.sub(r"[^\w\[\], ]", "", str(annotation).split(".")[-1])


def _literal(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool | list | dict) else str(value)
