"""What the machine has: memory that is free, and how fast it is read."""

from __future__ import annotations

import ctypes
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from leafstream.errors import SetupError

CGROUP = Path("/sys/fs/cgroup")
PROBE_BYTES = 256 << 20
PROBE_ROUNDS = 5


def free_memory() -> int:
    """Bytes that this process may take without another one losing its own."""
    machine = _meminfo().get("MemAvailable")
    if machine is None:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    room = _cgroup_room()
    return machine if room is None else min(machine, room)


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


def resident() -> int:
    """Bytes of main memory that this process holds now."""
    return _status("VmRSS")


def peak_resident() -> int:
    """The most that this process has held."""
    return _status("VmHWM")


def _status(name: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        raise SetupError("this system does not tell a process's memory; measure on Linux") from None
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def give_back() -> None:
    """Return freed memory to the system; glibc keeps hundreds of MB of it after a load."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def num_cores() -> int:
    """Cores that this process may use."""
    of_process = getattr(os, "sched_getaffinity", None)
    return len(of_process(0)) if of_process else os.cpu_count() or 1


def bandwidth() -> float:
    """Bytes/s at which all cores together read main memory: the best of a few rounds."""
    threads = num_cores()
    block = ctypes.create_string_buffer(PROBE_BYTES // threads)
    blocks = [block, *(ctypes.create_string_buffer(len(block)) for _ in range(threads - 1))]
    library = ctypes.CDLL(None)
    library.memchr.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]

    def scan(each: ctypes.Array[ctypes.c_char]) -> None:
        # The blocks are zeros, so it reads to the end; ctypes gives the GIL up meanwhile.
        library.memchr(ctypes.addressof(each), 1, len(each))

    times = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(PROBE_ROUNDS):
            begun = time.perf_counter()
            list(pool.map(scan, blocks))
            times.append(time.perf_counter() - begun)
    return sum(map(len, blocks)) / min(times)
