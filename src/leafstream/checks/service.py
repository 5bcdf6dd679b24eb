"""Checks of what is to be served: the model, the port, the databases, the assistants."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from leafstream.checks import folder
from leafstream.checks.check import Finding, Target, ok, problem, warning
from leafstream.engine_choice import DEFAULT_SLOTS, upstream_options
from leafstream.engines.checkpoint import PREFIX
from leafstream.engines.device import free_memory
from leafstream.engines.grammar import compile_grammar
from leafstream.engines.llamacpp import (
    LlamaCppOptions,
    template_of,
    window_of,
)
from leafstream.engines.memory import GIB, check_memory
from leafstream.engines.openai.probe import Found
from leafstream.engines.upstream import look_at_each
from leafstream.errors import SetupError
from leafstream.keys import read_keys
from leafstream.log.choice import open_storage
from leafstream.models.cache import check_space, megabytes, place
from leafstream.models.catalog import Known
from leafstream.models.fetch import cache_folder, is_here, parse_spec
from leafstream.models.gguf import Header, read_header
from leafstream.port import bound_socket, check_exposure
from leafstream.served import Served, read_served
from leafstream.settings import Settings, shown
from leafstream.tracing import check_installed


def assistants(target: Target) -> Finding:
    """Whether the assistants' file can be read."""
    served = _served(target)
    return ok(", ".join(served.assistants))


def grammars(target: Target) -> Finding:
    """Whether the engine can hold every answer to its type while it is written."""
    served = _served(target)
    inexact = [
        name
        for name, assistant in served.assistants.items()
        if assistant.schema is not None and not compile_grammar(assistant.schema).exact
    ]
    if inexact:
        advice = "their answers are checked when they are written; see `leafstream explain`"
        return warning(f"no exact grammar for {', '.join(inexact)}", advice)
    return ok("exact for every assistant")


def _served(target: Target) -> Served:
    return target.served if target.served is not None else read_served(target.source)


def model(target: Target) -> Finding:
    """Whether the model is there, whole, and a model."""
    settings = target.settings
    if folder.is_wanted(settings):
        return folder.files(settings)
    if _is_elsewhere(settings):
        return ok("what the upstream serves" if settings.upstream else settings.model)
    path = _path(settings)
    if path is None:
        return _to_fetch(settings)
    header = read_header(path)
    size = megabytes(path.stat().st_size)
    shape = f"{header.architecture} {header.quantization or ''}".strip()
    return ok(f"{path.name}: {shape}, {size}, checked")


def upstreams(target: Target) -> Finding:
    """What the engines elsewhere are; whether they write is found out by the start itself."""
    settings = target.settings
    if settings.upstream is None:
        return ok("none")
    found = asyncio.run(look_at_each(upstream_options(settings, settings.upstream)))
    wrong = [said.message for said in found.values() if isinstance(said, SetupError)]
    well = [
        f"{url} is {said.vendor.name} with {said.model}"
        for url, said in found.items()
        if isinstance(said, Found)
    ]
    if not well:
        return problem(f"no upstream can be used: {'; '.join(wrong)}", "check LEAFSTREAM_UPSTREAM")
    if wrong:
        return warning("; ".join([*wrong, *well]), "the others take its part")
    return ok("; ".join(well))


def _to_fetch(settings: Settings) -> Finding:
    wanted = parse_spec(settings.model)
    assert not isinstance(wanted, Path)
    if settings.offline:
        raise SetupError(
            f"{settings.model} is not in the model cache and LEAFSTREAM_OFFLINE forbids to fetch "
            f"it; put it at {place(wanted, cache_folder(settings.cache_folder))}"
        )
    size = "its size is known when it is"
    if isinstance(wanted, Known):
        check_space(cache_folder(settings.cache_folder), wanted.size, wanted.name)
        size = megabytes(wanted.size)
    advice = f"the first start does; `leafstream models pull {settings.model}` does it now"
    return warning(f"{settings.model} is not fetched yet ({size})", advice)


def _is_elsewhere(settings: Settings) -> bool:
    """Whether the model is not a file that llama.cpp loads here."""
    return settings.upstream is not None or settings.model.startswith(("scripted:", PREFIX))


