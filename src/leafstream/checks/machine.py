"""Checks of the machine: packages, processor, memory, disk, clock. Nothing here needs the model."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

from packaging.requirements import Requirement

from leafstream.checks.check import Finding, Target, ok, problem, warning
from leafstream.models.cache import cache_folder

if sys.platform != "win32":
    import resource

TEMP_BYTES = 1 << 20
LOW_DISK = 1 << 30
FEW_FILES = 4096
# The socket of the engine lies in a folder of the temp folder; sun_path has 108 bytes with its end.
SOCKET_TAIL = len("/leafstream-12345678/llama.sock") + 1
MAX_SOCKET = 108
TIME_ERROR = 5  # adjtimex(2): the clock is not synchronized
TIMEX_BYTES = 512  # larger than struct timex
RELEASED = 1_763_000_000


def packages(_: Target) -> Finding:
    """Python and what pip should have installed."""
    missing = []
    for text in importlib.metadata.requires("leafstream") or []:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(f"{wanted.name} is not installed")
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            missing.append(f"{wanted.name} is {found}, not {wanted.specifier}")
    version = platform.python_version()
    if missing:
        return problem(", ".join(missing), f"{sys.executable} -m pip install --upgrade leafstream")
    return ok(f"Python {version} and all packages")


def processor(_: Target) -> Finding:
    """Whether the processor has what llama.cpp's kernels are quick with."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    flags = _cpu_flags()
    if platform.machine() not in ("x86_64", "AMD64") or not flags:
        return ok(f"{platform.machine()}, {cores} cores")
    quick = [
        name
        for name in ("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "amx_tile")
        if name in flags
    ]
    if "avx2" not in flags:
        advice = (
            "models of a billion parameters and more are too slow on it; use an engine elsewhere"
        )
        return warning(f"{cores} cores without AVX2", advice)
    return ok(f"{cores} cores with {', '.join(quick)}")


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())


def gpu(_: Target) -> Finding:
    """Whether a graphics processor is there, and whether this llama.cpp can use it."""
    import xllamacpp  # noqa: PLC0415

    devices = xllamacpp.get_device_info()
    names = [str(device["description"]) for device in devices if "GPU" in device["type"].name]
    if names:
        return ok(", ".join(names))
    if Path("/proc/driver/nvidia/version").exists() or Path("/dev/kfd").exists():
        advice = "install an xllamacpp built for it (CUDA, ROCm or Vulkan) to use it"
        return warning("there is a GPU, and this llama.cpp was built for the CPU alone", advice)
    return ok("none; the CPU is used")


def disk(target: Target) -> Finding:
    """Whether models, conversations and states can be written."""
    folders = {
        "models": (cache_folder(target.settings.cache_folder), "LEAFSTREAM_CACHE_FOLDER"),
        "state": (target.settings.state, "LEAFSTREAM_STATE_FOLDER"),
    }
    free = {}
    for what, (folder, setting) in folders.items():
        there = _nearest(folder)
        if not os.access(there, os.W_OK | os.X_OK):
            return problem(f"{there} is not writable for {what}", f"set {setting}")
        free[what] = shutil.disk_usage(there).free
    told = ", ".join(f"{_gigabytes(count)} free for {what}" for what, count in free.items())
    if min(free.values()) < LOW_DISK:
        return warning(
            told, "make room, or set LEAFSTREAM_CACHE_FOLDER and LEAFSTREAM_STATE_FOLDER"
        )
    return ok(told)


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"


def _nearest(folder: Path) -> Path:
    """The folder, or the one in which it would be made."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def temp(_: Target) -> Finding:
    """Whether the temp folder takes the engine's socket and what libraries put there."""
    try:
        folder = Path(tempfile.gettempdir())
    except FileNotFoundError:
        return problem("no temp folder can be written to", "make room in /tmp or set TMPDIR")
    try:
        with tempfile.NamedTemporaryFile(prefix="leafstream-") as file:
            file.write(b"\0" * TEMP_BYTES)
            file.flush()
    except OSError as error:
        return problem(
            f"the temp folder {folder} takes no files: {error.strerror}", "make room or set TMPDIR"
        )
    if len(str(folder)) + SOCKET_TAIL > MAX_SOCKET:
        return problem(
            f"the temp folder's path {folder} is too long for a socket",
            "set TMPDIR to a shorter one",
        )
    wished = os.environ.get("TMPDIR")
    if wished and Path(wished).absolute() != folder.absolute():
        return warning(
            f"TMPDIR={wished} takes no files and {folder} is used", "make room or set TMPDIR"
        )
    return ok(f"{folder}, {_gigabytes(shutil.disk_usage(folder).free)} free")


def files(_: Target) -> Finding:
    """Whether enough files may be open: each stream is one."""
    if sys.platform == "win32":
        return ok("no limit known")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FEW_FILES:
        return warning(
            f"{soft} files may be open, which bounds the streams",
            f"ulimit -n {hard}, or LimitNOFILE= in a unit",
        )
    return ok(f"{soft} may be open")


def clock(_: Target) -> Finding:
    """Whether the clock is set: retention, leases and logs go by it."""
    if time.time() < RELEASED:
        return problem(f"it says {time.strftime('%Y-%m-%d')}, before this was written", "set it")
    if (
        sys.platform == "linux"
        and ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES)) == TIME_ERROR
    ):
        return warning(
            "nothing keeps it synchronized",
            "run chrony or systemd-timesyncd where several machines share a database",
        )
    return ok(time.strftime("%Y-%m-%d %H:%M:%S %Z"))
