"""The thread that generates: all sequences in turn, one token each, the new ones a piece at a time.

A step reads one piece of the oldest unread prompt and then writes one token of every sequence that
is read, so a newcomer with a long prompt holds the others back for no longer than a piece takes.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import msgspec
import torch

from leafstream.engines.base import CLOSED, Chunk
from leafstream.engines.rows import Kept, Rows, cache_name, length
from leafstream.engines.sampler import Sampler
from leafstream.engines.spelling import Spelled, Spelling
from leafstream.engines.thread import Mailbox
from leafstream.errors import EngineError, EngineUnavailable
from leafstream.events import Usage

logger = logging.getLogger("leafstream.engines")

NOT_FINITE = (
    "the model's probabilities are not numbers (inf or nan): its weights are damaged, or its dtype "
    "is too narrow for it; try LEAFSTREAM_DTYPE=bf16 or fp32"
)


class Limits(msgspec.Struct, frozen=True):
    """`piece` tokens of a prompt are read at once; `kept` sequences in all hold keys and values."""

    piece: int
    kept: int
    stops: frozenset[int]


class Sequence(msgspec.Struct, eq=False):
    """One generation: `ids` are the prompt, the prefix and, from `start` on, what is new."""

    ids: list[int]
    num_prompt: int
    start: int
    limit: int
    sampler: Sampler
    spelling: Spelling
    mailbox: Mailbox[Chunk]
    key: str | None = None
    cache: Any = None
    cached: int = 0

    @property
    def num_written(self) -> int:
        return len(self.ids) - self.start

    def put(self, piece: Spelled) -> None:
        self.mailbox.put(
            Chunk(piece.text, piece.num_tokens, piece.tokens, cached_tokens=self._cached_prompt)
        )

    def finish(self, reason: Literal["stop", "length"], last: Spelled) -> None:
        usage = Usage(self.num_prompt, self.num_written, self._cached_prompt)
        chunk = Chunk(last.text, last.num_tokens, last.tokens, reason, usage, self._cached_prompt)
        self.mailbox.put(chunk)
        self.mailbox.end()

    @property
    def _cached_prompt(self) -> int:
        return min(self.cached, self.num_prompt)


class Batch:
    """Sequences of one model; its thread runs only while there are some."""

    def __init__(self, model: Any, device: Any, limits: Limits) -> None:
        self._model = model
        self._cache_name = cache_name(model)
        self._device = device
        self._limits = limits
        self._lock = threading.Lock()
        self._waiting: deque[Sequence] = deque()
        self._unread: deque[Sequence] = deque()
        self._rows = Rows()
        self._written: list[Sequence] = []
        self._kept = Kept()
        self._runs = False
        self._closing = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="generate")

    @property
    def is_closed(self) -> bool:
        return self._closing

    def begin(self, sequence: Sequence) -> None:
        """Take a sequence in. Raises EngineUnavailable once the batch is closed."""
        with self._lock:
            if self._closing:
                raise EngineUnavailable(CLOSED)
            self._waiting.append(sequence)
            if not self._runs:
                self._runs = True
                self._thread.submit(self._run)

    def close(self) -> None:
        """End what is in flight and the thread. Blocks."""
        with self._lock:
            self._closing = True
        self._thread.shutdown()
        self._kept.shrink(0)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def _run(self) -> None:
        while self._admitted():
            try:
                self._leave_out()
                self._read()
                self._write()
            except Exception as error:  # the thread must outlive whatever a model's code raises
                self._abandon(error)

    def _admitted(self) -> bool:
        """Whether there is work, after taking in what waits."""
        with self._lock:
            while self._waiting:
                self._unread.append(self._waiting.popleft())
            self._runs = bool(self._unread or self._written)
            return self._runs

    def _leave_out(self) -> None:
        """Take out what was cancelled, or everything when the engine closes."""
        gone = EngineUnavailable(CLOSED) if self._closing else None
        for sequence in [*self._unread, *self._written]:
            if gone is not None or sequence.mailbox.cancelled.is_set():
                try:
                    self._keep(sequence, self._remove(sequence))
                finally:
                    sequence.mailbox.end(gone)

    def _remove(self, sequence: Sequence) -> Any:
        """Take a sequence out; its keys and values, or None."""
        if sequence in self._unread:
            self._unread.remove(sequence)
            return sequence.cache
        row = self._written.index(sequence)
        del self._written[row]
        return self._rows.leave(row)

    def _keep(self, sequence: Sequence, cache: Any) -> None:
        """Keep what was read of a sequence for the conversation's next turn."""
        if cache is not None and length(cache):
            self._kept.keep(sequence.key, sequence.ids, cache)
        self._shrink()

    def _read(self) -> None:
        """Read a piece of the oldest prompt; at its end write its first token."""
        if not self._unread:
            return
        sequence = self._unread[0]
        try:
            logits = self._piece(sequence)
        except Exception as error:  # whatever a model's code raises ends this stream alone
            self._unread.remove(sequence)
            sequence.mailbox.end(_failure(error))
            return
        if length(sequence.cache) == len(sequence.ids):
            self._rows.join(sequence.cache)
            self._unread.remove(sequence)
            self._written.append(sequence)
            sequence.cache = None
            self._choose([sequence], logits)

    def _piece(self, sequence: Sequence) -> torch.Tensor:
        """Read the next piece of a prompt; the logits [1, vocabulary] after it."""
        if sequence.cache is None:
            sequence.cache = self._kept.take(sequence.key, sequence.ids)
            sequence.cached = length(sequence.cache)
            self._shrink()
        at = length(sequence.cache)
        end = min(at + self._limits.piece, len(sequence.ids))
        return self._logits(
            sequence.cache,
            input_ids=torch.tensor([sequence.ids[at:end]], device=self._device),
            position_ids=torch.arange(at, end, device=self._device)[None],
            attention_mask=torch.ones(1, end, dtype=torch.long, device=self._device),
            logits_to_keep=1,
        )

    def _logits(self, cache: Any, **inputs: Any) -> torch.Tensor:
        """What the model says after the last token of each row, [rows, vocabulary]."""
        logits: torch.Tensor = self._model(**inputs, **{self._cache_name: cache}).logits[:, -1]
        return logits

    def _write(self) -> None:
        """Write one token of each sequence that is read."""
        if not self._written:
            return
        sequences = list(self._written)
        tokens = [sequence.ids[-1] for sequence in sequences]
        logits = self._logits(self._rows.cache, **self._rows.inputs(tokens, self._device))
        self._rows.grow()
        self._choose(sequences, logits)

    def _choose(self, sequences: list[Sequence], logits: torch.Tensor) -> None:
        """The next token of each; one sequence's failure is not another's."""
        finite = logits.isfinite().all(-1).tolist()
        likeliest = logits.argmax(-1).tolist()
        for row, sequence in enumerate(sequences):
            if not finite[row]:
                self._fail(sequence, EngineError(NOT_FINITE))
                continue
            try:
                token = likeliest[row]
                if not sequence.sampler.is_plain:
                    token = sequence.sampler.choose(
                        logits[row], sequence.ids[sequence.num_prompt :]
                    )
                self._take(sequence, token)
            except (EngineError, RuntimeError) as error:
                if sequence not in self._written:
                    raise  # it had ended, and the rows of the others may be half moved
                self._fail(sequence, _failure(error))

    def _take(self, sequence: Sequence, token: int) -> None:
        if token in self._limits.stops:
            self._finish(sequence, "stop", sequence.spelling.rest())
            return
        sequence.ids.append(token)
        sequence.sampler.take(token)
        piece = sequence.spelling.feed(token)
        if piece is not None and piece.stopped:
            self._finish(sequence, "stop", piece)
        elif sequence.sampler.is_complete:
            self._finish(sequence, "stop", piece or sequence.spelling.rest())
        elif sequence.num_written >= sequence.limit:
            self._finish(sequence, "length", piece or sequence.spelling.rest())
        elif piece is not None:
            sequence.put(piece)

    def _finish(self, sequence: Sequence, reason: Literal["stop", "length"], last: Spelled) -> None:
        try:
            self._keep(sequence, self._remove(sequence))
        finally:
            sequence.finish(reason, last)

    def _fail(self, sequence: Sequence, error: EngineError) -> None:
        # Not kept: what is not a number spreads to whoever goes on from a common prefix.
        try:
            self._remove(sequence)
        finally:
            sequence.mailbox.end(error)

    def _shrink(self) -> None:
        self._kept.shrink(self._limits.kept - len(self._written) - len(self._unread))

    def _abandon(self, error: Exception) -> None:
        """End everything in flight: keys and values may be half written."""
        for sequence in [*self._unread, *self._written]:
            sequence.mailbox.end(_failure(error))
        self._unread.clear()
        self._written.clear()
        self._rows = Rows()


def _failure(error: Exception) -> EngineError:
    if isinstance(error, EngineError):
        return error
    lines = str(error).strip().splitlines()
    reason = lines[0] if lines else "no reason given"
    logger.error("the model failed", exc_info=error)
    return EngineError(f"the model failed: {type(error).__name__}: {reason}")
