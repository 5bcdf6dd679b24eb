"""Which engine the settings ask for, opened: the one place that knows them all."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

import msgspec

from leafstream.engines.base import Engine
from leafstream.engines.checkpoint import PREFIX, checkpoint
from leafstream.engines.llamacpp import LlamaCppEngine, LlamaCppOptions
from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.engines.transformers import TransformersEngine, TransformersOptions
from leafstream.engines.upstream import Timeouts, UpstreamEngine, UpstreamOptions
from leafstream.engines.weights import WeightOptions, require_extra
from leafstream.errors import SetupError
from leafstream.models.fetch import Progress, cache_folder, resolve
from leafstream.sampling import Sampling
from leafstream.settings import Settings
from leafstream.sizing import read_size

TRANSFORMERS_ONLY = (
    "dtype",
    "quant",
    "double_quant",
    "compute_dtype",
    "device",
    "offload",
    "offload_folder",
    "offload_memory",
)

DEFAULT_SLOTS = 4


def loads_model(settings: Settings) -> bool:
    """Whether the engine is on this machine: a process of ours loads a model."""
    return settings.upstream is None and not settings.model.startswith("scripted:")


async def open_engine(settings: Settings, progress: Progress | None = None) -> Engine:
    """The engine, ready to write. Raises SetupError with what to do where it cannot be had."""
    check_engine(settings)
    if settings.model.startswith("scripted:"):
        return _scripted(settings)
    if settings.model.startswith(PREFIX):
        return await _transformers(settings, progress)
    if settings.upstream is not None:
        return await _upstream(settings, settings.upstream)
    return await _llamacpp(settings, progress)


def check_engine(settings: Settings) -> None:
    """Raises SetupError where the settings ask for two engines, or set what theirs does not heed.

    Before anything is fetched or loaded.
    """
    if settings.model.startswith("scripted:"):
        return
    if not settings.model.startswith(PREFIX):
        _refuse_unused(settings)
    elif settings.upstream is not None:
        raise SetupError(
            f"LEAFSTREAM_MODEL={settings.model} and LEAFSTREAM_UPSTREAM are two engines; "
            "unset one of them"
        )


class _Pace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may stand behind a script's name: `?delay=0.02&slots=50`."""

    delay: float | Literal["none"] = 0.02
    slots: int | None = None
    cap: int | None = None
    burst: int = 1


def _scripted(settings: Settings) -> ScriptedEngine:
    """`scripted:FILE`: plays the text of a file, for trying clients without a model."""
    url = urlsplit(settings.model.removeprefix("scripted:"))
    try:
        script = Path(url.path).read_text()
        told = msgspec.convert(dict(parse_qsl(url.query)), _Pace, strict=False)
    except (OSError, ValueError) as error:
        raise SetupError(f"LEAFSTREAM_MODEL={settings.model}: {error}") from None
    window = settings.context_window or 2048
    slots = told.slots or settings.slots or DEFAULT_SLOTS
    delay = None if told.delay == "none" else told.delay
    play = Play(delay=delay, cap=told.cap, burst=told.burst, slots=slots, context_window=window)
    return ScriptedEngine(script, play)


async def _upstream(settings: Settings, urls: str) -> Engine:
    """Find out what is at the URLs, and whether it can be used."""
    return await UpstreamEngine.open(upstream_options(settings, urls))


def upstream_options(settings: Settings, urls: str) -> UpstreamOptions:
    """How the servers at the URLs are to be asked. Raises SetupError."""
    for name in ("chat_template", "threads"):
        if getattr(settings, name) is not None:
            raise SetupError(
                f"LEAFSTREAM_{name.upper()} has no effect with LEAFSTREAM_UPSTREAM: set it where "
                "the model runs"
            )
    _refuse_repeatable(settings, "it is the upstream's to be so: vLLM's VLLM_BATCH_INVARIANT=1")
    listed = tuple(url.strip() for url in urls.split(",") if url.strip())
    if not listed:
        raise SetupError("LEAFSTREAM_UPSTREAM names no URL; give http://host:port or unset it")
    key = settings.upstream_key
    return UpstreamOptions(
        urls=listed,
        key=key.get_secret_value().strip() if key is not None else None,
        # Our default is a model of ours; theirs is what they serve.
        model=settings.model if "model" in settings.model_fields_set else None,
        vendor=settings.upstream_vendor,
        context_window=settings.context_window,
        slots=settings.slots,
        tokenizer=settings.upstream_tokenizer,
        ignored=_ignored(settings.upstream_ignore),
        timeouts=Timeouts(
            settings.upstream_connect_seconds,
            settings.upstream_first_token_seconds,
            settings.upstream_between_tokens_seconds,
            settings.engine_patience_seconds,
        ),
    )


