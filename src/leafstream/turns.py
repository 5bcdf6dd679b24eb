"""The order of answers within a conversation: one at a time, first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """A queue per conversation; conversations without one cost nothing."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def num_ahead(self, conversation: str | None) -> int:
        """How many answers come before one that would be asked for now."""
        waiting = self._waiting.get(conversation) if conversation is not None else None
        return 0 if waiting is None else 1 + len(waiting)

    async def take(self, conversation: str | None) -> None:
        """Wait for this conversation's turn, which `release` ends."""
        if conversation is None:
            return
        if conversation not in self._waiting:
            self._waiting[conversation] = deque()
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting[conversation].append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(conversation)
            else:
                self._waiting[conversation].remove(turn)
            raise

    def release(self, conversation: str | None) -> None:
        if conversation is None:
            return
        waiting = self._waiting[conversation]
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._waiting[conversation]
