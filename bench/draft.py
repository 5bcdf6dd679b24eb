"""What a token costs between the engine and the log: decoder, pace, guard and bookkeeping.

A token is 4 characters. Chunks of one token and of 16 are measured: an engine that is ahead hands
over what has piled up as one chunk. The target is 8 µs a token, scaled as in bench/decoder.py;
a core that only did this would take 1,000,000 / µs tokens a second.
"""

from __future__ import annotations

import json
import random
from functools import partial

from bench.decoder import Row, baselines, best, row, scale
from leafstream.ask import Ask
from leafstream.assistant import Assistant
from leafstream.decoder.pace import Grain, Pace
from leafstream.draft import Draft, Job, Prepared
from leafstream.engines.base import Chunk, Prompt
from leafstream.events import Plan

TOKENS = 10_000
TARGET = 8.0
LETTERS = {"English": "etaoinshrdlucmfwyp", "Korean": "가나다라마바사아자차카타파하을를은는"}
ITEM = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 40},
        "kind": {"enum": ["WASTE", "WATER", "TRANSPORT"]},
        "n": {"type": "integer"},
        "ok": {"type": "boolean"},
    },
    "required": ["title", "kind", "n", "ok"],
}
ANSWER = Assistant(
    {
        "type": "object",
        "properties": {"text": {"type": "string"}, "items": {"type": "array", "items": ITEM}},
    }
)


def documents() -> dict[str, str]:
    """Text that does not repeat itself, so that the guard lets it through."""
    draw = random.Random(1)
    found = {
        f"one {language} string": {"text": _words(draw, letters, 4 * TOKENS)}
        for language, letters in LETTERS.items()
    }
    items = [
        {"title": _words(draw, LETTERS["English"], 14), "kind": "WASTE", "n": n % 7, "ok": True}
        for n in range(TOKENS // 15)
    ]
    texts = {"short fields": {"items": items}, **found}
    return {
        name: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        for name, value in texts.items()
    }


def _words(draw: random.Random, letters: str, size: int) -> str:
    words = ("".join(draw.choices(letters, k=draw.randint(1, 9))) for _ in range(size))
    return " ".join(words)[:size]


def chunks(text: str, tokens: int) -> list[Chunk]:
    size = 4 * tokens
    ids = (7,) * tokens
    return [Chunk(text[at : at + size], tokens, ids) for at in range(0, len(text), size)]


def write(pieces: list[Chunk], grain: Grain) -> None:
    job = Job("ans", Ask((), pace=Pace(grain)), (), ANSWER.schema, ANSWER.errors)
    room = len(pieces) * 100
    draft = Draft(job, Prepared(Prompt((), 1), Plan(1, room, room), None))
    for piece in pieces:
        draft.take(piece)
        if not draft.is_open() and piece is not pieces[-1]:
            raise RuntimeError("the answer was stopped before its end")


def rows() -> list[Row]:
    """One row for each document, grain and size of chunks."""
    target = TARGET * scale(baselines())
    out = []
    for name, text in documents().items():
        for grain, tokens in (("token", 1), ("token", 16), ("word", 1), ("sentence", 1)):
            job = partial(write, chunks(text, tokens), grain)  # type: ignore[arg-type]
            figure = best(job, seconds=1.0) / (len(text) / 4) * 1e6
            case = f"{name}, pace {grain}, chunks of {tokens}"
            out.append(row(f"µs a token: {case}", figure, None, target, part="draft"))
    return out


if __name__ == "__main__":
    for line in rows():
        print(f"{line['case']:<45} {line['ours']:>6} {line['target']:>9} {line['holds']}")
