"""What the log holds of an answer: its opening, its numbered events, the raw text of the model."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from leafstream.ask import Ask
from leafstream.events import KINDS, Event, TextAppended
from leafstream.piece import Piece


class Entry(msgspec.Struct, frozen=True, gc=False):
    number: int
    event: Event


class Batch(list[Entry]):
    """Entries in order, shared by all readers at the same place; `wire` is their encoded form."""

    __slots__ = ("wire",)

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        super().__init__(entries)
        self.wire: bytes | None = None


class Opening(msgspec.Struct, frozen=True):
    """What is known of an answer before its first event; `created` is seconds since the epoch.

    The same `ask` under the same `key` (its owner's idempotency key) is this answer again.
    """

    id: str
    ask: Ask
    created: float
    key: str | None = None


class Record(msgspec.Struct, frozen=True):
    """What one flush adds to an answer: its events up to number `last`."""

    last: int
    events: list[Event]
    pieces: list[Piece]

    @property
    def first(self) -> int:
        return self.last - len(self.events) + 1


# JSON, not MessagePack: an integer of a JSON answer may have more than 64 bits.
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[list[tuple[str, msgspec.Raw]], list[Piece]]).decode
_decoders = {kind: msgspec.json.Decoder(cls).decode for kind, cls in KINDS.items()}


def encode_record(record: Record) -> bytes:
    """The record without its number."""
    return _encode(([(event.kind, event) for event in record.events], record.pieces))


def decode_record(last: int, body: bytes) -> Record:
    events, pieces = _decode(body)
    return Record(last, [_decoders[kind](raw) for kind, raw in events], pieces)


def encode_opening(opening: Opening) -> bytes:
    return _encode(opening)


decode_opening = msgspec.json.Decoder(Opening).decode


def joined(events: Sequence[Event]) -> list[Event]:
    """The events with adjacent texts of one path made one."""
    if len(events) < 2:
        return list(events)
    return [entry.event for entry in merged(1, events)]


def merged(first: int, events: Sequence[Event]) -> Batch:
    """The events numbered from `first`; adjacent texts of one path are one, with the last number.

    So a reader that is behind gets fewer events, and nothing else.
    """
    batch = Batch()
    texts: list[str] = []
    path: str | None = None
    number = first - 1
    for event in events:
        if type(event) is not TextAppended:
            _close(batch, number, path, texts)
            path = None
            batch.append(Entry(number + 1, event))
        elif event.path == path:
            texts.append(event.text)
        else:
            _close(batch, number, path, texts)
            path, texts = event.path, [event.text]
        number += 1
    _close(batch, number, path, texts)
    return batch


def _close(batch: Batch, number: int, path: str | None, texts: list[str]) -> None:
    if path is not None:
        batch.append(Entry(number, TextAppended(path, "".join(texts))))


def whole(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces as few as they can be: one from each point the answer went back to."""
    runs: list[list[Piece]] = []
    for piece in pieces:
        if piece.keep is not None or not runs:
            runs.append([])
        runs[-1].append(piece)
    return [_one(run) for run in runs]


def _one(run: list[Piece]) -> Piece:
    if len(run) == 1:
        return run[0]
    known = all(len(piece.tokens) == piece.num_tokens for piece in run)
    return Piece(
        "".join(piece.text for piece in run),
        sum(piece.num_tokens for piece in run),
        tuple(token for piece in run for token in piece.tokens) if known else (),
        run[-1].stop,
        run[0].keep,
    )
