"""Conversations that last: created, listed, read, renamed, deleted, and grown by an exchange."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

import msgspec
from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from leafstream.errors import InvalidRequest, NotFound
from leafstream.events import Plan, Usage
from leafstream.messages import Message, Messages
from leafstream.pointer import Json
from leafstream.store import database
from leafstream.store.database import database_errors
from leafstream.store.tables import conversations, turns

MAX_TITLE = 80


class Conversation(msgspec.Struct, frozen=True):
    """`session` is an app's key that finds it again, `metadata` what an app keeps with it."""

    id: str
    assistant: str
    title: str
    created: datetime
    updated: datetime
    owner: str = ""
    session: str | None = None
    metadata: dict[str, Json] | None = None


class Turn(msgspec.Struct, frozen=True):
    """One turn; `answer`, `value`, `plan` and `usage` are an assistant's."""

    number: int
    role: Literal["user", "assistant"]
    content: str
    created: datetime
    answer: str | None = None
    value: Json = None
    plan: dict[str, Json] | None = None
    usage: dict[str, Json] | None = None


class Exchange(msgspec.Struct, frozen=True):
    """A user's turn and the finished answer to it."""

    answer: str
    asked: str
    value: Json
    plan: Plan
    usage: Usage

    @property
    def content(self) -> str:
        """The answer as a model reads it."""
        if isinstance(self.value, str):
            return self.value
        return msgspec.json.encode(self.value).decode()


class Conversations:
    """The conversations of one database. Made by `open`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect and migrate. Raises SetupError."""
        return cls(await database.open_engine(url))

    async def create(
        self,
        assistant: str,
        title: str = "",
        *,
        owner: str = "",
        session: str | None = None,
        metadata: dict[str, Json] | None = None,
    ) -> Conversation:
        """A new conversation; `session` is at most 64 characters."""
        now = datetime.now(UTC)
        name = "conv_" + secrets.token_urlsafe(16)
        title = title[:MAX_TITLE]
        made = Conversation(name, assistant, title, now, now, owner, session, metadata)
        async with self._changing() as connection:
            await connection.execute(insert(conversations), msgspec.structs.asdict(made))
        return made

    async def recent(
        self, limit: int = 50, before: datetime | None = None, *, owner: str = ""
    ) -> list[Conversation]:
        """The owner's, most recently used first; `before` goes on from the last one's `updated`.

        Raises InvalidRequest for a `before` that is beyond all time.
        """
        query = (
            select(conversations)
            .where(conversations.c.owner == owner)
            .order_by(conversations.c.updated.desc())
            .limit(limit)
        )
        if before is not None:
            query = query.where(conversations.c.updated < _in_utc(before))
        async with self._reading() as connection:
            return [_conversation(row) for row in await connection.execute(query)]

    async def read(self, conversation: str, *, owner: str | None = None) -> Conversation:
        """Raises NotFound, also where it is not the owner's (None: whoever's it is)."""
        query = select(conversations).where(conversations.c.id == _storable(conversation))
        async with self._reading() as connection:
            row = (await connection.execute(query)).first()
        if row is None or owner not in (None, row.owner):
            raise _missing(conversation)
        return _conversation(row)

    async def newest(self, session: str, *, owner: str = "") -> Conversation | None:
        """The owner's conversation of that session that was created last."""
        query = (
            select(conversations)
            .where(conversations.c.session == session, conversations.c.owner == owner)
            .order_by(conversations.c.created.desc())
            .limit(1)
        )
        async with self._reading() as connection:
            row = (await connection.execute(query)).first()
        return None if row is None else _conversation(row)

    async def note(self, conversation: str, metadata: dict[str, Json]) -> None:
        """Keep other metadata with it. Raises NotFound."""
        async with self._changing() as connection:
            noted = await connection.execute(
                update(conversations)
                .where(conversations.c.id == conversation)
                .values(metadata=metadata)
            )
        if noted.rowcount == 0:
            raise _missing(conversation)

    async def turns(self, conversation: str, *, owner: str | None = None) -> list[Turn]:
        """All turns in order. Raises NotFound."""
        await self.read(conversation, owner=owner)
        query = select(turns).where(turns.c.conversation == conversation).order_by(turns.c.number)
        async with self._reading() as connection:
            return [_turn(row) for row in await connection.execute(query)]

    async def messages(self, conversation: str, *, owner: str | None = None) -> Messages:
        """The turns as a model reads them. Raises NotFound."""
        found = await self.turns(conversation, owner=owner)
        return tuple(Message(turn.role, turn.content) for turn in found)

    async def add(self, conversation: str, exchange: Exchange) -> Turn | None:
        """Append both turns in one transaction, durable on return; once for each answer.

        Returns the answer's turn where it was there before. Raises NotFound.
        """
        now = datetime.now(UTC)
        async with self._changing() as connection:
            # The update comes first: it takes the row's lock, so that numbers never collide.
            touched = await connection.execute(
                update(conversations)
                .where(conversations.c.id == conversation)
                .values(updated=now, title=_titled(exchange.asked))
            )
            if touched.rowcount == 0:
                raise _missing(conversation)
            mine = turns.c.conversation == conversation
            same = select(turns).where(mine, turns.c.answer == exchange.answer)
            if (row := (await connection.execute(same)).first()) is not None:
                return _turn(row)
            last = await connection.scalar(select(func.max(turns.c.number)).where(mine))
            await connection.execute(
                insert(turns), list(_rows(conversation, (last or 0) + 1, exchange, now))
            )
        return None

    async def take_back(self, conversation: str, answer: str) -> None:
        """Delete an answer's exchange, where there is one."""
        mine = turns.c.conversation == conversation
        # Who waits for the row's lock sees what was added under it.
        row = select(conversations.c.id).where(conversations.c.id == conversation)
        async with self._changing() as connection:
            await connection.execute(row.with_for_update())
            own = select(turns.c.number).where(mine, turns.c.answer == answer)
            number = await connection.scalar(own)
            if number is not None:
                both = turns.c.number.in_((number - 1, number))
                await connection.execute(delete(turns).where(mine, both))

    async def rename(self, conversation: str, title: str) -> Conversation:
        """Raises NotFound."""
        async with self._changing() as connection:
            await connection.execute(
                update(conversations)
                .where(conversations.c.id == conversation)
                .values(title=title[:MAX_TITLE])
            )
        return await self.read(conversation)

    async def delete(self, conversation: str) -> None:
        """Raises NotFound."""
        async with self._changing() as connection:
            gone = await connection.execute(
                delete(conversations).where(conversations.c.id == conversation)
            )
        if gone.rowcount == 0:
            raise _missing(conversation)

    async def forget(self, days: float) -> int:
        """Delete what was not used for so many days; how many that were."""
        oldest = datetime.now(UTC) - timedelta(days=days)
        async with self._changing() as connection:
            gone = await connection.execute(
                delete(conversations).where(conversations.c.updated < oldest)
            )
        return gone.rowcount

    async def close(self) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[AsyncConnection]:
        with database_errors():
            async with self._engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        with database_errors():
            async with self._engine.connect() as connection:
                yield connection


