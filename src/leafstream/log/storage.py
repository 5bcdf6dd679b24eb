"""The Protocol of what keeps the log: tests/contract holds each of them to it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, Protocol

import msgspec

from leafstream.log.records import Opening, Record

Outcome = Literal["kept", "fenced", "cancel"]
"""Of a write: kept; refused, as another process holds the answer; kept, and its end is wanted."""


class Write(msgspec.Struct, frozen=True):
    """One answer's share of a flush, by the holder of its `epoch`."""

    answer: str
    epoch: int
    last: int
    ended: bool
    body: bytes


class Head(msgspec.Struct, frozen=True):
    """An answer without its events: how far it is, whether it is over, who writes it."""

    opening: Opening
    last: int
    ended: bool
    epoch: int
    mine: bool


class Retention(msgspec.Struct, frozen=True):
    """Ended answers go after `age` seconds; the oldest first while all take over `size` bytes."""

    age: float
    size: int | None = None


class Storage(Protocol):
    """Keeps answers for one process, its holder, whose lease lives as long as the process does.

    Every method is atomic and raises LogUnavailable where the storage cannot be reached or written.
    """

    durable: bool
    """Whether another process can go on with what this one leaves."""

    async def create(self, opening: Opening) -> Opening:
        """Keep a new answer, held here at epoch 1; or the earlier opening of its owner's key.

        It outlives this process on return, as far as the storage can.
        """
        ...

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        """One flush, which outlives this process on return, as far as the storage can.

        A write that was kept before is kept once.
        """
        ...

    async def sync(self) -> None:
        """Return when what was written before outlives the machine too."""
        ...

    async def head(self, answer: str) -> Head | None: ...

    async def records(self, answer: str, after: int = 0, limit: int | None = None) -> list[Record]:
        """The records that hold events after a number, in order, at most `limit` of them."""
        ...

    async def earlier(self, owner: str, key: str) -> Opening | None:
        """What was opened under an owner's idempotency key."""
        ...

    async def claim(self, answer: str) -> int | None:
        """The epoch under which this process now writes an answer of `orphans`.

        None where it is over, gone, or another holder lives.
        """
        ...

    async def release(self) -> None:
        """Let this holder's lease go: what it leaves unfinished may be claimed at once."""
        ...

    async def orphans(self) -> list[str]:
        """Unfinished answers that no other living process holds; this one knows which it runs."""
        ...

    async def unfinished(self, conversation: str) -> list[str]:
        """The conversation's answers that are not over, in the order they were created."""
        ...

    async def want_cancel(self, answer: str) -> None:
        """Ask whoever holds the answer to end it."""
        ...

    async def wanted_cancels(self) -> list[str]:
        """Unfinished answers of this holder whose end is wanted."""
        ...

    async def see(self, answers: Collection[str]) -> None:
        """Somebody here reads these answers, which another process writes."""
        ...

    async def seen(self, answer: str, within: float) -> bool:
        """Whether `see` told of the answer in the last `within` seconds."""
        ...

    async def grown(self) -> Collection[str] | None:
        """Answers that other processes wrote to since the last call; None: any may have grown.

        Waits for news, for a second at the most.
        """
        ...

    async def delete(self, answer: str) -> bool:
        """Delete one answer; False where there is none that has ended."""
        ...

    async def forget(self, kept: Retention) -> int:
        """Delete ended answers beyond the retention; how many."""
        ...

    async def close(self) -> None: ...
