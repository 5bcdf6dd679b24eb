"""Answers at every budget: are they valid JSON, valid for their schema, complete?

    python -m bench.budgets [--seeds 5] [--no-landing]

Each of 12 schemas is asked at 8 budgets with 5 seeds through the whole server, with soft landing
and without, and of the engine alone (llama.cpp with `response_format`). A limit does not change
what the engine alone draws with a seed, so it is asked once a seed without one and its text is cut
at each budget. Every answer is appended to bench/results/budgets.jsonl as it ends; a run that was
broken off goes on from there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import httpx2
import msgspec

from bench.cases import CASES, Case
from leafstream.app import LeafstreamApp
from leafstream.engines.llamacpp import LlamaCppEngine, LlamaCppOptions
from leafstream.log.memory import MemoryStorage
from leafstream.models.fetch import cache_folder, resolve
from leafstream.schema import Schema
from leafstream.served import Served
from leafstream.server import Listening
from leafstream.settings import Settings
from leafstream.store.conversations import Conversations

BUDGETS = (8, 16, 32, 64, 128, 256, 1024, None)
WINDOW = 1536
STREAMS = 4
INSTRUCTIONS = "Answer in JSON."
FOLDER = Path(__file__).parent / "results"
RAW, TABLE = FOLDER / "budgets.jsonl", FOLDER / "budgets.json"
Side = Literal["leafstream", "no landing", "engine"]


class Asked(msgspec.Struct, frozen=True):
    """One request; `budget` is the engine's None where the side is asked without a limit."""

    side: Side
    case: str
    budget: int | None
    seed: int


class Result(msgspec.Struct, frozen=True):
    """How a request ended; `refused` by the plan: such an answer cannot be valid."""

    asked: Asked
    refused: bool = False
    json: bool = False
    valid: bool = False
    complete: bool = False
    value: Any = None
    finish: str = ""
    cut: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    tightened: bool = False
    tokens: int = 0
    seconds: float = 0.0
    error: str = ""


class Sitting:
    """Two servers over one engine, with soft landing and without, asked over HTTP."""

    def __init__(self, engine: LlamaCppEngine, served: Mapping[bool, httpx2.AsyncClient]) -> None:
        self._engine = engine
        self._served_at = served
        self._places = asyncio.Semaphore(STREAMS)
        self._threads = ThreadPoolExecutor(STREAMS)

    async def ask(self, asked: Asked, case: Case) -> list[Result]:
        """The result of a request; of the engine alone, one for every budget."""
        async with self._places:
            if asked.side == "engine":
                return await self._alone(asked, case)
            return [await self._served(asked, case)]

    async def _served(self, asked: Asked, case: Case) -> Result:
        body: dict[str, Any] = {
            "input": case.question,
            "instructions": INSTRUCTIONS,
            "schema": case.schema,
            "seed": asked.seed,
        }
        if asked.budget is not None:
            body["max_tokens"] = asked.budget
        begun = time.perf_counter()
        http = self._served_at[asked.side == "leafstream"]
        response = await http.post("/v1/answers", json=body)
        seconds = round(time.perf_counter() - begun, 3)
        told = response.json()
        if response.status_code != 200:
            refused = response.status_code == 422
            return Result(asked, refused=refused, seconds=seconds, error=json.dumps(told))
        return Result(
            asked,
            json=True,
            valid=Schema.parse(case.schema).is_valid(told["value"]),
            complete=told["complete"],
            value=told["value"],
            finish=told["finish"],
            cut=tuple(told["cut"]),
            missing=tuple(told["missing"]),
            tightened="tightened" in told["plan"],
            tokens=told["usage"]["completion_tokens"],
            seconds=seconds,
        )

    async def _alone(self, asked: Asked, case: Case) -> list[Result]:
        begun = time.perf_counter()
        pieces = await asyncio.get_running_loop().run_in_executor(
            self._threads, _alone, self._engine, case, asked.seed
        )
        seconds = round(time.perf_counter() - begun, 3)
        return [_cut(asked, case, budget, pieces, seconds) for budget in BUDGETS]


