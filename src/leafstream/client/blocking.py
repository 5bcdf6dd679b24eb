"""The door for code without async: the async client on a thread of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import ExitStack
from typing import Any, Generic, Self, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal
from pydantic import BaseModel

from leafstream.client.connection import HERE, Client
from leafstream.client.typed import Typed
from leafstream.events import Event
from leafstream.pointer import Json

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


class SyncClient:
    """`Client` for code without async. Use it as a context manager, from any thread."""

    def __init__(self, url: str = HERE, *, key: str | None = None) -> None:
        self._client = Client(url, key=key)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self._portal = self._open.enter_context(start_blocking_portal())
        self._open.enter_context(self._portal.wrap_async_context_manager(self._client))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def ask(self, assistant: str, given: Json, **options: Any) -> Generator[Event, None, None]:
        """The events of a new answer, as `Client.ask`."""
        return _drawn(self._portal, self._client.ask(assistant, given, **options))

    def follow(self, answer: str, after: int = 0) -> Generator[Event, None, None]:
        """The events of an answer after number `after`, as `Client.follow`."""
        return _drawn(self._portal, self._client.follow(answer, after))

    def stream(self, assistant: str, given: Json, type: type[M], **options: Any) -> SyncTyped[M]:  # noqa: A002
        """A new answer as a growing `type`, as `Client.stream`."""
        return SyncTyped(self._portal, self._client.stream(assistant, given, type, **options))


class SyncTyped(Generic[M]):
    """`Typed` for code without async."""

    def __init__(self, portal: BlockingPortal, typed: Typed[M]) -> None:
        self._portal = portal
        self._typed = typed

    @property
    def result(self) -> M:
        """The finished answer, validated. Raises Conflict before the end of the iteration."""
        return self._typed.result

    def __iter__(self) -> Iterator[M]:
        return _drawn(self._portal, aiter(self._typed))


def ask(
    assistant: str, given: Json, *, url: str = HERE, key: str | None = None, **options: Any
) -> Generator[Event, None, None]:
    """The events of one answer, for a script: `for event in ask("chat", "Hello"): …`"""
    with SyncClient(url, key=key) as client:
        yield from client.ask(assistant, given, **options)


def _drawn(portal: BlockingPortal, items: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """What an async generator yields; it is closed with this one."""

    async def following() -> tuple[T, ...]:
        async for item in items:
            return (item,)
        return ()

    try:
        while item := portal.call(following):
            yield item[0]
    finally:
        portal.call(items.aclose)
