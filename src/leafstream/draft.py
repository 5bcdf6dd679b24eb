"""An answer while it is written: text in, events out, until it can be ended validly."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from leafstream.ask import Ask
from leafstream.decoder.closing import Closer, Closing
from leafstream.decoder.json import JsonDecoder
from leafstream.decoder.locate import start_of
from leafstream.decoder.pace import Pacer
from leafstream.decoder.runaway import Guard
from leafstream.decoder.text import THINK, Reasoning, TextDecoder
from leafstream.engines.base import Chunk, Generation, Prefix, Prompt
from leafstream.errors import InvalidAnswer, LeafstreamError
from leafstream.events import (
    Event,
    Failed,
    Finish,
    Finished,
    Noticed,
    Plan,
    TextAppended,
    Timings,
    Usage,
    ValueSet,
)
from leafstream.messages import Messages
from leafstream.piece import Piece
from leafstream.pointer import Json
from leafstream.schema import Schema

Check = Callable[[Json], list[tuple[str, str]]]
"""(path, message) of everything wrong with a finished value."""

MAX_TEXT_IN_FAILURE = 10_000
RETRY_TEMPERATURE = 0.7
RETRY_SEED_STEP = 7919


class Job(msgspec.Struct, frozen=True):
    """One answer to write: what is asked, with its turns and its type. No `schema`: plain text."""

    id: str
    ask: Ask
    messages: Messages
    schema: Schema | None
    check: Check
    chat_template: str | None = None
    reasoning: Reasoning = THINK
    guard: bool = True


class Prepared(msgspec.Struct, frozen=True):
    """What is fixed before the first token; `grammar` is the schema that the engine is given."""

    prompt: Prompt
    plan: Plan
    grammar: Schema | None


class Step(msgspec.Struct, frozen=True):
    """What one piece of model text led to."""

    events: list[Event]
    piece: Piece | None = None


class Written(msgspec.Struct):
    """The raw text so far with its tokens; `known` while every token's id is known."""

    pieces: list[Chunk] = []
    num_tokens: int = 0
    known: bool = True

    def add(self, chunk: Chunk) -> None:
        self.pieces.append(chunk)
        self.num_tokens += chunk.num_tokens
        self.known &= len(chunk.tokens) == chunk.num_tokens

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.pieces)

    def prefix(self) -> Prefix:
        known = self.known
        tokens = tuple(token for chunk in self.pieces for token in chunk.tokens) if known else ()
        return Prefix(self.text, tokens)

    def cut_back(self, text: str) -> Written:
        """What was written, up to `text`, with which it begins (or `text` alone)."""
        kept, size = Written(), 0
        for chunk in self.pieces:
            if size + len(chunk.text) > len(text):
                break
            kept.add(chunk)
            size += len(chunk.text)
        if kept.text != text:
            share = len(text) / max(len(self.text), 1)
            return Written([Chunk(text)], int(self.num_tokens * share), known=False)
        return kept


