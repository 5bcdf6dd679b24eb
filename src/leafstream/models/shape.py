"""What a model's memory depends on, read from the headers of its files: a GGUF, or a folder as
Hugging Face lays it out (config.json and safetensors). No weight is read.
"""

from __future__ import annotations

import struct
from math import prod
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from leafstream.errors import SetupError
from leafstream.models import container
from leafstream.models.gguf import read_header

MAX_SAFETENSORS_HEADER = 100 << 20
# Of a context: what is served unless asked otherwise, and all there is of a model that tells none.
DEFAULT_WINDOW: Final = 4096
TABLES = ("embed", "wte.", "wpe.", "lm_head", "token_embd")

# llama.cpp's own knowledge (llama-model.cpp): of how many layers the last sees everything.
SLIDING_PATTERN = {"gemma2": 2, "gemma3": 6, "gemma3n": 5, "gpt-oss": 2, "cohere2": 4}


class Tensor(msgspec.Struct, frozen=True, gc=False):
    """`size` is in bytes, as stored."""

    name: str
    num_parameters: int
    num_dimensions: int
    size: int


class Shape(msgspec.Struct, frozen=True):
    """Counts of a decoder. `num_linear` parameters lie in the linear layers of its blocks, which is
    what 4-bit and 8-bit loading shrinks; `num_table` in the embedding of its vocabulary.

    `key_length` and `value_length` are per head; `num_sliding` layers see `window` tokens only.
    `stored` is in bytes; `storage` names its type.
    """

    kind: Literal["gguf", "safetensors"]
    architecture: str
    storage: str
    stored: int
    num_parameters: int
    num_linear: int
    num_table: int
    is_tied: bool
    num_layers: int
    width: int
    inner: int
    num_heads: int
    num_kv_heads: int
    key_length: int
    value_length: int
    vocab_size: int
    context_length: int
    num_sliding: int = 0
    window: int = 0


def read_shape(path: Path) -> Shape:
    """The shape of the model at `path`. Raises SetupError where it is none."""
    if path.is_dir():
        return _folder(path)
    return _gguf(path)


def _gguf(path: Path) -> Shape:
    header = read_header(path)
    with path.open("rb") as file:
        held = container.read(file, path, path.stat().st_size)
    tensors = [Tensor(t.name, t.num_elements, t.num_dimensions, t.size) for t in held.tensors]
    kind = header.architecture
    layers = header.num_layers or 0
    window = held.count(f"{kind}.attention.sliding_window") or 0
    pattern = SLIDING_PATTERN.get(kind, 0)
    return Shape(
        kind="gguf",
        architecture=kind,
        storage=header.quantization or "unknown",
        num_layers=layers,
        width=header.embedding_length or 0,
        inner=held.count(f"{kind}.feed_forward_length") or 0,
        num_heads=header.num_heads or 1,
        num_kv_heads=header.num_kv_heads or 1,
        key_length=header.key_length or 0,
        value_length=header.value_length or 0,
        vocab_size=header.vocab_size,
        context_length=header.context_length or DEFAULT_WINDOW,
        num_sliding=layers - layers // pattern if window and pattern else 0,
        window=window,
        **_sums(tensors, tied=all(tensor.name != "output.weight" for tensor in tensors)),
    )


def _sums(tensors: list[Tensor], *, tied: bool) -> dict[str, Any]:
    tables = [t for t in tensors if _is_table(t.name)]
    inside = [t for t in tensors if t.num_dimensions > 1 and not _is_table(t.name)]
    return {
        "stored": sum(t.size for t in tensors),
        "num_parameters": sum(t.num_parameters for t in tensors),
        "num_linear": sum(t.num_parameters for t in inside),
        "num_table": max((t.num_parameters for t in tables), default=0),
        "is_tied": tied,
    }


def _is_table(name: str) -> bool:
    return name == "output.weight" or any(part in name for part in TABLES)


NAMES = {
    "model_type": ("model_type",),
    "num_layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "width": ("hidden_size", "n_embd", "n_embed", "d_model"),
    "num_heads": ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    "num_kv_heads": ("num_key_value_heads", "num_kv_heads"),
    "head_dim": ("head_dim",),
    "inner": ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"),
    "vocab_size": ("vocab_size",),
    "context_length": ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"),
    "sliding_window": ("sliding_window",),
    "layer_types": ("layer_types",),
}
"""What a config.json may call it, by model type; the usual name comes first."""


