"""Text made to be expensive: the cost of a token and what is held stay bounded."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from leafstream.decoder.json import JsonDecoder
from leafstream.errors import InvalidAnswer
from leafstream.schema import Schema

SCHEMA = Schema.parse(
    {
        "type": "object",
        "properties": {
            "t": {"type": "string"},
            "a": {"type": "array", "items": {"type": "object"}},
        },
        "additionalProperties": False,
    }
)
CHEAP = {
    "opening brackets": ("[", ""),
    "white space before anything": (" ", ""),
    "white space after a quote": (" ", '{"t":"a"'),
    "white space after a member": (" ", '{"t":"a",'),
    "a comment that never closes": ("*", '{"t":"a" /*'),
    "a comment before anything": ("x", "{/*"),
    "a long name": ("k", '{"t":"a","'),
    "a long first name": ("k", '{"'),
    "a long number": ("1", '{"n":'),
    "backslashes": ("\\", '{"t":"'),
    "a reasoning block that never closes": ("<", "<think>"),
}
DEAR = {
    "opening braces": ("{", ""),
    "brackets after prose": ("[", "a "),
    "quotes in a string": ('"', '{"t":"'),
    "quotes before anything": ('"', ""),
    "quotes and commas": ('", ', '{"t":"'),
    "quotes and braces": ('"{', '{"t":"'),
    "half surrogates": ("\\ud83d", '{"t":"'),
    "candidates in candidates": ("{'{\"", ""),
    "comments as candidates": ("{/*", ""),
    "raw quotes in an array in a string": ('"', '{"a":"[{"x":"'),
    "duplicates": ('"t":"a",', "{"),
    "slashes": ("/", '{"n":'),
    "commas": (",", '{"t":'),
    "wrong closers": ("]}", '{"a":['),
}


def seconds(text: str, schema: Schema | None, *, strict: bool) -> float:
    chunks = [text[at : at + 4] for at in range(0, len(text), 4)]
    decoder = JsonDecoder(schema, strict=strict)
    begin = time.thread_time()
    try:
        for chunk in chunks:
            decoder.feed(chunk)
        decoder.finish()
        decoder.prefix()
    except InvalidAnswer:
        pass
    return time.thread_time() - begin


def is_linear(piece: str, head: str, size: int, schema: Schema | None, *, strict: bool) -> bool:
    """Whether eight times the text costs far less than 64 times as much; noise gets five tries."""
    small, large = (head + piece * (n // len(piece)) for n in (size, 8 * size))
    return any(
        seconds(large, schema, strict=strict) < 24 * seconds(small, schema, strict=strict) + 0.01
        for _ in range(5)
    )


@pytest.mark.parametrize("name", CHEAP)
@pytest.mark.parametrize("strict", [True, False], ids=["strict", "tolerant"])
def test_a_quarter_of_a_megabyte_costs_linear_time(name: str, strict: bool) -> None:
    piece, head = CHEAP[name]
    assert is_linear(piece, head, 32_000, None, strict=strict)


@pytest.mark.parametrize("name", DEAR)
@pytest.mark.parametrize("schema", [None, SCHEMA], ids=["free", "typed"])
def test_what_looks_like_much_else_costs_linear_time(name: str, schema: Schema | None) -> None:
    piece, head = DEAR[name]
    assert is_linear(piece, head, 1_500, schema, strict=False)


@pytest.mark.parametrize("name", [name for name in CHEAP if "space" in name or "com" in name])
def test_what_means_nothing_is_not_held(name: str) -> None:
    piece, head = CHEAP[name]
    decoder = JsonDecoder()
    decoder.feed(head)
    tracemalloc.start()
    for _ in range(20_000):
        decoder.feed(piece * 4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000
