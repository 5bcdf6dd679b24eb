"""The models of this machine in a terminal."""

from __future__ import annotations

import json as js
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leafstream.errors import NotFound, SetupError
from leafstream.lines import escaped
from leafstream.models.cache import digest, megabytes, sealed_digest
from leafstream.models.catalog import KNOWN, Known
from leafstream.models.fetch import Progress, cache_folder, installed, is_here, parse_spec
from leafstream.models.gguf import read_header
from leafstream.reporting import print_table
from leafstream.settings import Settings


class Card(msgspec.Struct, frozen=True):
    """What a model's file says of itself; `checksum` is what became of checking it."""

    name: str
    file: str
    bytes: int
    sha256: str
    checksum: str
    architecture: str
    quantization: str | None
    parameters: int | None
    context: int | None
    template: bool
    license: str | None
    about: str | None


def show_list(settings: Settings, *, json: bool) -> None:
    """The models in the cache, then those that could be fetched by a short name."""
    here = {model.name: model for model in installed(cache_folder(settings.cache_folder))}
    rows: list[dict[str, Any]] = [
        {"name": name, "bytes": model.size, "here": True, "about": _about(name)}
        for name, model in here.items()
    ]
    rows += [
        {"name": known.name, "bytes": known.size, "here": False, "about": _about(known.name)}
        for known in KNOWN.values()
        if known.name not in here
    ]
    if json:
        print(js.dumps(rows))  # noqa: T201
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("model", "size", "", "about"):
        table.add_column(column, overflow="fold")
    for row in rows:
        where = "here" if row["here"] else "to be pulled"
        table.add_row(row["name"], megabytes(row["bytes"]), where, row["about"] or "")
    print_table(table)


def _about(name: str) -> str | None:
    return f"{KNOWN[name].about} ({KNOWN[name].license})" if name in KNOWN else None


def read_card(name: str, settings: Settings, progress: Progress) -> Card:
    """Read and check a model's file. Raises NotFound where it is not here, SetupError."""
    path = is_here(name, cache_folder(settings.cache_folder))
    if path is None:
        raise NotFound(f"{name} is not in the model cache; `leafstream models pull {name}` gets it")
    header = read_header(path)
    wanted = parse_spec(name)
    known = wanted if isinstance(wanted, Known) else None
    found = digest(path, f"checking {path.name}", progress)
    return Card(
        name=header.name or path.stem,
        file=str(path),
        bytes=path.stat().st_size,
        sha256=found,
        checksum=_compared(found, known.sha256 if known else sealed_digest(path)),
        architecture=header.architecture,
        quantization=header.quantization,
        parameters=header.num_parameters,
        context=header.context_length,
        template=header.chat_template is not None,
        license=known.license if known else None,
        about=known.about if known else None,
    )


def _compared(found: str, expected: str | None) -> str:
    if expected is None:
        return "nothing to compare it with"
    if found != expected:
        raise SetupError(
            f"the file is not what it was: its SHA-256 is {found[:12]}… instead of "
            f"{expected[:12]}…; remove the model and pull it again"
        )
    return "as expected"


def show_card(card: Card, *, json: bool) -> None:
    """What a file says of itself may come from anybody."""
    if json:
        print(escaped(msgspec.json.encode(card).decode()))  # noqa: T201
        return
    told = {
        "name": card.name,
        "about": card.about,
        "license": card.license,
        "file": card.file,
        "size": megabytes(card.bytes),
        "SHA-256": f"{card.sha256} ({card.checksum})",
        "architecture": card.architecture,
        "quantization": card.quantization,
        "parameters": f"{card.parameters:,}" if card.parameters else None,
        "context": f"{card.context} tokens" if card.context else None,
        "chat template": "its own" if card.template else "none; ChatML would be used",
    }
    console = Console(highlight=False, soft_wrap=True)
    for name, value in told.items():
        if value is not None:
            console.print(Text.assemble((f"{name:<14}", "bold"), " ", escaped(str(value))))
