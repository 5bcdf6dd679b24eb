"""TTFT and tokens/s through the whole server, beside the same model asked in three other ways.

xllamacpp asked directly and llama.cpp's own HTTP server are the engine itself: the same process,
prompt tokens, sampling and prefix cache, in turn with ours. transformers has the same weights in
bf16, in a process of its own that waits while the others are measured.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import uvloop

from bench.listening import Answer, Question
from bench.rows import Row, at_most, beside, short
from bench.sitting import Sitting, sitting
from leafstream.answer import prepare
from leafstream.ask import Ask
from leafstream.draft import Draft, Job
from leafstream.engines.checkpoint import checkpoint
from leafstream.engines.llamacpp import Begun, LlamaCppEngine, LlamaCppOptions
from leafstream.engines.llamacpp_wire import decode_part
from leafstream.messages import Message
from leafstream.models.fetch import cache_folder
from leafstream.sampling import Sampling
from leafstream.schema import Schema

STREAMS = {1: 96, 4: 64, 8: 48}
"""How many at once, and the tokens of each."""
REPEATS, LEAST, SECONDS = 8, 2, 80.0
"""At most REPEATS; where they take longer than SECONDS, fewer, but LEAST. Those who are far behind
or have no target are asked LEAST times."""
STREAMER_TOKENS = 32
QUESTION = "Tell me a long story about a cup."
OPENED = '{"story":"'
KINDS = ("free text", "schema")
USED = re.compile(rb'"completion_tokens":(\d+)')
Sample = tuple[float, float]
"""Seconds to the first text, tokens/s of all streams together from there to their end."""


class Asked(msgspec.Struct, frozen=True):
    """What all of them are asked; `opened` of the tokens come before the text."""

    kind: str
    streams: int
    payload: dict[str, Any]
    opened: int = 0

    @property
    def tokens(self) -> int:
        return STREAMS[self.streams]

    def sample(
        self, begun: float, firsts: list[float], ends: list[float], num_tokens: list[int]
    ) -> Sample:
        """From when the text of each stream began, when the stream ended, and its tokens."""
        written = sum(count - self.opened - 1 for count in num_tokens)
        return statistics.median(firsts) - begun, written / (max(ends) - min(firsts))


def story(tokens: int) -> dict[str, Any]:
    """A type whose text is long enough to fill most of the tokens."""
    text = {"type": "string", "minLength": 3 * tokens}
    return {"type": "object", "properties": {"story": text}, "required": ["story"]}


async def asked(seat: Sitting, kind: str, streams: int) -> Asked:
    engine = seat.engine
    schema = Schema.parse(story(STREAMS[streams])) if kind == "schema" else None
    turns = (Message("user", QUESTION),)
    ask = Ask(turns, max_tokens=STREAMS[streams], sampling=Sampling(temperature=0.0))
    job = Job("", ask, turns, schema, lambda _: [])
    # The grammar is the one that leafstream hands on, which lands within the tokens.
    generation = Draft(job, await prepare(job, engine)).generation()
    grammar = None
    if generation.schema is not None:
        grammar = await engine._grammars.following("", generation.schema)  # noqa: SLF001
    payload = engine._payload(generation, Begun(grammar=grammar))  # noqa: SLF001
    for ours in ("timings_per_token", "return_progress"):
        del payload[ours]
    if schema is None:
        return Asked(kind, streams, payload)
    return Asked(kind, streams, payload, await engine.count(OPENED))


def direct(engine: LlamaCppEngine, asked: Asked) -> Sample:
    """Ask xllamacpp itself, a thread a stream."""
    server: Any = engine._server  # noqa: SLF001
    chunks: list[list[tuple[float, str]]] = [[] for _ in range(asked.streams)]
    payload = json.dumps(asked.payload)

    def ask(heard: list[tuple[float, str]]) -> None:
        server.handle_completions(payload, lambda raw: heard.append((time.perf_counter(), raw)))

    threads = [threading.Thread(target=ask, args=(heard,)) for heard in chunks]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    texts = [[at for at, raw in heard if _is_text(raw)] for heard in chunks]
    ends = [heard[-1][0] for heard in chunks]
    firsts = [heard[asked.opened] for heard in texts]
    return asked.sample(begun, firsts, ends, [len(heard) for heard in texts])


def _is_text(raw: str) -> bool:
    """Whether a chunk is of a token, and not of the end."""
    return any(choice.text for choice in decode_part(raw).choices)


async def served(seat: Sitting, asked: Asked) -> Sample:
    """Ask leafstream over HTTP and SSE."""
    body: dict[str, Any] = {"input": QUESTION, "max_tokens": asked.tokens, "temperature": 0}
    body |= {"schema": story(asked.tokens)} if asked.kind == "schema" else {"assistant": "chat"}
    host, _, port = seat.url.removeprefix("http://").partition(":")
    question = Question(
        (host, int(port)), "/v1/answers", json.dumps(body).encode(), b"event: text\n", asked.streams
    )
    answer = await _heard(question)
    counts = [int(USED.findall(tail)[-1]) for tail in answer.tails]
    return asked.sample(answer.begun, [heard[0] for heard in answer.times], answer.ends, counts)


async def over_http(seat: Sitting, asked: Asked) -> Sample:
    """Ask llama.cpp's own HTTP server, on its Unix socket."""
    address = str(seat.engine._folder / "llama.sock")  # noqa: SLF001
    body = json.dumps(asked.payload).encode()
    question = Question(address, "/completion", body, b"data: {", asked.streams)
    answer = await _heard(question)
    counts = [min(len(heard), asked.tokens) for heard in answer.times]  # the end is no token
    return asked.sample(answer.begun, [heard[0] for heard in answer.times], answer.ends, counts)


