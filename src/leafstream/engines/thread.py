"""Blocking calls with callbacks, as async streams: the one place where threads are crossed."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from typing import Generic, TypeVar

T = TypeVar("T")

Blocking = Callable[[Callable[[T], bool]], None]
"""Calls back with each item from its own thread until done, or until the callback returns True."""


class Mailbox(Generic[T]):
    """Items from one thread to one task, in order, with one wake-up for what has piled up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._items: deque[T] = deque()
        self._arrived = asyncio.Event()
        self.cancelled = threading.Event()
        self.over = False
        self.error: Exception | None = None

    def put(self, item: T) -> bool:
        self._items.append(item)
        if not self.cancelled.is_set():
            self._wake()
        return self.cancelled.is_set()

    def end(self, error: Exception | None = None) -> None:
        self.error = error
        self.over = True
        self._wake()

    def _wake(self) -> None:
        # The loop may have been closed by an interrupt while the thread was still writing.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._arrived.set)

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
        while not self._items and not self.over:
            await self._arrived.wait()
            self._arrived.clear()
        return [self._items.popleft() for _ in range(len(self._items))]


async def stream(executor: Executor, call: Blocking[T]) -> AsyncGenerator[T, None]:
    """The items of `call`, run in `executor`. Closing cancels it and returns when it has ended.

    What `call` raises is raised here, after the items that came before.
    """
    loop = asyncio.get_running_loop()
    mailbox: Mailbox[T] = Mailbox(loop)

    def run() -> None:
        try:
            if not mailbox.cancelled.is_set():
                call(mailbox.put)
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
