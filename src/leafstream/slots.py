"""Admission: the engine's slots and a bounded queue before them, first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

from leafstream.errors import Overloaded

RETRY_AFTER = 5


class Slots:
    """`size` at once, `queue` waiting; one more is Overloaded."""

    def __init__(self, size: int, queue: int) -> None:
        self._free = size
        self._queue = queue
        self._waiting: deque[asyncio.Event] = deque()
        self._promised: set[asyncio.Event] = set()

    @property
    def num_free(self) -> int:
        return self._free

    def check(self, reserved: int = 0) -> None:
        """Raises Overloaded where `acquire` would find the queue full."""
        if len(self._waiting) + reserved >= self._free + self._queue:
            raise Overloaded(
                f"all slots are busy and {len(self._waiting)} answers are waiting; try again later",
                retry_after=RETRY_AFTER,
            )

    async def acquire(self) -> AsyncGenerator[int, None]:
        """Yields the position in the queue at first and whenever it changes; ends with a slot.

        A caller that leaves before the end leaves the queue.
        """
        turn = asyncio.Event()
        if self._free > 0 and not self._waiting:
            self._free -= 1
            return
        self._waiting.append(turn)
        try:
            while turn not in self._promised:
                yield self._waiting.index(turn) + 1
                await turn.wait()
                turn.clear()
        except BaseException:
            self._leave(turn)
            raise
        self._promised.discard(turn)

    def _leave(self, turn: asyncio.Event) -> None:
        if turn in self._promised:
            self._promised.discard(turn)
            self.release()
        else:
            self._waiting.remove(turn)
            self._tell()

    def release(self) -> None:
        """Give a slot back: to the first in the queue, whose wait ends."""
        if not self._waiting:
            self._free += 1
            return
        turn = self._waiting.popleft()
        self._promised.add(turn)
        turn.set()
        self._tell()

    def _tell(self) -> None:
        for turn in self._waiting:
            turn.set()
