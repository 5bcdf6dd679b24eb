"""The folder of downloaded models: where a file lies, whether it is whole, and who may write it.

Beside a verified file lies `<file>.sha256` with its digest and size; a file without one is hashed
again before it is used.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote

import msgspec
import platformdirs

from leafstream.errors import SetupError
from leafstream.models.catalog import HuggingFaceFile, Known

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

Progress = Callable[[str, int, int | None], None]
"""Told what is being done, the bytes done and the bytes in all (None where nobody knows)."""

SPARE_BYTES = 32 << 20
UNFINISHED = (".new", ".new.part", ".new.etag", ".unpacked")
SEAL = ".sha256"
LOCK_POLL_SECONDS = 0.2
BLOCK_BYTES = 1 << 20


class Installed(msgspec.Struct, frozen=True):
    """A model in the cache; `size` is in bytes."""

    name: str
    path: Path
    size: int


def cache_folder(override: Path | None = None) -> Path:
    """The cache folder, made for this user alone if it is not there. Raises SetupError."""
    try:
        folder = override or platformdirs.user_cache_path("leafstream") / "models"
        folder = folder.expanduser()
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError as error:
        raise SetupError(
            f"cannot make the model cache: {error.filename} is not a folder; choose another one"
        ) from None
    except (OSError, RuntimeError) as error:
        raise SetupError(f"cannot make the model cache: {error}; choose another folder") from None
    return folder


def place(wanted: Known | HuggingFaceFile, cache: Path) -> Path:
    """Where the file of a model lies, or will lie."""
    if isinstance(wanted, Known):
        return cache / wanted.name / wanted.file
    return cache / "hf" / wanted.repo / quote(wanted.revision, safe="") / wanted.file


def installed(cache: Path) -> list[Installed]:
    """The models in the cache by name, whether or not this version knows them."""
    found = []
    for path in cache.glob("**/*.gguf"):
        name = _name(path.relative_to(cache).parts)
        if name is not None and path.is_file():
            found.append(Installed(name, path, path.stat().st_size))
    return sorted(found, key=lambda model: model.name)


def _name(parts: tuple[str, ...]) -> str | None:
    if len(parts) == 2:
        return parts[0]
    if len(parts) < 5 or parts[0] != "hf":
        return None
    return HuggingFaceFile("/".join(parts[1:3]), "/".join(parts[4:]), unquote(parts[3])).spec


def digest(path: Path, what: str, progress: Progress) -> str:
    """The SHA-256 of a file, read in blocks."""
    done, size = 0, path.stat().st_size
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            sha.update(block)
            done += len(block)
            progress(what, done, size)
    return sha.hexdigest()


def seal(path: Path, sha256: str) -> None:
    """Write down that the file is verified."""
    # In a cache that cannot be written to, the file is hashed at every start instead.
    with suppress(OSError):
        _seal_of(path).write_text(f"{sha256} {path.stat().st_size}\n")


def is_sealed(path: Path, known: Known | None) -> bool:
    """Whether the file was verified, is as long as it was then, and is what the catalog says."""
    try:
        sha256, size = _seal_of(path).read_text().split()
        if path.stat().st_size != int(size):
            return False
    except (OSError, ValueError):
        return False
    return known is None or (sha256, int(size)) == (known.sha256, known.size)


def sealed_digest(path: Path) -> str | None:
    """The SHA-256 that the file had when it was verified; None where it never was."""
    try:
        return _seal_of(path).read_text().split()[0]
    except (OSError, IndexError):
        return None


def _seal_of(path: Path) -> Path:
    return path.with_name(path.name + SEAL)


def tidy(path: Path) -> int:
    """Delete what a download left beside a model's file; the bytes freed."""
    leftovers = [path.with_name(path.name + suffix) for suffix in UNFINISHED]
    return sum(_delete(file) for file in (*leftovers, *path.parent.glob("*.whl*")))


def erase(path: Path, cache: Path) -> int:
    """Delete a model's file, what belongs to it and the folders left empty; the bytes freed."""
    freed = tidy(path) + _delete(path) + _delete(_seal_of(path))
    for folder in path.parents:
        if folder == cache or not folder.is_dir() or any(folder.iterdir()):
            break
        folder.rmdir()
    return freed


def _delete(path: Path) -> int:
    if not path.is_file():
        return 0
    size = path.stat().st_size
    path.unlink()
    return size


def check_space(folder: Path, needed: int, what: str) -> None:
    """Raises SetupError where the disk has no room for `needed` bytes."""
    free = shutil.disk_usage(folder).free
    if needed + SPARE_BYTES > free:
        raise SetupError(
            f"{what} needs {megabytes(needed + SPARE_BYTES)} in {folder}, where {megabytes(free)} "
            "are free: make room, or choose another cache folder"
        )


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


@contextmanager
def only_one(path: Path, cache: Path, progress: Progress) -> Iterator[None]:
    """Keep other processes from changing `path`; waits, saying so, while one of them holds it."""
    # Apart from the model's folder, and never deleted: who waits and who comes must meet.
    locks = cache / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(str(path.relative_to(cache)).encode()).hexdigest()[:32]
    with (locks / name).open("ab") as file:
        while not _lock(file):
            progress(f"waiting for another process that fetches {path.name}", 0, None)
            time.sleep(LOCK_POLL_SECONDS)
        yield


def _lock(file: BinaryIO) -> bool:
    """Whether the lock was free; the system gives it back when the file is closed."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
