"""A disk of a few megabytes, and what fills it. Needs the right to mount."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path


@asynccontextmanager
async def small_disk(megabytes: int) -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        size = f"size={megabytes}m"
        await shell("mount", "-t", "tmpfs", "-o", size, "tmpfs", name)
        try:
            yield Path(name)
        finally:
            await shell("umount", name)


async def shell(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    if await process.wait():
        raise OSError(f"{' '.join(command)} failed")


def fill(file: Path) -> None:
    with file.open("ab", buffering=0) as filler, suppress(OSError):
        while filler.write(b"\0" * 4096):
            pass
