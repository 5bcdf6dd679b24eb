"""A log that a meter watches: every event of an answer passes here once, when it is written."""

from __future__ import annotations

from collections.abc import Sequence

from leafstream.events import Event, Failed, TextAppended, ValueSet, is_terminal
from leafstream.log.commits import Claim
from leafstream.log.log import Log
from leafstream.log.records import Opening
from leafstream.log.storage import Storage
from leafstream.meter import Meter, Watch
from leafstream.piece import Piece

# An answer has one of these for each token, and few others.
_GROWTH = frozenset({TextAppended, ValueSet})


class WatchedLog(Log):
    """Tells `meter` of the answers that this process writes, and of nobody else's."""

    def __init__(self, storage: Storage, meter: Meter, patience: float = 30.0) -> None:
        super().__init__(storage, patience)
        self._meter = meter
        self._watches: dict[str, Watch] = {}

    async def open(self, opening: Opening) -> Claim:
        claim = await super().open(opening)
        if claim.answer == opening.id:
            self._watches[claim.answer] = self._meter.watch(opening.id, opening.ask)
        return claim

    async def claim(self, answer: str) -> Claim | None:
        claim = await super().claim(answer)
        if claim is not None:
            ask = (await self.opening(answer)).ask
            self._watches[answer] = self._meter.watch(answer, ask)
        return claim

    async def append(
        self, claim: Claim, events: Sequence[Event], piece: Piece | None = None
    ) -> None:
        await super().append(claim, events, piece)
        watch = self._watches.get(claim.answer)
        if watch is None:
            return
        if piece is not None:
            watch.wrote(piece.num_tokens)
        for event in events:
            if type(event) not in _GROWTH:
                self._told(claim, watch, event)

    def gave_up(self, claim: Claim, failed: Failed) -> None:
        watch = self._watches.get(claim.answer)
        if watch is not None:
            self._told(claim, watch, failed)

    def _told(self, claim: Claim, watch: Watch, event: Event) -> None:
        watch.told(event)
        if is_terminal(event):  # there is one end, and who says another is not heard
            del self._watches[claim.answer]
            watch.close()

    def admitted(self, claim: Claim, queued: float) -> None:
        watch = self._watches.get(claim.answer)
        if watch is not None:
            watch.admitted(queued)

    def ended(self, claim: Claim) -> None:
        super().ended(claim)
        watch = self._watches.pop(claim.answer, None)
        if watch is not None:
            watch.close()
