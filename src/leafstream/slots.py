"""Admission: the engine's slots, and a bounded queue before them in which callers take turns."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

from leafstream.errors import Overloaded, RateLimited

RETRY_AFTER = 5


class Slots:
    """`size` at once and `queue` waiting; more is refused.

    A free slot goes to the callers in turn, and to each one's answers first come, first served: a
    caller with a hundred answers waiting holds up nobody's first.
    """

    def __init__(self, size: int, queue: int) -> None:
        self._free = size
        self._places = size + queue
        self._admitted: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Event]] = {}
        self._promised: set[asyncio.Event] = set()

    @property
    def num_free(self) -> int:
        return self._free

    @property
    def num_waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    def admit(self, owner: str = "", share: int | None = None) -> None:
        """Count an answer that begins, until `leave`. Raises Overloaded where all places are taken.

        RateLimited where the caller has `share` answers already, whatever they wait for.
        """
        num_admitted = sum(self._admitted.values())
        if num_admitted >= self._places:
            raise Overloaded(
                f"all slots are busy and {num_admitted} answers are running or waiting; "
                "try again later",
                retry_after=RETRY_AFTER,
            )
        own = self._admitted.get(owner, 0)
        if share is not None and own >= share:
            # Without keys nobody can tell one caller from another.
            whose = "your answers" if owner else "all callers' answers"
            raise RateLimited(
                f"{own} of {whose} are running or waiting, which is as many as may be; "
                "wait for one to end",
                retry_after=RETRY_AFTER,
            )
        self.count(owner)

    def count(self, owner: str = "") -> None:
        """Count an answer that goes on here, whether there is a place or not."""
        self._admitted[owner] = self._admitted.get(owner, 0) + 1

    def leave(self, owner: str = "") -> None:
        """The answer is over, or was not begun."""
        self._admitted[owner] -= 1
        if not self._admitted[owner]:
            del self._admitted[owner]

    async def acquire(self, owner: str = "") -> AsyncGenerator[int, None]:
        """Yields the position in the queue at first and whenever it changes; ends with a slot.

        A caller that leaves before the end leaves the queue.
        """
        if self._free > 0 and not self._waiting:
            self._free -= 1
            return
        turn = asyncio.Event()
        self._waiting.setdefault(owner, deque()).append(turn)
        told = 0
        try:
            while turn not in self._promised:
                position = self._position(turn)
                if position != told:
                    told = position
                    yield position
                await turn.wait()
                turn.clear()
        except BaseException:
            self._leave(owner, turn)
            raise
        self._promised.discard(turn)

    def _position(self, turn: asyncio.Event) -> int:
        """How many are served before it, and it: the callers' first ones, then their second …"""
        owner = next(name for name, turns in self._waiting.items() if turn in turns)
        place = self._waiting[owner].index(turn)
        earlier = list(self._waiting).index(owner)
        return 1 + sum(
            min(len(turns), place + (number < earlier)) if name != owner else place
            for number, (name, turns) in enumerate(self._waiting.items())
        )

    def _leave(self, owner: str, turn: asyncio.Event) -> None:
        if turn in self._promised:
            self._promised.discard(turn)
            self._pass_on()
        else:
            self._remove(owner, turn)
            self._tell()

    def _remove(self, owner: str, turn: asyncio.Event) -> None:
        self._waiting[owner].remove(turn)
        if not self._waiting[owner]:
            del self._waiting[owner]

    def release(self) -> None:
        """Give a slot back: to the first of the next caller in the queue, whose wait ends."""
        self._pass_on()

    def _pass_on(self) -> None:
        if not self._waiting:
            self._free += 1
            return
        owner, turns = next(iter(self._waiting.items()))
        turn = turns.popleft()
        # Behind the others now: a dict keeps the order in which its keys were put in.
        del self._waiting[owner]
        if turns:
            self._waiting[owner] = turns
        self._promised.add(turn)
        turn.set()
        self._tell()

    def _tell(self) -> None:
        for turns in self._waiting.values():
            for turn in turns:
                turn.set()
