"""What crosses from a thread to a task comes in order, in few wake-ups, and never late."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

import pytest

from leafstream.engines.thread import Beat, Mailbox, stream

EAGER = 5


@pytest.fixture
async def executor() -> AsyncIterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


async def test_what_comes_fast_is_handed_over_together_and_in_order(
    executor: ThreadPoolExecutor,
) -> None:
    mailbox: Mailbox[int] = Mailbox(
        asyncio.get_running_loop(), Beat(asyncio.get_running_loop(), 2.0), EAGER
    )

    def put() -> None:
        for number in range(60):
            mailbox.put(number)
            time.sleep(0.005)
        mailbox.end()

    executor.submit(put)
    batches = []
    while items := await mailbox.take():
        batches.append(items)
    assert [number for batch in batches for number in batch] == [*range(60)]
    assert len(batches) < EAGER + 10


async def test_the_end_does_not_wait_for_a_rest(executor: ThreadPoolExecutor) -> None:
    def call(mailbox: Mailbox[int]) -> None:
        for number in range(2 * EAGER):
            mailbox.put(number)
            time.sleep(0.01)

    begun = time.monotonic()
    async with aclosing(
        stream(executor, call, Beat(asyncio.get_running_loop(), 60.0), EAGER)
    ) as items:
        assert [item async for item in items] == [*range(2 * EAGER)]
    assert time.monotonic() - begun < 30


async def test_what_comes_slower_than_the_rest_is_handed_over_at_once(
    executor: ThreadPoolExecutor,
) -> None:
    heard = threading.Event()
    delays: list[float] = []

    def call(mailbox: Mailbox[float]) -> None:
        for _ in range(EAGER):
            mailbox.put(0.0)
        for _ in range(3):
            time.sleep(1.2)
            heard.clear()
            begun = time.monotonic()
            mailbox.put(begun)
            heard.wait(10)
            delays.append(time.monotonic() - begun)

    async with aclosing(
        stream(executor, call, Beat(asyncio.get_running_loop(), 1.0), EAGER)
    ) as items:
        async for item in items:
            if item:
                heard.set()
    assert max(delays) < 0.8


async def test_closing_a_stream_that_rests_ends_its_thread(executor: ThreadPoolExecutor) -> None:
    is_over = threading.Event()

    def call(mailbox: Mailbox[int]) -> None:
        while not mailbox.put(1):
            time.sleep(0.001)
        is_over.set()

    async with aclosing(
        stream(executor, call, Beat(asyncio.get_running_loop(), 1.0), EAGER)
    ) as items:
        assert [await anext(items) for _ in range(EAGER + 1)] == [1] * (EAGER + 1)
    assert is_over.is_set()


async def test_those_that_rest_are_woken_together_by_what_comes_after_a_beat() -> None:
    loop = asyncio.get_running_loop()
    beat = Beat(loop, 2.0)
    mailboxes: list[Mailbox[int]] = [Mailbox(loop, beat, EAGER) for _ in range(3)]

    async def resting() -> list[asyncio.Task[list[int]]]:
        for mailbox in mailboxes:
            mailbox.put(0)
            mailbox.put(0)
        tasks = [asyncio.create_task(mailbox.take()) for mailbox in mailboxes]
        await asyncio.sleep(0.05)
        return tasks

    for mailbox in mailboxes:
        for number in range(EAGER):
            mailbox.put(number)
        assert len(await mailbox.take()) == EAGER
    first = await resting()
    mailboxes[0].put(1)
    assert await asyncio.wait_for(asyncio.gather(*first), 1.0) == [[0, 0, 1], [0, 0], [0, 0]]
    second = await resting()
    mailboxes[1].put(1)
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in second)
    await asyncio.sleep(2.0)
    mailboxes[2].put(1)
    assert await asyncio.wait_for(asyncio.gather(*second), 1.0) == [[0, 0], [0, 0, 1], [0, 0, 1]]
    assert await asyncio.gather(*await resting()) == [[0, 0]] * 3  # where nothing comes
