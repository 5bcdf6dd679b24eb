"""A log that lives as long as its process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence

from leafstream.log.records import Opening, Record, decode_record
from leafstream.log.storage import Head, Outcome, Retention, Write


class _Kept:
    __slots__ = ("ended", "last", "opening", "records", "size")

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self.last = 0
        self.ended: float | None = None
        self.size = 0
        self.records: list[tuple[int, bytes]] = []


class MemoryStorage:
    """There is one process, which holds everything; nobody takes anything over."""

    durable = False

    def __init__(self) -> None:
        self._answers: dict[str, _Kept] = {}
        self._keys: dict[tuple[str, str], str] = {}
        self._conversations: dict[str, list[str]] = {}

    async def create(self, opening: Opening) -> Opening:
        if opening.key is not None:
            kept = self._keys.setdefault((opening.ask.owner, opening.key), opening.id)
            if kept != opening.id:
                return self._answers[kept].opening
        self._answers[opening.id] = _Kept(opening)
        if opening.ask.conversation is not None:
            self._conversations.setdefault(opening.ask.conversation, []).append(opening.id)
        return opening

    async def write(self, writes: Sequence[Write]) -> list[Outcome]:
        for write in writes:
            self._write(write)
        return ["kept"] * len(writes)

    def _write(self, write: Write) -> None:
        kept = self._answers[write.answer]
        kept.last = write.last
        kept.size += len(write.body)
        kept.records.append((write.last, write.body))
        if write.ended:
            kept.ended = time.monotonic()
            self._leave(write.answer, kept.opening.ask.conversation)

    def _leave(self, answer: str, conversation: str | None) -> None:
        if conversation is not None:
            waiting = self._conversations[conversation]
            waiting.remove(answer)
            if not waiting:
                del self._conversations[conversation]

    async def sync(self) -> None:
        """It outlives nothing."""

    async def head(self, answer: str) -> Head | None:
        kept = self._answers.get(answer)
        if kept is None:
            return None
        return Head(kept.opening, kept.last, kept.ended is not None, epoch=1, mine=True)

    async def records(self, answer: str, after: int = 0, limit: int | None = None) -> list[Record]:
        kept = self._answers.get(answer)
        if kept is None:
            return []
        found = [(last, body) for last, body in kept.records if last > after]
        return [decode_record(last, body) for last, body in found[:limit]]

    async def earlier(self, owner: str, key: str) -> Opening | None:
        answer = self._keys.get((owner, key))
        return None if answer is None else self._answers[answer].opening

    async def claim(self, answer: str) -> int | None:  # noqa: ARG002
        return None

    async def release(self) -> None:
        """Nobody could claim what is left."""

    async def orphans(self) -> list[str]:
        return []

    async def unfinished(self, conversation: str) -> list[str]:
        return list(self._conversations.get(conversation, ()))

    async def want_cancel(self, answer: str) -> None:
        """The only process that could ask is the one that holds it."""

    async def wanted_cancels(self) -> list[str]:
        return []

    async def see(self, answers: Collection[str]) -> None:
        """All readers are here, where they are counted."""

    async def seen(self, answer: str, within: float) -> bool:  # noqa: ARG002
        return False

    async def grown(self) -> Collection[str] | None:
        await asyncio.sleep(1)
        return ()

    async def delete(self, answer: str) -> bool:
        kept = self._answers.get(answer)
        if kept is None or kept.ended is None:
            return False
        self._drop(answer)
        return True

    async def forget(self, kept: Retention) -> int:
        ended = [(held.ended, answer) for answer, held in self._answers.items() if held.ended]
        oldest = time.monotonic() - kept.age
        gone = {answer for at, answer in ended if at < oldest}
        left = sum(held.size for answer, held in self._answers.items() if answer not in gone)
        for _, answer in sorted(ended):
            if kept.size is None or left <= kept.size:
                break
            if answer not in gone:
                gone.add(answer)
                left -= self._answers[answer].size
        for answer in gone:
            self._drop(answer)
        return len(gone)

    def _drop(self, answer: str) -> None:
        opening = self._answers.pop(answer).opening
        self._keys.pop((opening.ask.owner, opening.key or ""), None)

    async def close(self) -> None:
        """Nothing to let go."""
