"""Sessions of the chatbot: conversations in the store, found again by the client's sessionId.

They outlive the process and are the same for every replica. A session that is restarted goes on
in a conversation of its own; the newest one counts.
"""

from __future__ import annotations

import hashlib

import msgspec

from leafstream.apps.leafresh.categories import BY_CODE, DEFAULT, Category
from leafstream.apps.leafresh.question import NAME
from leafstream.apps.leafresh.wording import Reading
from leafstream.pointer import Json
from leafstream.store.conversations import Conversation, Conversations


class Session(msgspec.Struct, frozen=True):
    """`first` is the category that it began with, `current` the one that holds now.

    One that `is_new` has no question yet.
    """

    conversation: str
    first: Category
    current: Category
    is_new: bool = False

    def wanted(self, reading: Reading) -> Category:
        """The category that holds after a message."""
        return reading.category or (self.first if reading.goes_back else self.current)


class Caller(msgspec.Struct, frozen=True):
    """Whose session it is, and the name that the client gave it: any text."""

    owner: str
    session_id: str

    @property
    def key(self) -> str:
        return hashlib.sha256(f"{NAME}\0{self.session_id}".encode()).hexdigest()


class Sessions:
    def __init__(self, store: Conversations) -> None:
        self._store = store

    async def begin(self, caller: Caller, category: Category) -> Session:
        """Start a session, or start it anew."""
        noted = _noted(category, category)
        made = await self._store.create(
            NAME, owner=caller.owner, session=caller.key, metadata=noted
        )
        return Session(made.id, category, category, is_new=True)

    async def find(self, caller: Caller) -> Session:
        """The caller's session; one that is not known begins with 제로웨이스트."""
        found = await self._store.newest(caller.key, owner=caller.owner)
        return await self.begin(caller, DEFAULT) if found is None else _session(found)

    async def take_back(self, session: Session) -> None:
        """Leave no trace of a session whose first question was refused: the one before holds."""
        if session.is_new:
            await self._store.delete(session.conversation)

    async def switch(self, session: Session, category: Category) -> None:
        """Make `category` the session's current one. Raises NotFound."""
        if category is not session.current:
            await self._store.note(session.conversation, _noted(session.first, category))


def _session(found: Conversation) -> Session:
    noted = found.metadata or {}
    first, current = (BY_CODE.get(str(noted.get(name)), DEFAULT) for name in ("first", "current"))
    return Session(found.id, first, current)


def _noted(first: Category, current: Category) -> dict[str, Json]:
    return {"first": first.code, "current": current.code}
