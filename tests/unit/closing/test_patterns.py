from __future__ import annotations

import re
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leafstream.decoder.completion import Completion, Oracle
from leafstream.decoder.formats import FORMATS
from leafstream.decoder.patterns import Languages, Pattern
from leafstream.schema import Schema


def completions(
    pattern: str, written: str = "", least: int = 0, most: int | None = None, count: int = 5
) -> list[str]:
    languages = Languages()
    term = Pattern(languages, pattern).term
    return list(islice(languages.completions(term, written, least, most), count))


@pytest.mark.parametrize(
    ("pattern", "written", "first"),
    [
        ("^a{3}$", "", "aaa"),
        ("^a{3}$", "a", "aaa"),
        ("^a*$", "", ""),
        ("b", "aa", "aab"),
        ("^(foo|ba?r)$", "b", "br"),
        ("^(?=.*[A-Z])(?=.*[0-9]).{4,}$", "x", "x 0A"),
        ("^(?!a)[ab]{2}$", "", "ba"),
        ("^[^a-z]$", "", " "),
        (r"^\d+(\.\d+)?$", "3.", "3.0"),
        (r"^(ab?)+?c$", "aba", "abac"),
        ("(?i)^abc$", "aB", "aBC"),
        ("x$", "yx", "yx"),
        ("^(a|b)(?=c).*d$", "b", "bcd"),
        (r"^[\w-]+$", "é", None),
        ("^ab$", "b", None),
        (r"^(?!.)\sab\S$", "", "\naba"),
        (r"^a(?=[^.])(?!.)\s", "a", "a\n"),
        ("^[^\\s\\S]$", "", None),
    ],
)
def test_the_first_completion_is_a_shortest_one(
    pattern: str, written: str, first: str | None
) -> None:
    found = completions(pattern, written)
    assert (found[0] if found else None) == first


def test_lengths_are_bounded_on_both_sides() -> None:
    assert completions("^a+$", "", 4, 5) == ["aaaa", "aaaaa"]
    assert completions("^a+b$", "aa", 6, None, 1) == ["aaaaab"]
    assert completions("^a{9}$", "", 0, 8) == []


def test_a_search_without_end_gives_up() -> None:
    assert completions("^(a|b)*c$(?!.*)", "a" * 50) == []
    assert completions("a{1,1000}b", "a" * 100, count=1) == ["a" * 100 + "b"]


WORDS = st.sampled_from(["a", "b", "[ab]", "[^a]", ".", r"\d", "", "ab"])
REPEATS = st.sampled_from(["*", "+", "?", "{2}", "{1,3}"])


@pytest.mark.parametrize("pattern", [r"^(?!.)\s", r"(?!.)\sab\S", "^(?=(?!(?:(?![^0-9].)|.)))."])
@pytest.mark.parametrize("written", ["", "\n", "\r", "\u2028", "\u2029"])
def test_a_dot_is_what_it_is_where_the_answer_is_checked(pattern: str, written: str) -> None:
    schema = Schema.parse({"type": "string", "pattern": pattern})
    found = completions(pattern, written)
    assert all(schema.is_valid(text) for text in found)
    assert bool(found) or not schema.is_valid(written)


SOURCES = st.recursive(
    WORDS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("(?:{0[0]}|{0[1]})".format),
        st.tuples(inner, REPEATS).map("(?:{0[0]}){0[1]}".format),
        inner.map("(?={})".format),
        inner.map("(?!{})".format),
        inner.map("({})".format),
    ),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True)
@given(SOURCES, st.text("ab1 ", max_size=4), st.booleans())
def test_whatever_completes_is_found_by_the_pattern(
    source: str, written: str, is_whole: bool
) -> None:
    pattern = f"^(?:{source})$" if is_whole else source
    repeats_lookahead = re.search(r"\(\?[=!].*\)[*+?{]", pattern)
    for text in completions(pattern, written):
        assert text.startswith(written)
        if not repeats_lookahead:
            assert re.search(pattern, text, re.ASCII), (pattern, text)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(SOURCES, st.text("ab1 ", max_size=4))
def test_a_text_that_the_pattern_finds_is_complete(source: str, written: str) -> None:
    pattern = f"^(?:{source})$"
    if re.search(r"\(\?[=!].*\)[*+?{]", pattern):
        return
    found = completions(pattern, written, count=1)
    assert (found == [written]) == bool(re.search(pattern, written, re.ASCII))


@pytest.mark.parametrize("name", FORMATS)
def test_every_beginning_of_a_formats_example_completes(name: str) -> None:
    schema = Schema.parse({"type": "string", "format": name})
    example = FORMATS[name].example
    assert schema.is_valid(example)
    completion = Completion(Oracle(schema))
    for end in range(len(example) + 1):
        first = next(completion.of(schema.root, example[:end]))
        assert schema.is_valid(first)
        assert first.startswith(example[:end])


def test_pattern_format_and_length_hold_together() -> None:
    raw = {"type": "string", "format": "email", "pattern": "^[a-z]+@x[.]org$", "minLength": 12}
    schema = Schema.parse(raw)
    assert next(Completion(Oracle(schema)).of(schema.root, "jo")) == "joaaaa@x.org"