class Draft:
    def __init__(
        self, job: Job, prepared: Prepared, queued: float = 0.0, elapsed: float = 0.0
    ) -> None:
        self._job = job
        self.plan = prepared.plan
        self._prepared = prepared
        self._sampling = job.ask.sampling
        self._decoder = _decoder(job)
        self._pacer = Pacer(job.ask.pace)
        self._guard = Guard() if job.guard else None
        self._written = Written()
        self._spent = 0
        self._finish: Finish | None = None
        self._retried = False
        self._cached = 0
        self._begun = time.monotonic() - elapsed
        self._queued = queued
        self._first_token: float | None = None

    def is_open(self) -> bool:
        """Whether more text is wanted."""
        return self._finish is None

    @property
    def has_begun(self) -> bool:
        """Whether the model has written anything."""
        return self._spent > 0

    @property
    def num_tokens(self) -> int:
        """All tokens that the engine has written for this answer."""
        return self._spent

    @property
    def deadline(self) -> float | None:
        """When `due` will have something to say, on the monotonic clock."""
        return self._pacer.deadline

    def due(self) -> Step:
        return Step(self._pacer.due(time.monotonic()))

    def generation(self) -> Generation:
        """What to ask of the engine next."""
        return Generation(
            prompt=self._prepared.prompt,
            max_tokens=self.plan.max_tokens - self._written.num_tokens,
            sampling=self._sampling,
            schema=self._prepared.grammar,
            prefix=self._written.prefix(),
            key=self._job.ask.conversation,
        )

    def take(self, chunk: Chunk) -> Step:
        """Decode a chunk and decide whether the answer goes on after it."""
        now = time.monotonic()
        if self._first_token is None and chunk.text:
            self._first_token = now - self._begun
        paced = self._paced(self._decode(chunk), now)
        piece = Piece(chunk.text, chunk.num_tokens, chunk.tokens, chunk.finish == "stop")
        return Step(paced, piece)

    def _decode(self, chunk: Chunk) -> list[Event]:
        self._written.add(chunk)
        self._spent += chunk.num_tokens
        # An engine that goes on from a text counts that as read again or not, too.
        cached = min(chunk.cached_tokens, self.plan.prompt_tokens)
        self._cached = max(self._cached, cached)
        events = self._decoder.feed(chunk.text)
        self._decide(chunk)
        events += self._watched(chunk)
        return events

    def _decide(self, chunk: Chunk) -> None:
        if self._decoder.complete or chunk.finish == "stop":
            self._finish = "stop"
        elif self._written.num_tokens >= self.plan.max_tokens:
            self._finish = "length"

    def _watched(self, chunk: Chunk) -> list[Event]:
        if self._guard is None or not self.is_open() or not chunk.text:
            return []
        growing, num_over = self._decoder.growing, self._decoder.num_over
        runaway = self._guard.feed(chunk.text, chunk.num_tokens, growing, num_over)
        if runaway is None:
            return []
        self._finish = "runaway"
        return [Noticed("runaway_stopped", runaway.message, growing)]

    def end(self) -> Step:
        """Close what is open, validate, and finish; or begin the one retry, and be open again.

        Raises InvalidAnswer where the value cannot be made valid.
        """
        decided = self._decoder.finish()
        if self._job.schema is None:
            return self._end_of_text(decided)
        if not self._decoder.started and self._finish in ("stop", "runaway"):
            text = self._written.text[:MAX_TEXT_IN_FAILURE]
            raise InvalidAnswer("the model wrote no JSON", details={"text": text})
        prefix = self._decoder.prefix()
        closing = Closer(self._job.schema).close(prefix, self._decoder.value)
        wrong = self._job.check(closing.value)
        if wrong:
            return self._retry(prefix, closing, wrong)
        events = self._flushed([*decided, *closing.events])
        return Step([*events, self._finished(closing.value, closing.cut, closing.missing)])

    def _end_of_text(self, decided: list[Event]) -> Step:
        if not self._decoder.started:
            decided = [TextAppended("", "")]
        cut = () if self._finish == "stop" else ("",)
        value = self._decoder.value or ""
        return Step([*self._flushed(decided), self._finished(value, cut, ())])

    def _retry(self, prefix: str, closing: Closing, wrong: list[tuple[str, str]]) -> Step:
        """Go back to before the first thing that is wrong, once; raises InvalidAnswer after."""
        path, message = wrong[0]
        start = start_of(prefix, path)
        kept = self._written.cut_back(prefix[:start] if start and path else "")
        is_last = self._retried or not self._job.ask.rewrite
        if is_last or self.plan.max_tokens - kept.num_tokens < (self.plan.min_tokens or 1):
            raise _invalid(closing, wrong)
        self._go_back(kept)
        said = f"{path or 'the answer'} was not valid and is written again: {message}"
        value = self._decoder.value if kept.text else None
        events = [*self._pacer.flush(), Noticed("retried", said, path), ValueSet("", value)]
        return Step(events, Piece("", keep=len(kept.text)))

    def _go_back(self, kept: Written) -> None:
        self._retried = True
        self._written = kept
        self._decoder = _decoder(self._job)
        self._decoder.feed(kept.text)
        self._finish = None
        # The likeliest text was wrong: draw another.
        temperature = max(self._sampling.temperature or 0.0, RETRY_TEMPERATURE)
        seed = (self._sampling.seed or 0) + RETRY_SEED_STEP
        self._sampling = msgspec.structs.replace(self._sampling, temperature=temperature, seed=seed)

    def resume(self, pieces: Sequence[Piece], sent: Sequence[Event]) -> Step:
        """Take in what was written elsewhere, of which `sent` was told; what is still to be told.

        The draft is then where the one was that wrote it, at its last piece.
        """
        decoded: list[Event] = []
        for piece in pieces:
            if piece.keep is not None:
                self._go_back(self._written.cut_back(self._written.text[: piece.keep]))
                decoded = []
            chunk = Chunk(
                piece.text, piece.num_tokens, piece.tokens, "stop" if piece.stop else None
            )
            decoded += self._decode(chunk)
        rest = unsent(decoded, sent)
        if rest is None:
            rest = [ValueSet("", self._decoder.value)]
        said = Noticed("taken_over", "another process wrote this; it goes on here")
        return Step([said, *self._paced(rest, time.monotonic())])

    def end_as(self, value: Json, usage: Usage) -> Step:
        """The end of an answer that was kept with `value` before it was told.

        Of its text the last pieces may be lost that led to no event.
        """
        is_whole = not self.is_open()
        self._finish = self._finish or self._finish_of(usage)
        try:
            *told, last = self.end().events
        except InvalidAnswer:
            return self.told_anew(value, usage)
        if not isinstance(last, Finished) or last.value != value:
            return self.told_anew(value, usage)
        if not is_whole and last.finish == "stop":
            last = msgspec.structs.replace(last, complete=True, cut=(), missing=())
        return Step([*told, msgspec.structs.replace(last, usage=usage)])

    def told_anew(self, value: Json, usage: Usage) -> Step:
        """The end of an answer that was kept with another value than was told here."""
        self._finish = self._finish_of(usage)
        cut = () if self._finish == "stop" else ("",)
        finished = msgspec.structs.replace(self._finished(value, cut, ()), usage=usage)
        return Step([*self._pacer.flush(), ValueSet("", value), finished])

    def _finish_of(self, usage: Usage) -> Finish:
        return "length" if usage.completion_tokens >= self.plan.max_tokens else "stop"

    def _paced(self, events: list[Event], now: float) -> list[Event]:
        return [*self._pacer.feed(events, now), *self._pacer.ended(self._decoder.growing)]

    def _flushed(self, events: list[Event]) -> list[Event]:
        return [*self._pacer.feed(events, time.monotonic()), *self._pacer.flush()]

    def _finished(self, value: Json, cut: tuple[str, ...], missing: tuple[str, ...]) -> Finished:
        total = time.monotonic() - self._begun
        first = self._first_token
        return Finished(
            value=value,
            finish=self._finish or "stop",
            complete=not cut and not missing,
            cut=cut,
            missing=missing,
            usage=Usage(self.plan.prompt_tokens, self._spent, self._cached),
            timings=Timings(round(self._queued, 4), first and round(first, 4), round(total, 4)),
        )

    def failed(self, error: LeafstreamError) -> Step:
        """The terminal event for an error, after everything that was still held back."""
        return Step([*self._pacer.flush(), failure(error)])


