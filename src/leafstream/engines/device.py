"""What the machine has: memory that is free, and how fast it is read."""

from __future__ import annotations

import ctypes
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from leafstream.errors import SetupError

PROBE_BYTES = 256 << 20
PROBE_ROUNDS = 5


def free_memory() -> int:
    """Bytes of main memory that a new process can have without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        sizes = dict(line.split(":", 1) for line in lines)
        return int(sizes["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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