def _storable(text: str) -> str:
    """The text without U+0000, which PostgreSQL refuses; requests hold none, but answers may."""
    return text.replace("\0", "\ufffd")


def _titled(asked: str) -> Any:
    """The title after an exchange: the first question, unless one was given before."""
    first = " ".join(asked.split())[:MAX_TITLE]
    return func.coalesce(func.nullif(conversations.c.title, ""), first)


def _rows(
    conversation: str, number: int, exchange: Exchange, now: datetime
) -> tuple[dict[str, Any], dict[str, Any]]:
    asked = {
        "conversation": conversation,
        "number": number,
        "role": "user",
        "content": exchange.asked,
        "answer": None,
        "value": None,
        "plan": None,
        "usage": None,
        "created": now,
    }
    answered = {
        "number": number + 1,
        "role": "assistant",
        "content": _storable(exchange.content),
        "answer": exchange.answer,
        "value": exchange.value,
        "plan": msgspec.to_builtins(exchange.plan),
        "usage": msgspec.to_builtins(exchange.usage),
    }
    return asked, {**asked, **answered}


def _missing(conversation: str) -> NotFound:
    return NotFound(f"there is no conversation {conversation!r}", param="conversation")


def _in_utc(time: datetime) -> datetime:
    """The same moment as SQLite keeps it, which knows no zones; without one it is UTC already."""
    if time.tzinfo is None:
        return time.replace(tzinfo=UTC)
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise InvalidRequest("before is no time that there is", param="before") from None


def _conversation(row: Row[Any]) -> Conversation:
    return msgspec.convert(_aware(row), Conversation)


def _turn(row: Row[Any]) -> Turn:
    return msgspec.convert(_aware(row), Turn)


def _aware(row: Row[Any]) -> dict[str, Any]:
    """A row as a mapping; SQLite gives times back without their zone, which is UTC."""
    return {
        str(name): _in_utc(value) if isinstance(value, datetime) else value
        for name, value in row._mapping.items()  # noqa: SLF001
    }
