"""Checks of a model that transformers loads: its libraries, its folder, its room."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import msgspec

from leafstream.checks.check import Finding, Target, ok, problem, warning
from leafstream.engine_choice import transformers_options
from leafstream.engines.checkpoint import PREFIX, at_hand
from leafstream.engines.transformers import window_of
from leafstream.engines.weights import check, require_bitsandbytes, require_extra
from leafstream.errors import SetupError
from leafstream.models.cache import megabytes
from leafstream.models.fetch import cache_folder
from leafstream.models.gguf import read_header
from leafstream.models.shape import read_shape
from leafstream.prompt import ChatTemplate
from leafstream.settings import Settings
from leafstream.sizing import Use

LIBRARIES: tuple[str, ...] = ("torch", "transformers", "accelerate")
# Files from which transformers makes a fast tokenizer.
SLOW_TOKENIZERS = ("tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")


def is_wanted(settings: Settings) -> bool:
    """Whether transformers loads the model here."""
    return settings.upstream is None and settings.model.startswith(PREFIX)


def libraries(target: Target) -> Finding:
    """Whether torch and the rest of the extra can be imported."""
    settings = target.settings
    if not is_wanted(settings):
        return ok("not needed; they are for transformers: models")
    require_extra()
    names = LIBRARIES
    if settings.quant != "none":
        require_bitsandbytes()
        names = (*LIBRARIES, "bitsandbytes")
    return ok(", ".join(f"{name} {importlib.metadata.version(name)}" for name in names))


def files(settings: Settings) -> Finding:
    """Whether the weights are there and whole, with a tokenizer beside them."""
    path = _path(settings)
    if path is None:
        return _to_fetch(settings)
    shape = read_shape(path)
    told = f"{path.name}: {shape.architecture} {shape.storage}, {megabytes(shape.stored)}, checked"
    if path.is_file():
        return warning(f"{told}, a GGUF file", "the first start widens it to bf16 and keeps that")
    if (path / "tokenizer.json").is_file():
        return ok(told)
    if any((path / name).is_file() for name in SLOW_TOKENIZERS):
        return warning(
            f"{told}; no tokenizer.json",
            "transformers makes one at each start; save the tokenizer with save_pretrained",
        )
    return problem(f"{path} has no tokenizer.json", "save the tokenizer there with save_pretrained")


def template(settings: Settings) -> Finding:
    """Whether the chat template keeps every turn."""
    path = _path(settings)
    given = transformers_options(settings).chat_template
    source, config = (None, {}) if path is None or path.is_file() else _kept(path)
    if given is None and path is not None and path.is_file():
        source = read_header(path).chat_template
    if (text := given or source) is not None:
        ChatTemplate(text, bos=_token(config, "bos_token"), eos=_token(config, "eos_token"))
    if given is not None:
        return ok(str(settings.chat_template))
    if path is None:
        return ok("whatever the model brings")
    if source is None:
        advice = (
            "a base model takes none; else set LEAFSTREAM_CHAT_TEMPLATE to what it was trained with"
        )
        return warning("the model's folder has none and ChatML is used", advice)
    return ok("the model's own")


def memory(settings: Settings) -> Finding:
    """Whether weights and contexts fit, in memory or in the folder for what is offloaded."""
    path = _path(settings)
    if path is None:
        return ok(f"`leafstream plan {settings.model}` says what it needs")
    require_extra()
    options, shape = transformers_options(settings), read_shape(path)
    use = Use(window_of(shape, options), options.slots)
    return ok(check(shape, options.weights, use, options.piece))


def _path(settings: Settings) -> Path | None:
    return at_hand(settings.model.removeprefix(PREFIX), cache_folder(settings.cache_folder))


def _to_fetch(settings: Settings) -> Finding:
    name = settings.model.removeprefix(PREFIX)
    if settings.offline:
        raise SetupError(
            f"{name} is not on this machine and LEAFSTREAM_OFFLINE forbids to fetch it; give a "
            f"folder as LEAFSTREAM_MODEL={PREFIX}/path/to/folder"
        )
    return warning(f"{name} is not fetched yet", "the first start does")


class _TokenizerConfig(msgspec.Struct, frozen=True):
    """tokenizer_config.json; a token is its text, or an object with it."""

    chat_template: str | list[dict[str, str]] | None = None
    bos_token: Any = None
    eos_token: Any = None


def _kept(folder: Path) -> tuple[str | None, dict[str, Any]]:
    """The template of a folder and its tokenizer's settings. Raises SetupError."""
    path = folder / "tokenizer_config.json"
    try:
        config = msgspec.json.decode(path.read_bytes(), type=_TokenizerConfig)
    except FileNotFoundError:
        config = _TokenizerConfig()
    except (msgspec.DecodeError, OSError) as error:
        raise SetupError(f"{path} cannot be read: {error}") from None
    own = folder / "chat_template.jinja"
    source = own.read_text() if own.is_file() else config.chat_template
    if isinstance(source, list):
        named = {each.get("name"): each.get("template") for each in source}
        source = named.get("default") or next(iter(named.values()), None)
    return source, msgspec.structs.asdict(config)


def _token(config: dict[str, Any], name: str) -> str:
    token = config.get(name)
    return str(token.get("content", "") if isinstance(token, dict) else token or "")
