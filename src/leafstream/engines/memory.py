"""What a model takes of this machine's memory, and what there is of it."""

from __future__ import annotations

import os
from pathlib import Path

from leafstream.errors import SetupError
from leafstream.models.gguf import Header

GIB = 2**30
CGROUP = Path("/sys/fs/cgroup")


def check_memory(header: Header, window: int, slots: int) -> str:
    """Say how a model and its contexts fit. Raises SetupError where they do not."""
    needed, available = needed_memory(header, window, slots), available_memory()
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


def available_memory() -> int:
    """Bytes that this process may take without another one losing its own."""
    machine = _meminfo().get("MemAvailable")
    if machine is None:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(machine, _cgroup_room() or machine)


def _meminfo() -> dict[str, int]:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    sizes = (line.split(":", 1) for line in lines)
    return {name: int(size.split()[0]) * 1024 for name, size in sizes}


def _cgroup_room() -> int | None:
    """What a container's limit leaves, its page cache counted as free; None without a limit."""
    try:
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
        rows = (line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        cache = sum(int(size) for name, size in rows if name in ("inactive_file", "active_file"))
    except (OSError, ValueError):  # "max" is no number
        return None
    return max(0, limit - used + cache)
