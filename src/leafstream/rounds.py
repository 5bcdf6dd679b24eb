"""What a process looks after from time to time: dead neighbours, distant wishes, old answers."""

from __future__ import annotations

import asyncio
import logging

from leafstream.errors import LogUnavailable, StoreUnavailable
from leafstream.log import Log
from leafstream.log.storage import Retention
from leafstream.runs import Runs
from leafstream.settings import Settings
from leafstream.store.conversations import Conversations

logger = logging.getLogger("leafstream.rounds")

ROUND_SECONDS = 1.0
CLEANING_ROUNDS = 60


class Rounds:
    """Made once a second as long as the app lives."""

    def __init__(self, settings: Settings, runs: Runs, log: Log, store: Conversations) -> None:
        self._settings = settings
        self._runs = runs
        self._log = log
        self._store = store

    async def make_always(self) -> None:
        number = 0
        while True:
            try:
                await self._make(clean=number % CLEANING_ROUNDS == 0)
            except (LogUnavailable, StoreUnavailable) as error:
                logger.warning("%s", error.message)
            except Exception:
                logger.exception("a round failed")
            number += 1
            await asyncio.sleep(ROUND_SECONDS)

    async def _make(self, *, clean: bool) -> None:
        if not self._runs.draining:
            await self._runs.take_over()
        await self._runs.heed_cancels()
        await self._log.see_readers()
        await self._runs.settle()
        if clean:
            await self._clean()

    async def _clean(self) -> None:
        keep = Retention(self._settings.keep_seconds, self._settings.keep_bytes)
        await self._log.forget(keep)
        if self._settings.retention_days is not None:
            await self._store.forget(self._settings.retention_days)