def _path(settings: Settings) -> Path | None:
    """The model's file; None where it has to be fetched first. Raises SetupError."""
    return is_here(settings.model, cache_folder(settings.cache_folder))


def _header(settings: Settings) -> Header | None:
    """None where there is no model's file to look into; why there is none is another check's."""
    try:
        path = None if _is_elsewhere(settings) else _path(settings)
        return None if path is None else read_header(path)
    except SetupError:
        return None


def _options(settings: Settings) -> LlamaCppOptions:
    template = settings.chat_template
    try:
        text = template.read_text() if template is not None else None
    except OSError as error:
        raise SetupError(f"the chat template {template} cannot be read: {error.strerror}") from None
    return LlamaCppOptions(
        context_window=settings.context_window,
        slots=settings.slots or DEFAULT_SLOTS,
        chat_template=text,
    )


def template(target: Target) -> Finding:
    """Whether the chat template keeps every turn."""
    if folder.is_wanted(target.settings):
        return folder.template(target.settings)
    header = _header(target.settings)
    if header is None:
        return ok("whatever the model brings")
    options = _options(target.settings)
    template_of(header, options)
    if options.chat_template is not None:
        return ok(str(target.settings.chat_template))
    if header.chat_template is None:
        advice = (
            "a base model takes none; else set LEAFSTREAM_CHAT_TEMPLATE to what it was trained with"
        )
        return warning("the model's file has none and ChatML is used", advice)
    return ok("the model's own")


def memory(target: Target) -> Finding:
    """Whether the model and its contexts fit."""
    if folder.is_wanted(target.settings):
        return folder.memory(target.settings)
    header = _header(target.settings)
    if header is None:
        return ok(f"{free_memory() / GIB:.1f} GiB are free")
    options = _options(target.settings)
    return ok(check_memory(header, window_of(header, options), options.slots))


def port(target: Target) -> Finding:
    """Whether the port is free."""
    settings = target.settings
    try:
        bound_socket(settings.host, settings.port).close()
    except SetupError as error:
        url = f"http://{settings.host}:{settings.port}"
        if not _is_ours(url):
            raise
        return warning(f"leafstream serves at {url} already", error.message)
    return ok(f"{settings.host}:{settings.port} is free")


def traces(target: Target) -> Finding:
    """Whether traces can be sent, where they are to be."""
    endpoint = target.settings.otlp_endpoint
    if endpoint is None:
        return ok("off")
    check_installed()
    try:
        httpx2.get(endpoint, timeout=2)
    except httpx2.HTTPError as error:
        return warning(
            f"no collector answers at {endpoint}", f"they are lost until it does: {error}"
        )
    return ok(str(shown("url", endpoint)))


def _is_ours(url: str) -> bool:
    try:
        response = httpx2.get(f"{url}/readyz", timeout=2, trust_env=False)
        return "free_slots" in response.json()  # also where it is not ready
    except (httpx2.HTTPError, ValueError):
        return False


def callers(target: Target) -> Finding:
    """Whether everybody on a network could ask, and whether the keys can be read."""
    settings = target.settings
    check_exposure(settings)
    if settings.keys_file is not None:
        return ok(f"{len(read_keys(settings.keys_file))} keys")
    if settings.open:
        advice = "`leafstream keys add NAME` makes a key"
        return warning("everybody who reaches it may ask", advice)
    return ok("no keys; this machine alone may ask")


def database(target: Target) -> Finding:
    """Whether conversations can be kept."""
    from leafstream.store.database import probe  # noqa: PLC0415 -- not before a model loads: start.py

    return ok(asyncio.run(probe(target.settings.database)))


def answers(target: Target) -> Finding:
    """Whether answers' events can be kept."""
    url = target.settings.answers

    async def look() -> bool:
        storage = await open_storage(url)
        durable = storage.durable
        await storage.close()
        return durable

    if not asyncio.run(look()):
        return warning(
            "they are kept in memory alone", "set LEAFSTREAM_ANSWERS_URL to outlive a crash"
        )
    parts = urlsplit(url)
    return ok(f"{parts.scheme} {parts.hostname or parts.path.removeprefix('/')}")
