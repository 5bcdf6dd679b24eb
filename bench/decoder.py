"""What a token costs in the decoder, beside re-parsing the whole text at every token.

    pip install jiter partial-json-parser && python -m bench.decoder

A token is 4 characters. `baseline` is in the same unit as `ours`, measured in the same run; the
targets are stated for a machine where jiter parses 10k characters of short fields once in 40 µs,
and are scaled by what that costs here.
"""

from __future__ import annotations

import gc
import importlib
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from leafstream.decoder.json import JsonDecoder

Row = dict[str, Any]
SIZES = (1_000, 10_000, 100_000)
REFERENCE_PARSE = 40e-6
REPEATS = 50
ROUNDS = 3
TARGETS = {"strict": 3.0, "tolerant": 4.0}
FLAT = 1.15


def short_fields(size: int) -> str:
    """A document of many short fields, `size` characters at least."""
    items: list[dict[str, Any]] = []
    length = 0
    while length < size:
        item = {"title": f"tumbler {len(items)}", "kind": "WASTE", "n": len(items) % 7, "ok": True}
        items.append(item)
        length += len(compact(item)) + 1
    return compact({"items": items})


def one_string(size: int) -> str:
    """A document of one long string."""
    return compact({"text": ("bring your own cup, every day. " * (size // 31 + 1))[:size]})


DOCUMENTS: dict[str, Callable[[int], str]] = {"fields": short_fields, "string": one_string}


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def tokens(text: str) -> list[str]:
    return [text[at : at + 4] for at in range(0, len(text), 4)]


def best(job: Callable[[], object], *, seconds: float = 0.5, least: int = 5) -> float:
    """The shortest of repeated runs, in seconds of CPU, which a busy machine disturbs less."""
    shortest = float("inf")
    end = time.perf_counter() + seconds
    while least > 0 or time.perf_counter() < end:
        gc.collect()
        begin = time.process_time()
        job()
        shortest = min(shortest, time.process_time() - begin)
        least -= 1
    return shortest


def decode(chunks: list[str], *, strict: bool) -> JsonDecoder:
    decoder = JsonDecoder(strict=strict)
    feed = decoder.feed
    for chunk in chunks:
        feed(chunk)
    return decoder


def reparse(chunks: list[str], parse: Callable[[str], Any]) -> None:
    """What a client of a partial parser does: parse all at each token, compare with before."""
    text = ""
    held: Any = None
    for chunk in chunks:
        text += chunk
        value = parse(text)
        if value != held:
            held = value


def baselines() -> dict[str, Callable[[str], Any]]:
    """The partial parsers that are installed, by name."""
    found: dict[str, Callable[[str], Any]] = {}
    try:
        jiter = importlib.import_module("jiter")
        found["jiter"] = lambda text: jiter.from_json(
            text.encode(), partial_mode="trailing-strings"
        )
        found["partial-json-parser"] = importlib.import_module("partial_json_parser").loads
    except ImportError:
        pass
    return found


def rows() -> list[Row]:
    """One row for each mode, document, size and baseline, and one for each flatness."""
    parsers = baselines()
    out: list[Row] = []
    for name, make in DOCUMENTS.items():
        texts = {size: tokens(make(size)) for size in SIZES}
        theirs = {
            (parser, size): cost(partial(reparse, chunks, parse), chunks)
            for parser, parse in parsers.items()
            for size, chunks in texts.items()
            if size < 100_000 or parser == "jiter"
        }
        for mode, target in TARGETS.items():
            out += mode_rows(name, mode, texts, theirs, target * scale(parsers))
    return out


def scale(parsers: dict[str, Callable[[str], Any]]) -> float:
    """How much slower than the reference this machine is just now; 1 without jiter."""
    if "jiter" not in parsers:
        return 1.0
    parse = partial(repeat, parsers["jiter"], short_fields(10_000))
    return best(parse, seconds=1.0) / REPEATS / REFERENCE_PARSE


def repeat(parse: Callable[[str], Any], text: str) -> None:
    """Parse again and again; no result is kept, or allocation would be timed with it."""
    for _ in range(REPEATS):
        parse(text)


def cost(job: Callable[[], object], chunks: list[str]) -> float:
    """Microseconds a token."""
    long = len(chunks) > 10_000
    return best(job, seconds=0.0 if long else 0.3, least=1 if long else 2) / len(chunks) * 1e6


def mode_rows(
    name: str,
    mode: str,
    texts: dict[int, list[str]],
    theirs: dict[tuple[str, int], float],
    target: float,
) -> list[Row]:
    ours = dict.fromkeys(texts, float("inf"))
    for _ in range(ROUNDS):  # in turns, so that a slow moment of the machine meets every size
        for size, chunks in texts.items():
            ours[size] = min(ours[size], own_cost(chunks, strict=mode == "strict"))
    out = []
    for size, figure in ours.items():
        beside: dict[str, float | None] = {p: c for (p, at), c in theirs.items() if at == size}
        for parser, baseline in (beside or {"-": None}).items():
            case = f"{mode}, {name}, {size} characters, beside {parser}"
            out.append(row(f"µs a token: {case}", figure, baseline, target))
    smallest, largest = ours[SIZES[0]], ours[SIZES[-1]]
    out.append(row(f"flat: {mode}, {name}, 1k to 100k", largest, smallest, smallest * FLAT))
    return out


def own_cost(chunks: list[str], *, strict: bool) -> float:
    """Microseconds a token; every size is timed over as many tokens, so that none is luckier."""
    times = max(1, 25_000 // len(chunks))

    def job() -> None:
        for _ in range(times):
            decode(chunks, strict=strict)

    return best(job, seconds=0.4, least=2) / times / len(chunks) * 1e6


def row(
    case: str, ours: float, baseline: float | None, target: float, part: str = "decoder"
) -> Row:
    title, _, case = case.partition(": ")
    return {
        "row": f"{part}: {title}",
        "case": case,
        "ours": round(ours, 2),
        "baseline": None if baseline is None else round(baseline, 2),
        "unit": "µs",
        "ratio": None if baseline is None else round(baseline / ours, 1),
        "target": f"<= {target:.2f}",
        "holds": ours <= target,
    }


def main() -> None:
    for line in rows():
        print(
            f"{line['case']:<68} {line['ours']:>7} {line['baseline'] or '-':>9} "
            f"{line['ratio'] or '-':>7} {line['target']:>9} {'ok' if line['holds'] else 'MISSED'}"
        )


if __name__ == "__main__":
    main()
