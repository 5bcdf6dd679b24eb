"""What a model takes of this machine's memory."""

from __future__ import annotations

from leafstream.engines.device import free_memory
from leafstream.errors import SetupError
from leafstream.models.gguf import Header

GIB = 2**30


def check_memory(header: Header, window: int, slots: int) -> str:
    """Say how a model and its contexts fit. Raises SetupError where they do not."""
    needed, available = needed_memory(header, window, slots), free_memory()
    told = f"{slots} slots of {window} tokens need about {needed / GIB:.1f} GiB of memory"
    if needed > available:
        raise SetupError(
            f"{told} and {available / GIB:.1f} GiB are free; lower LEAFSTREAM_CONTEXT_WINDOW or "
            "LEAFSTREAM_SLOTS, or take a smaller model"
        )
    return f"{told}, {available / GIB:.1f} GiB are free"


def needed_memory(header: Header, window: int, slots: int) -> int:
    """Bytes of the weights and of all slots' keys and values."""
    return header.tensor_bytes + kv_bytes_per_token(header) * window * slots


def kv_bytes_per_token(header: Header) -> int:
    """Bytes of keys and values in f16 that one token holds over all layers."""
    heads = header.num_kv_heads or header.num_heads or 1
    width = (header.embedding_length or 0) // (header.num_heads or 1)
    key, value = header.key_length or width, header.value_length or width
    return (header.num_layers or 0) * heads * (key + value) * 2
