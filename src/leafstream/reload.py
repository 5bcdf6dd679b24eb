"""`leafstream serve --reload`: the assistants of a file, taken up again when it changes."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from leafstream.errors import SetupError
from leafstream.served import BUNDLED, Served, read_served

logger = logging.getLogger("leafstream.reload")

POLL_SECONDS = 0.3


class Reload:
    """Swaps the assistants in place while the context is open; running answers keep theirs."""

    def __init__(self, file: Path, served: Served) -> None:
        self._file = file
        self._served = served
        self._seen = self._stamp()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            stamp = self._stamp()
            if stamp not in (None, self._seen):
                self._seen = stamp
                await self._take_up()

    def _stamp(self) -> tuple[int, int] | None:
        """What changes with the file; None while an editor has it away."""
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size

    async def _take_up(self) -> None:
        try:
            new = await asyncio.to_thread(read_served, self._file)
        except SetupError as error:
            logger.error("not taken up, the assistants of before go on: %s", error.message)  # noqa: TRY400
            return
        # No await between the two: no request sees them half changed.
        self._served.assistants.clear()
        self._served.assistants.update(new.assistants)
        logger.info("took up %s: %s", self._file, ", ".join(new.assistants))
        if new.routers or self._served.routers:
            logger.warning("routes of the file are those of the start; restart for others")


def reloadable(source: str | None, served: Served) -> Reload:
    """Raises SetupError where there is no file to watch."""
    if source is None or source in BUNDLED:
        raise SetupError("--reload needs a file of yours: leafstream serve assistants.py --reload")
    return Reload(Path(source), served)
