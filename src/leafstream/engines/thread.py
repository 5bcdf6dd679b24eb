"""Blocking calls with callbacks, as async streams: the one place where threads are crossed."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from typing import Generic, TypeVar

T = TypeVar("T")


class Beat:
    """Wakes all that rest together, with what comes `seconds` after they were woken before.

    Where nothing comes then, they are woken after as long again.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self.seconds = seconds
        self._loop = loop
        self._resting: set[asyncio.Event] = set()
        self._struck = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def join(self, woken: asyncio.Event) -> None:
        """Set `woken` at the next beat."""
        self._resting.add(woken)
        if self._timer is None:
            self._timer = self._loop.call_later(2 * self.seconds, self._strike)

    def leave(self, woken: asyncio.Event) -> None:
        self._resting.discard(woken)

    def came(self, now: float) -> None:
        """Called from the thread."""
        if self._resting and now - self._struck >= self.seconds:
            self._struck = now
            _call(self._loop, self._strike)

    def _strike(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        resting, self._resting = self._resting, set()
        for woken in resting:
            woken.set()


class Mailbox(Generic[T]):
    """Items from one thread to one task, in order, with one wake-up for what has piled up.

    With a `beat` its reader rests until the next one before it takes more: what comes faster is
    handed over together, and at the same time as what others rest for; but for the first `eager`
    ones. What comes slower is handed over at once.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, beat: Beat | None = None, eager: int = 1
    ) -> None:
        self._loop = loop
        self._items: deque[T] = deque()
        self._arrived = asyncio.Event()
        self._is_awaited = False
        self._beat = beat
        self._eager = eager
        self._came = 0.0
        self._gap = math.inf
        self.cancelled = threading.Event()
        self.over = False
        self.error: Exception | None = None

    def put(self, item: T) -> bool:
        """Called from the thread. Whether nobody wants more."""
        now = time.monotonic()
        self._gap, self._came = now - self._came, now
        self._items.append(item)
        if self._beat is not None:
            self._beat.came(now)
        if self._is_awaited and not self.cancelled.is_set():
            self._is_awaited = False
            self._wake()
        return self.cancelled.is_set()

    def end(self, error: Exception | None = None) -> None:
        self.error = error
        self.over = True
        self._wake()

    def _wake(self) -> None:
        _call(self._loop, self._arrived.set)

    async def ended(self) -> None:
        """Wait for the thread; not even a second cancellation may leave it behind."""
        interrupted = None
        while not self.over:
            try:
                await self._arrived.wait()
            except asyncio.CancelledError as error:
                interrupted = error
            self._arrived.clear()
        if interrupted is not None:
            raise interrupted

    async def take(self) -> list[T]:
        """What has arrived, waiting for the first; [] at the end."""
        if self._beat is not None and self._eager <= 0 and self._gap < self._beat.seconds:
            await self._rest(self._beat)
        while not self._items and not self.over:
            self._is_awaited = True
            # What came before that was set woke nobody.
            if not self._items and not self.over:
                await self._arrived.wait()
            self._arrived.clear()
        self._is_awaited = False
        taken = [self._items.popleft() for _ in range(len(self._items))]
        self._eager -= len(taken)
        return taken

    async def _rest(self, beat: Beat) -> None:
        """Let more pile up until the beat; the end of the thread ends it."""
        if self.over:
            return
        beat.join(self._arrived)
        try:
            await self._arrived.wait()
        finally:
            beat.leave(self._arrived)
        self._arrived.clear()


def _call(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    # The loop may have been closed by an interrupt while the thread was still writing.
    if not loop.is_closed():
        loop.call_soon_threadsafe(callback)


Blocking = Callable[[Mailbox[T]], None]
"""Puts each item into the mailbox from its own thread, until done or until it is cancelled."""


async def stream(
    executor: Executor, call: Blocking[T], beat: Beat | None = None, eager: int = 1
) -> AsyncGenerator[T, None]:
    """The items of `call`, run in `executor`. Closing cancels it and returns when it has ended.

    They come as a Mailbox with this `beat` and `eager` hands them over.

    What `call` raises is raised here, after the items that came before.
    """
    loop = asyncio.get_running_loop()
    mailbox: Mailbox[T] = Mailbox(loop, beat, eager)

    def run() -> None:
        try:
            if not mailbox.cancelled.is_set():
                call(mailbox)
        finally:
            mailbox.end()

    done = executor.submit(run)
    try:
        while items := await mailbox.take():
            for item in items:
                yield item
        await asyncio.wrap_future(done)
    finally:
        mailbox.cancelled.set()
        if not done.cancel():
            await mailbox.ended()


async def hear(begin: Callable[[Mailbox[T]], None]) -> AsyncGenerator[T, None]:
    """What a thread puts into the mailbox that `begin` hands it, until the thread ends it.

    For a thread that serves many streams. Closing cancels, and returns when the mailbox was ended;
    the error it was ended with is raised after the items that came before.
    """
    mailbox: Mailbox[T] = Mailbox(asyncio.get_running_loop())
    begin(mailbox)
    try:
        while items := await mailbox.take():
            for item in items:
                yield item
        if mailbox.error is not None:
            raise mailbox.error
    finally:
        mailbox.cancelled.set()
        await mailbox.ended()