def unsent(decoded: Sequence[Event], sent: Sequence[Event]) -> list[Event] | None:
    """What of `decoded` is not in `sent`, which holds a beginning of it, perhaps at another pace.

    None where `sent` is something else: whoever folds it must be given the value anew.
    """
    rest = deque(event for event in decoded if isinstance(event, TextAppended | ValueSet))
    for event in _since_retry(sent):
        if isinstance(event, ValueSet):
            if not rest or rest.popleft() != event:
                return None
        elif not _taken_from(rest, event):
            return None
    return list(rest)


def _taken_from(rest: deque[TextAppended | ValueSet], event: TextAppended) -> bool:
    """Take a text off the front of `rest`, which may hold it in other parts."""
    text = event.text
    while text:
        first = rest.popleft() if rest else None
        if not isinstance(first, TextAppended) or first.path != event.path:
            return False
        told = min(len(first.text), len(text))
        if first.text[:told] != text[:told]:
            return False
        if first.text[told:]:
            rest.appendleft(TextAppended(first.path, first.text[told:]))
        text = text[told:]
    return True


def _since_retry(sent: Sequence[Event]) -> list[TextAppended | ValueSet]:
    """The texts and values since the answer last went back, which is told as a value of all."""
    begun = 0
    for place, event in enumerate(sent):
        if isinstance(event, Noticed) and event.code == "retried":
            begun = place + 2
    return [event for event in sent[begun:] if isinstance(event, TextAppended | ValueSet)]


def _decoder(job: Job) -> JsonDecoder | TextDecoder:
    if job.schema is None:
        return TextDecoder(reasoning=job.reasoning)
    return JsonDecoder(job.schema, reasoning=job.reasoning)


def failure(error: LeafstreamError) -> Failed:
    """An error as the terminal event it is once a stream is open."""
    return Failed(
        code=error.code,
        status=error.status,
        message=error.message,
        retryable=error.retryable,
        details=error.details,
        retry_after=error.retry_after,
    )


def _invalid(closing: Closing, wrong: list[tuple[str, str]]) -> InvalidAnswer:
    errors: list[Json] = [{"path": path, "message": message} for path, message in wrong]
    return InvalidAnswer(
        f"the answer is not valid for its type: {wrong[0][0] or '/'}: {wrong[0][1]}",
        details={"errors": errors, "value": closing.value, "absent": list(closing.absent)},
    )