def _alone(engine: LlamaCppEngine, case: Case, seed: int) -> list[tuple[int, str]]:
    """(tokens so far, text) of each chunk that llama.cpp sends to one who asks it itself."""
    pieces: list[tuple[int, str]] = []

    def heard(raw: str) -> bool:
        chunk = json.loads(raw)
        if "error" in chunk:
            raise RuntimeError(chunk["error"]["message"])
        text = (chunk["choices"][0]["delta"].get("content") or "") if chunk["choices"] else ""
        pieces.append((chunk.get("timings", {}).get("predicted_n", 0), text))
        return False

    request = {
        "messages": [
            {"role": "system", "content": INSTRUCTIONS},
            {"role": "user", "content": case.question},
        ],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": case.schema},
        },
        "seed": seed,
        "stream": True,
        "timings_per_token": True,
    }
    engine._server.handle_chat_completions(json.dumps(request), heard)  # noqa: SLF001
    return pieces


def _cut(
    asked: Asked, case: Case, budget: int | None, pieces: list[tuple[int, str]], seconds: float
) -> Result:
    """What the engine's answer would have been at a budget."""
    most = budget or WINDOW
    text = "".join(piece for count, piece in pieces if count <= most)
    tokens = pieces[-1][0]
    asked = msgspec.structs.replace(asked, budget=budget)
    try:
        value = json.loads(text)
    except ValueError:
        return Result(asked, value=text, tokens=min(tokens, most), seconds=seconds)
    valid = Schema.parse(case.schema).is_valid(value)
    ended = valid and tokens <= most
    return Result(
        asked, json=True, valid=valid, complete=ended, value=value, tokens=tokens, seconds=seconds
    )


async def run(todo: list[tuple[Asked, Case]], raw: Path | None = None) -> list[Result]:
    """Ask all of `todo`, four at a time; each result is written to `raw` as it comes."""
    path = resolve("smollm2-135m", cache=cache_folder())
    engine = await LlamaCppEngine.open(
        path, LlamaCppOptions(name="smollm2-135m", context_window=WINDOW, slots=STREAMS)
    )
    results: list[Result] = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        served = {
            soft: await stack.enter_async_context(_client(folder, engine, soft_landing=soft))
            for soft in (True, False)
        }
        sitting = Sitting(engine, served)
        for ending in asyncio.as_completed([sitting.ask(*item) for item in todo]):
            found = await ending
            results += found
            if raw is not None:
                with raw.open("ab") as file:
                    file.writelines(msgspec.json.encode(one) + b"\n" for one in found)
    return results