async def _directly(seat: Sitting, asked: Asked) -> Sample:
    return await asyncio.to_thread(direct, seat.engine, asked)


WAYS = (("ours", served), ("direct", _directly))


async def _heard(question: Question) -> Answer:
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.listening", stdin=-1, stdout=-1
    )
    told, _ = await client.communicate(msgspec.json.encode(question))
    return msgspec.json.decode(told, type=Answer)


@asynccontextmanager
async def transformers() -> AsyncIterator[asyncio.subprocess.Process]:
    """transformers with the same weights, which answers once for each line that it reads."""
    folder = await asyncio.to_thread(checkpoint, "smollm2-135m", cache_folder())
    words = ("-m", "bench.streamer", str(folder), str(STREAMER_TOKENS))
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stdin=-1, stdout=-1)
    try:
        await _line(process)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    if line := await process.stdout.readline():
        return line.decode()
    raise RuntimeError("bench.streamer ended before it answered")


async def streamed(process: asyncio.subprocess.Process) -> float:
    """Its tokens/s."""
    assert process.stdin is not None
    process.stdin.write(b"go on\n")
    return float(await _line(process))


class Samples:
    """What was measured, by who was asked, what kind of text and how many streams."""

    def __init__(self) -> None:
        self._found: defaultdict[tuple[str, str, int], list[Sample]] = defaultdict(list)
        self.transformers: list[float] = []

    def add(self, who: str, asked: Asked, sample: Sample) -> None:
        self._found[who, asked.kind, asked.streams].append(sample)

    def first(self, who: str, kind: str, streams: int) -> float:
        return statistics.median(first for first, _ in self._found[who, kind, streams])

    def speeds(self, who: str, kind: str, streams: int) -> list[float]:
        return [speed for _, speed in self._found[who, kind, streams]]


async def measured() -> Samples:
    """Each way after the other, again and again: what disturbs one disturbs its neighbours.

    Neither ours nor xllamacpp is always the first of two.
    """
    samples = Samples()
    options = LlamaCppOptions(name="smollm2-135m", slots=max(STREAMS), context_window=1024)
    async with sitting(options) as seat, transformers() as process:
        everything = [await asked(seat, kind, streams) for streams in STREAMS for kind in KINDS]
        for one in everything[-len(KINDS) :]:  # in every slot, so that nobody reads it for others
            await served(seat, one)
        begun = time.monotonic()
        for repeat in range(REPEATS):
            if repeat >= LEAST and time.monotonic() - begun > SECONDS:
                break
            for place, one in enumerate(everything):
                for who, way in WAYS[:: (-1) ** (repeat + place)]:
                    samples.add(who, one, await way(seat, one))
                if repeat < LEAST and one.kind == KINDS[0]:
                    samples.add("http", one, await over_http(seat, one))
            if repeat < LEAST:
                samples.transformers.append(await streamed(process))
    return samples


def _rows(samples: Samples) -> list[Row]:
    free, schema = KINDS
    made = []
    for streams in STREAMS:
        case = f"{streams} stream{'s' * (streams > 1)}"
        for kind in KINDS:
            ours, theirs = (samples.speeds(who, kind, streams) for who in ("ours", "direct"))
            made.append(_speed(f"{case}, {kind}, beside xllamacpp", ours, theirs, 0.97))
        ours, theirs = (samples.speeds(who, free, streams) for who in ("ours", "http"))
        made.append(_speed(f"{case}, {free}, beside llama.cpp's HTTP server", ours, theirs))
        bound, ours = (samples.speeds("ours", kind, streams) for kind in (schema, free))
        made.append(_speed(f"{case}, schema beside free text", bound, ours, 0.95))
        for kind in KINDS:
            ours_first, first = (samples.first(who, kind, streams) for who in ("ours", "direct"))
            row = at_most("engine", f"{case}, {kind}, TTFT", 1000 * ours_first, "ms")
            told = {"baseline": short(1000 * first), "ratio": round(ours_first / first, 2)}
            made.append(row | told)
    ours = samples.speeds("ours", free, 1)
    case = "1 stream, beside transformers' TextIteratorStreamer"
    return [*made, _speed(case, ours, samples.transformers, 2.5)]


def _speed(case: str, ours: list[float], theirs: list[float], target: float | None = None) -> Row:
    """The ratio is the median of the neighbours' ratios: the row's figures need not give it."""
    pairs = list(zip(ours, theirs, strict=False))  # of the first repeats, where it is fewer
    ratio = statistics.median(mine / other for mine, other in pairs)
    figures = (statistics.median(ours), statistics.median(theirs))
    row = beside("engine", case, figures, "tokens/s", target)
    holds = None if target is None else ratio >= target
    return row | {"ratio": round(ratio, 3), "holds": holds}


async def rows() -> list[Row]:
    return _rows(await measured())


if __name__ == "__main__":
    for row in uvloop.run(rows()):
        print(row)