def _ignored(names: str) -> frozenset[str]:
    ignored = frozenset(name.strip() for name in names.split(",") if name.strip())
    if unknown := ignored - set(Sampling.__struct_fields__):
        known = ", ".join(Sampling.__struct_fields__)
        raise SetupError(
            f"LEAFSTREAM_UPSTREAM_IGNORE names {', '.join(sorted(unknown))}; it takes: {known}"
        )
    return ignored


async def _transformers(settings: Settings, progress: Progress | None) -> Engine:
    """A model through transformers; its libraries are an extra."""
    require_extra()
    _refuse_repeatable(settings, "its batches are as large as there are answers")
    spec = settings.model.removeprefix(PREFIX)
    cache = cache_folder(settings.cache_folder)
    folder = await asyncio.to_thread(
        checkpoint, spec, cache, progress=progress, offline=settings.offline
    )
    return await TransformersEngine.open(folder, transformers_options(settings))


def transformers_options(settings: Settings) -> TransformersOptions:
    """How a transformers model is to be loaded. Raises SetupError."""
    spec = settings.model.removeprefix(PREFIX)
    return TransformersOptions(
        name=spec.rstrip("/").rsplit("/", 1)[-1].removesuffix(".gguf"),
        context_window=settings.context_window,
        slots=settings.slots or DEFAULT_SLOTS,
        threads=settings.threads,
        chat_template=_template(settings.chat_template),
        weights=_weights(settings),
    )


def _weights(settings: Settings) -> WeightOptions:
    memory = settings.offload_memory
    return WeightOptions(
        dtype=settings.dtype,
        quant=settings.quant,
        double_quant=settings.double_quant,
        compute_dtype=settings.compute_dtype,
        device=settings.device,
        offload=settings.offload,
        offload_folder=settings.offload_folder,
        memory=None if memory is None else read_size(memory),
    )


def _refuse_repeatable(settings: Settings, reason: str) -> None:
    if settings.repeatable:
        raise SetupError(
            f"LEAFSTREAM_REPEATABLE has no effect here: {reason}; unset it, or use a GGUF model"
        )


def _refuse_unused(settings: Settings) -> None:
    """Raises SetupError for settings that only the transformers engine heeds."""
    for name in TRANSFORMERS_ONLY:
        if getattr(settings, name) != type(settings).model_fields[name].default:
            raise SetupError(
                f"LEAFSTREAM_{name.upper()} has no effect with LEAFSTREAM_MODEL={settings.model}: "
                f"it is for {PREFIX}… models"
            )


async def _llamacpp(settings: Settings, progress: Progress | None) -> Engine:
    return await LlamaCppEngine.open(*await llamacpp_model(settings, progress))


async def llamacpp_model(
    settings: Settings, progress: Progress | None = None
) -> tuple[Path, LlamaCppOptions]:
    """The model's file, fetched where it is not there yet, and how to load it. Raises SetupError"""
    cache = cache_folder(settings.cache_folder)
    path = await asyncio.to_thread(
        resolve, settings.model, cache=cache, progress=progress, offline=settings.offline
    )
    options = LlamaCppOptions(
        name=_name(settings.model, path),
        context_window=settings.context_window,
        slots=settings.slots or DEFAULT_SLOTS,
        threads=settings.threads,
        chat_template=_template(settings.chat_template),
        repeatable=settings.repeatable,
    )
    return path, options


def _name(spec: str, path: Path) -> str:
    """What to call a model: its short name, or its file's name without a path."""
    return spec if spec.isascii() and spec.replace("-", "").isalnum() else path.stem


def _template(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text()
    except OSError as error:
        raise SetupError(f"the chat template {path} cannot be read: {error.strerror}") from None
