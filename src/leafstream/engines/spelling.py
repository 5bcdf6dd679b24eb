"""From token ids to text: whole characters only, and nothing of a stop text."""

from __future__ import annotations

import codecs
from collections.abc import Callable

import msgspec

BytesOf = Callable[[int], bytes]
"""What a token stands for; b"" for a control token."""

LONGEST_CHARACTER = 4


class Spelled(msgspec.Struct, frozen=True, gc=False):
    """Text with the ids it came from; `stopped` once a stop text was written, which it lacks.

    `tokens` is () where the stop text began inside a token.
    """

    text: str
    num_tokens: int
    tokens: tuple[int, ...] = ()
    stopped: bool = False


class Spelling:
    """Bytes, not text, are what tokens are cut from, so this never guesses at a half character."""

    def __init__(self, bytes_of: BytesOf, stops: tuple[str, ...] = ()) -> None:
        self._bytes_of = bytes_of
        self._stops = tuple(stop for stop in stops if stop)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._tokens: list[int] = []

    def resume(self, written: tuple[int, ...]) -> None:
        """Begin after tokens that may end in the middle of a character."""
        for token in written[-LONGEST_CHARACTER:]:
            self._decoder.decode(self._bytes_of(token))

    def feed(self, token: int) -> Spelled | None:
        """What can be shown now that `token` is written; None while it must be held."""
        self._text += self._decoder.decode(self._bytes_of(token))
        self._tokens.append(token)
        at = self._stop()
        if at is not None:
            return self._stopped(at)
        if not self._text or self._may_be_stop():
            return None
        return self.rest()

    def rest(self) -> Spelled:
        """What was held, at the end; the bytes of half a character stay out of its text."""
        piece = Spelled(self._text, len(self._tokens), tuple(self._tokens))
        self._text, self._tokens = "", []
        return piece

    def _stop(self) -> int | None:
        places = [self._text.find(stop) for stop in self._stops]
        return min((place for place in places if place >= 0), default=None)

    def _stopped(self, at: int) -> Spelled:
        text, count = self._text[:at], len(self._tokens)
        self._text, self._tokens = "", []
        return Spelled(text, count, stopped=True)

    def _may_be_stop(self) -> bool:
        return any(
            self._text.endswith(stop[:length])
            for stop in self._stops
            for length in range(1, min(len(stop), len(self._text) + 1))
        )
