"""What closing costs, and how many cuts of the JSON Schema test suite it closes valid.

python bench/closing.py
"""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from leafstream.decoder.closing import Closer
from leafstream.decoder.json import JsonDecoder
from leafstream.decoder.least import least
from leafstream.errors import UnsupportedSchema
from leafstream.schema import Schema

SUITE = Path(__file__).parents[2] / "shared/corpora/json-schema-test-suite/draft2020-12.jsonl"
CHALLENGE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 80},
        "category": {"enum": ["ZERO_WASTE", "ZERO_CARBON", "TRANSPORT"]},
        "difficulty": {"type": "integer", "minimum": 1, "maximum": 5},
    },
    "required": ["title", "category", "difficulty"],
    "additionalProperties": False,
}
ANSWER = {
    "type": "object",
    "properties": {"challenges": {"type": "array", "items": CHALLENGE}},
    "required": ["challenges"],
    "additionalProperties": False,
}
ITEM = '{"title":"bring your own cup","category":"ZERO_WASTE","difficulty":2}'


def accepted() -> Iterator[tuple[Schema, list[Any]]]:
    for group in groups():
        try:
            schema = Schema.parse(group["schema"])
        except UnsupportedSchema:
            continue
        data = [test["data"] for test in group["tests"] if test["valid"]]
        yield schema, [value for value in data if schema.is_valid(value)]


def refused() -> Counter[str]:
    """Why groups of the suite are not served, by the first words of the reason."""
    found: Counter[str] = Counter()
    for group in groups():
        try:
            Schema.parse(group["schema"])
        except UnsupportedSchema as error:
            found[error.message.split(" (")[0].split(": ")[0][:70]] += 1
    return found


def groups() -> list[dict[str, Any]]:
    """The suite: a schema and its tests each."""
    return [json.loads(line) for line in SUITE.read_bytes().splitlines()]


def suite() -> None:
    count = valid = schemas = made = satisfiable = 0
    times: list[float] = []
    for schema, data in accepted():
        schemas += 1
        satisfiable += bool(data)
        made += bool(data) and _has_least(schema)
        closer = Closer(schema)
        for value in data:
            for text in (json.dumps(value, separators=(",", ":")), json.dumps(value, indent=2)):
                for end in range(len(text) + 1):
                    told = told_of(text[:end], schema)
                    begun = time.process_time()
                    closing = closer.close(text[:end], told)
                    times.append(time.process_time() - begun)
                    count += 1
                    if schema.is_valid(closing.value):
                        valid += 1
                    else:
                        print("not valid:", json.dumps(schema.source)[:200], repr(text[:end]))
    times.sort()
    reasons = refused()
    print(f"schemas accepted     {schemas:>9,} of {schemas + reasons.total():,}")
    print(f"least value made     {made:>9,} of {satisfiable:,} with a valid datum")
    print(f"cuts                 {count:>9,}")
    print(f"closed schema-valid  {valid:>9,} = {100 * valid / count:.2f} %")
    print(f"close, median        {1e6 * times[count // 2]:>9.0f} µs")
    print(f"close, 99th in 100   {1e6 * times[99 * count // 100]:>9.0f} µs")
    print(f"close, longest       {1e6 * times[-1]:>9.0f} µs")
    print("\nnot accepted:")
    for reason, num in reasons.most_common(12):
        print(f"{num:>4} {reason}")


def told_of(prefix: str, schema: Schema) -> Any:
    """What a client holds of `prefix`."""
    decoder = JsonDecoder(schema, strict=True)
    decoder.feed(prefix)
    return decoder.value


def _has_least(schema: Schema) -> bool:
    try:
        return schema.is_valid(json.loads(least(schema)))
    except UnsupportedSchema:
        return False


def median(job: Callable[[], object], runs: int) -> float:
    """The median of `runs` runs, in seconds."""
    times = []
    for _ in range(runs):
        begun = time.process_time()
        job()
        times.append(time.process_time() - begun)
    return statistics.median(times)


def lengths() -> None:
    schema = Schema.parse(ANSWER)
    closer = Closer(schema)
    print(f"\n{'characters':>10} {'first':>12} {'next':>14} {'µs a 1,000':>11}")
    for items in (0, 1, 10, 100, 1000):
        prefix = '{"challenges":[' + f"{ITEM}," * items + '{"title":"take the tr'
        runs = 2000 // (items + 4)
        told = told_of(prefix, schema)
        fresh = median(partial(_close_once, prefix, told, schema), runs)
        kept = median(partial(closer.close, prefix, told), runs)
        per = 1e9 * kept / len(prefix)
        print(f"{len(prefix):>10,} {1e6 * fresh:>9.0f} µs {1e6 * kept:>11.0f} µs {per:>11.0f}")


def _close_once(prefix: str, told: Any, schema: Schema) -> None:
    Closer(schema).close(prefix, told)


if __name__ == "__main__":
    suite()
    lengths()