@asynccontextmanager
async def _client(
    folder: Path, engine: LlamaCppEngine, *, soft_landing: bool
) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a server with that setting."""
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None,
        database_url=f"sqlite:///{folder}/{soft_landing}.db",
        soft_landing=soft_landing,
    )
    store = await Conversations.open(settings.database)
    app = LeafstreamApp(settings, engine, Served({}), store, MemoryStorage())
    async with (
        Listening(app) as url,
        httpx2.AsyncClient(base_url=url, timeout=1200, trust_env=False) as http,
    ):
        yield http


def requests(seeds: int) -> Iterator[tuple[Asked, Case]]:
    """All requests, the sides in turn, so that a busy minute falls on each of them."""
    for seed in range(seeds):
        for case in CASES:
            for budget in BUDGETS:
                yield Asked("leafstream", case.name, budget, seed), case
                yield Asked("no landing", case.name, budget, seed), case
            yield Asked("engine", case.name, None, seed), case


def kept() -> dict[Asked, Result]:
    if not RAW.exists():
        return {}
    found = (msgspec.json.decode(line, type=Result) for line in RAW.read_bytes().splitlines())
    return {result.asked: result for result in found}


def whole(results: Iterable[Result]) -> list[Result]:
    """The results of the requests that all sides have ended, where a run was broken off."""
    by: dict[tuple[str, int | None, int], list[Result]] = {}
    for one in results:
        by.setdefault(_key(one.asked), []).append(one)
    return [one for found in by.values() if len(found) == len(get_args(Side)) for one in found]


def rows(results: Iterable[Result]) -> list[dict[str, Any]]:
    """A row for each budget and measure: percent of the answers that the plan accepted."""
    by: dict[tuple[Side, int | None], list[Result]] = {}
    refused = {_key(one.asked) for one in results if one.refused}
    for one in results:
        if _key(one.asked) not in refused:
            by.setdefault((one.asked.side, one.asked.budget), []).append(one)
    made = []
    for budget in BUDGETS:
        ours = by.get(("leafstream", budget), [])
        for name, target in (("json", 100.0), ("valid", 100.0), ("complete", None)):
            share = _percent(ours, name)
            made.append(
                {
                    "row": "budgets",
                    "case": f"max_tokens {budget or 'none'}, {name}, of {len(ours)}",
                    "ours": share,
                    "no_landing": _percent(by.get(("no landing", budget), []), name),
                    "baseline": _percent(by.get(("engine", budget), []), name),
                    "target": target,
                    "holds": None if target is None or share is None else share >= target,
                }
            )
    return made


def _key(asked: Asked) -> tuple[str, int | None, int]:
    return asked.case, asked.budget, asked.seed


def _percent(results: list[Result], name: str) -> float | None:
    if not results:
        return None
    count = sum(bool(getattr(one, name)) for one in results)
    return round(100 * count / len(results), 1)


def landing_rows(results: Iterable[Result]) -> list[dict[str, Any]]:
    """What soft landing changes, over the requests where it lowered a bound."""
    found: dict[Side, dict[tuple[str, int | None, int], Result]] = {}
    for one in results:
        found.setdefault(one.asked.side, {})[_key(one.asked)] = one
    landed, plain = found.get("leafstream", {}), found.get("no landing", {})
    keys = [key for key, one in landed.items() if one.tightened and key in plain]
    made = []
    for name, measure in _MEASURES.items():
        ours, without = ([measure(side[key]) for key in keys] for side in (landed, plain))
        made.append(
            {
                "row": "soft landing",
                "case": f"{name}, of {len(keys)}",
                "ours": round(sum(ours) / max(len(ours), 1), 3),
                "baseline": round(sum(without) / max(len(without), 1), 3),
                "target": None,
                "holds": None,
            }
        )
    return made


_MEASURES: dict[str, Callable[[Result], float]] = {
    "complete, share": lambda one: float(one.complete),
    "missing paths an answer": lambda one: float(len(one.missing)),
    "cut paths an answer": lambda one: float(len(one.cut)),
    "texts that end with a sentence, share": lambda one: _whole_texts(one.value),
    "characters of text an answer": lambda one: float(sum(map(len, _texts(one.value)))),
    "tokens an answer": lambda one: float(one.tokens),
    "tokens/s of one stream of four": lambda one: one.tokens / max(one.seconds, 1e-3),
}


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in inner for text in _texts(item)]


def _whole_texts(value: Any) -> float:
    texts = [text for text in _texts(value) if " " in text]
    return sum(text.rstrip()[-1:] in ".!?…" for text in texts) / max(len(texts), 1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.budgets")
    parser.add_argument("--seeds", type=int, default=5, help="0 only makes the table again")
    seeds = parser.parse_args().seeds
    FOLDER.mkdir(exist_ok=True)
    done = kept()
    todo = [item for item in requests(seeds) if item[0] not in done]
    print(len(todo), "to ask", flush=True)
    if todo:
        asyncio.run(run(todo, RAW))
    results = whole(kept().values())
    table = [*rows(results), *landing_rows(results)]
    TABLE.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    for row in table:
        print(row)
    for one in results:
        if one.asked.side == "leafstream" and not one.refused and not one.valid:
            print("NOT VALID", one.asked, one.error[:300])


if __name__ == "__main__":
    main()