class _Config(msgspec.Struct, frozen=True):
    """What a config.json tells, under one name for all model types."""

    model_type: str = "unknown"
    num_layers: int | None = None
    width: int | None = None
    num_heads: int | None = None
    num_kv_heads: int | None = None
    head_dim: int | None = None
    inner: int | None = None
    vocab_size: int = 0
    context_length: int | None = None
    sliding_window: int | None = None
    layer_types: list[str] | None = None


def _folder(path: Path) -> Shape:
    files = sorted(path.glob("*.safetensors"))
    _check_index(path / "model.safetensors.index.json", {file.name for file in files})
    if (path / "config.json").is_file() and not files:
        raise SetupError(
            f"{path} holds no .safetensors files; weights pickled as .bin are not loaded: save the "
            "model again with save_pretrained, or take a GGUF file"
        )
    return shape_from(path / "config.json", [held for file in files for held in _safetensors(file)])


class _Index(msgspec.Struct, frozen=True):
    weight_map: dict[str, str]


def _check_index(path: Path, there: set[str]) -> None:
    """Raises SetupError where the model is in several files and one of them is not there."""
    try:
        wanted = set(msgspec.json.decode(path.read_bytes(), type=_Index).weight_map.values())
    except FileNotFoundError:
        return
    except (msgspec.DecodeError, OSError) as error:
        raise SetupError(f"{path} cannot be read: {error}") from None
    if missing := sorted(wanted - there):
        raise SetupError(
            f"{path.parent} lacks {', '.join(missing)}, of the {len(wanted)} files that its index "
            "names; download the model again"
        )


class Held(msgspec.Struct, frozen=True):
    """A tensor as a safetensors header names it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def shape_from(config_file: Path, held: list[Held]) -> Shape:
    """The shape of a model from its config.json and the headers of all its files."""
    config = _config(config_file)
    tensors = [
        Tensor(h.name, prod(h.shape), len(h.shape), h.data_offsets[1] - h.data_offsets[0])
        for h in held
    ]
    layers = _told(config.num_layers, "num_layers", config_file)
    width = _told(config.width, "width", config_file)
    heads = config.num_heads or 1
    head = config.head_dim or width // heads
    return Shape(
        kind="safetensors",
        architecture=config.model_type,
        storage="+".join(sorted({h.dtype for h in held})),
        num_layers=layers,
        width=width,
        inner=config.inner or 4 * width,
        num_heads=heads,
        num_kv_heads=config.num_kv_heads or heads,
        key_length=head,
        value_length=head,
        vocab_size=config.vocab_size,
        context_length=config.context_length or DEFAULT_WINDOW,
        num_sliding=(config.layer_types or []).count("sliding_attention"),
        window=config.sliding_window or 0,
        **_sums(tensors, tied=all("lm_head" not in tensor.name for tensor in tensors)),
    )


def _told(count: int | None, what: str, path: Path) -> int:
    if not count:
        raise SetupError(
            f"{path} does not tell the model's {what.replace('num_', 'number of ')}: it has none "
            f"of {', '.join(NAMES[what])}; take a GGUF file of the model, or another model"
        )
    return count


def _config(path: Path) -> _Config:
    try:
        raw = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        raw = msgspec.convert(raw.get("text_config") or raw, dict[str, Any])
        given = {ours: _first(raw, names) for ours, names in NAMES.items()}
        told = {ours: value for ours, value in given.items() if value is not None}
        return msgspec.convert(told, _Config)
    except FileNotFoundError:
        raise SetupError(f"{path.parent} is no model folder: it has no config.json") from None
    except (msgspec.DecodeError, OSError) as error:
        raise SetupError(f"{path} cannot be read: {error}") from None


def _first(raw: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((raw[name] for name in names if raw.get(name) is not None), None)


class _Entry(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def _safetensors(path: Path) -> list[Held]:
    """The tensors of a file; the format is described in safetensors' README."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            raw = file.read(min(length, MAX_SAFETENSORS_HEADER))
        header = msgspec.json.decode(raw, type=dict[str, Any])
        header.pop("__metadata__", None)
        entries = msgspec.convert(header, dict[str, _Entry])
    except (OSError, ValueError, struct.error) as error:
        raise SetupError(f"{path} is not a whole safetensors file: {error}") from None
    promised = 8 + length + max((e.data_offsets[1] for e in entries.values()), default=0)
    if promised > size:
        raise SetupError(
            f"{path} is cut short: {size:,} bytes are there and its header promises {promised:,}; "
            "download it again"
        )
    return [Held(name, e.dtype, e.shape, e.data_offsets) for name, e in entries.items()]
