"""Which storage a URL names, opened: the one place that knows them all."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from urllib.parse import urlsplit

from leafstream.errors import SetupError
from leafstream.log.memory import MemoryStorage
from leafstream.log.sqlite import SqliteStorage
from leafstream.log.storage import Storage


async def open_storage(url: str) -> Storage:
    """The storage, ready to write. Raises SetupError with what to do."""
    parts = urlsplit(url)
    if parts.scheme == "memory":
        return MemoryStorage()
    if parts.scheme == "sqlite" and parts.path.startswith("/"):
        return await SqliteStorage.open(Path(parts.path.removeprefix("/")))
    if parts.scheme in ("redis", "rediss", "unix"):
        return await _redis(url)
    raise SetupError(
        f"LEAFSTREAM_ANSWERS_URL={parts.scheme}:… is not known; write sqlite:////path/answers.db, "
        "redis://host:6379/0 or memory:"
    )


async def _redis(url: str) -> Storage:
    if importlib.util.find_spec("redis") is None:
        raise SetupError("redis is not installed; pip install 'leafstream[redis]'")
    from leafstream.log.redis import RedisStorage  # noqa: PLC0415

    return await RedisStorage.open(url)
