"""The raw text of a model as it is kept, so that any process can go on from it."""

from __future__ import annotations

import msgspec


class Piece(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Text with its token ids, () where not all are known; `stop` where the model ended with it.

    `keep` is set where the answer went back: only so many characters of the text before it count.
    """

    text: str
    num_tokens: int = 0
    tokens: tuple[int, ...] = ()
    stop: bool = False
    keep: int | None = None
