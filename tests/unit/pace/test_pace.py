"""The pace of text events: pieces of the promised grain, and nothing lost on the way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leafstream.decoder.pace import Grain, Pace, Pacer, Window
from leafstream.decoder.segments import Segments
from leafstream.decoder.sentences import MAX_SENTENCE, sentences
from leafstream.decoder.words import MAX_WORD, words
from leafstream.errors import InvalidRequest
from leafstream.events import TextAppended, ValueSet
from leafstream.pointer import Json
from tests.unit.pace.texts import (
    GRAINS,
    PACES,
    TEXTS,
    Batch,
    answers,
    chunked,
    paced,
    pieces,
    splits,
    strings,
)

MODEST = settings(max_examples=50, deadline=None)
EVERY: list[Grain | Window] = ["token", "word", "sentence", Window(1), Window(40)]
LONG = st.tuples(TEXTS, st.integers(1, 300)).map(lambda pair: pair[0] * pair[1])


def said(text: str) -> TextAppended:
    return TextAppended("/a", text)


@MODEST
@given(answers(), PACES)
def test_whatever_the_pace_the_strings_and_the_order_of_events_stay(
    batches: list[Batch], pace: Pace
) -> None:
    given_events = [event for batch in batches for event in batch.events]
    before, after = strings(given_events), strings(paced(pace, batches))
    joined = [[e[0], "".join(e[1:])] if isinstance(e, list) else e for e in after]
    assert joined == [[e[0], "".join(e[1:])] if isinstance(e, list) else e for e in before]


@MODEST
@given(answers(), PACES)
def test_no_event_but_the_announcement_of_a_string_is_empty(
    batches: list[Batch], pace: Pace
) -> None:
    announced = sum(
        e == TextAppended(e.path, "")
        for b in batches
        for e in b.events
        if isinstance(e, TextAppended)
    )
    empty = [e for e in paced(pace, batches) if isinstance(e, TextAppended) and not e.text]
    assert len(empty) <= announced


@MODEST
@given(answers(), st.sampled_from(EVERY))
def test_a_grapheme_cluster_is_never_split(batches: list[Batch], grain: Grain | Window) -> None:
    for string in strings(paced(Pace(grain), batches)):
        if isinstance(string, list):
            assert splits(string[1:]) == []


@pytest.mark.parametrize("grain", EVERY)
@pytest.mark.parametrize(
    "cluster",
    ["👩‍💻", "👨‍👩‍👧‍👦", "👍🏽", "🇰🇷", "🏳️‍🌈", "❤️", "©️", "각", "क्षि", "கி", "กำ", "\r\n"],
)
def test_a_cluster_that_comes_one_character_at_a_time_stays_whole(
    cluster: str, grain: Grain | Window
) -> None:
    assert splits(pieces(grain, [*"a ", *cluster, *cluster, *"b "])) == []


@MODEST
@given(TEXTS, st.data(), st.sampled_from([words, sentences]))
def test_words_and_sentences_are_the_same_for_any_chunking(
    text: str, data: st.DataObject, cutter: Callable[[], Segments]
) -> None:
    chunks = data.draw(chunked(st.just(text)))
    once, often = cutter(), cutter()
    at_once = [*once.feed(text), once.flush()]
    assert [p for chunk in chunks for p in often.feed(chunk)] + [often.flush()] == at_once


@settings(max_examples=60, deadline=None)
@given(LONG, st.data(), st.sampled_from([(words, MAX_WORD), (sentences, MAX_SENTENCE)]))
def test_held_text_is_bounded_and_long_segments_are_cut_alike(
    text: str, data: st.DataObject, kind: tuple[Callable[[], Segments], int]
) -> None:
    chunks = data.draw(chunked(st.just(text)))
    once, often = kind[0](), kind[0]()
    at_once = once.feed(text)
    assert [p for chunk in chunks for p in often.feed(chunk)] == at_once
    assert all(len(piece) <= kind[1] for piece in at_once)
    assert len(often.flush()) <= kind[1]


@pytest.mark.parametrize(("grain", "most"), [("token", 200), ("word", 200), ("sentence", 2000)])
@pytest.mark.parametrize(
    "char", ["x", "한", "\u0301", "\u200d", " ", "\n", ".", "。", '"', "क", "ᄀ"]
)
def test_a_flood_of_one_character_is_not_held_back(grain: Grain, most: int, char: str) -> None:
    pacer = Pacer(Pace(grain))
    held = 0
    for _ in range(5_000):
        held += 1
        for event in pacer.feed([said(char)], 0.0):
            assert isinstance(event, TextAppended)
            held -= len(event.text)
        assert held <= most + 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("텀블러를 사용하자 매일", ["텀블러를 ", "사용하자 ", "매일"]),
        ("GPU를 3개씩, 2024년에!", ["GPU를 ", "3개씩, ", "2024년에!"]),
        ("텀블러(tumbler)를 쓰자", ["텀블러(tumbler)를 ", "쓰자"]),
        ("don't stop (now), 3.14", ["don't ", "stop ", "(now), ", "3.14"]),
        ("我喜欢，你", ["我", "喜", "欢，", "你"]),
        ("「本」を", ["「本」", "を"]),
        ("カタカナです", ["カタカナ", "で", "す"]),
        ("  a  b", ["  a  ", "b"]),
        ("a\u00a0b c", ["a\u00a0b ", "c"]),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_word_keeps_its_spaces_and_an_eojeol_is_whole(
    text: str, expected: list[str], size: int
) -> None:
    assert pieces("word", [text[i : i + size] for i in range(0, len(text), size)]) == expected


@given(st.lists(st.text("가나다힣각ㅋabz09.,()-", min_size=1, max_size=12), max_size=6), st.data())
@MODEST
def test_what_is_between_two_spaces_and_has_hangul_in_it_is_one_event(
    eojeols: list[str], data: st.DataObject
) -> None:
    chunks = data.draw(chunked(st.just(" ".join(eojeols))))
    expected = [f"{eojeol} " for eojeol in eojeols[:-1]] + eojeols[-1:]
    assert pieces("word", chunks) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is 3.14. Good! Is it?", ["It is 3.14. ", "Good! ", "Is it?"]),
        ("e.g. a cup. Then", ["e.g. a cup. ", "Then"]),
        ('He said "no." Then', ['He said "no." ', "Then"]),
        ("Wait... what? Yes", ["Wait... what? ", "Yes"]),
        ("좋아요. 매일 쓰자! 네", ["좋아요. ", "매일 쓰자! ", "네"]),
        ("好。「走吧！」他说。", ["好。", "「走吧！」", "他说。"]),
        ("- one\n- two\n\nthree", ["- one\n", "- two\n\n", "three"]),
        ("a\r\nb", ["a\r\n", "b"]),
        ("no end", ["no end"]),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_sentence_ends_with_its_marks_and_the_space_behind_them(
    text: str, expected: list[str], size: int
) -> None:
    assert pieces("sentence", [text[i : i + size] for i in range(0, len(text), size)]) == expected


def test_a_window_opens_with_its_first_character_and_is_due_at_its_deadline() -> None:
    pacer = Pacer(Pace(Window(40)))
    assert pacer.deadline is None
    assert pacer.feed([said("Bri")], 1.0) == []
    assert pacer.feed([said("ng a")], 1.03) == []
    assert pacer.deadline == pytest.approx(1.04)
    assert pacer.due(1.039) == []
    assert pacer.due(1.041) == [said("Bring ")]
    assert pacer.deadline is None
    assert pacer.flush() == [said("a")]


def test_text_that_comes_after_the_deadline_lets_the_window_out() -> None:
    pacer = Pacer(Pace(Window(40)))
    pacer.feed([said("Bring")], 1.0)
    assert pacer.feed([said(" a cup")], 2.0) == [said("Bring a cu")]
    assert pacer.feed([said("!")], 2.01) == []
    assert pacer.deadline == pytest.approx(2.05)


def test_another_event_and_another_path_let_the_window_out_at_once() -> None:
    pacer = Pacer(Pace(Window(40)))
    value, other = ValueSet("/b", 1), TextAppended("/c", "x")
    assert pacer.feed([said("Bring"), value], 1.0) == [said("Bring"), value]
    assert pacer.deadline is None
    assert pacer.feed([said("a"), other], 2.0) == [said("a")]
    assert pacer.deadline == pytest.approx(2.04)
    assert pacer.flush() == [other]
    assert pacer.flush() == []


def test_an_empty_string_is_told_at_once() -> None:
    for grain in EVERY:
        assert Pacer(Pace(grain)).feed([said("")], 0.0) == [said("")]


def test_the_first_field_that_fits_decides_else_the_default() -> None:
    pace = Pace.parse(
        {
            "default": "sentence",
            "fields": {"/items/*/title": {"ms": 40}, "/items/0/title": "word", "": "token"},
        }
    )
    paths = ["/items/0/title", "/items/0", "/items/0/title/x", "", "/items/~1/title"]
    grains = [Window(40), "sentence", "sentence", "token", Window(40)]
    assert [pace.grain(path) for path in paths] == grains


@given(GRAINS)
def test_every_grain_is_read(grain: Grain | Window) -> None:
    raw: Json = {"ms": grain.ms} if isinstance(grain, Window) else grain
    assert Pace.parse(raw) == Pace.parse({"default": raw}) == Pace(grain)
    assert Pace.parse({"fields": {"/a": raw}}) == Pace("token", (("/a", grain),))


@pytest.mark.parametrize(
    "raw",
    [
        *[None, True, 1, 40.0, "", "Word", "letter", [], ["word"], {}, {"word": 1}],
        *[
            {"ms": 0},
            {"ms": -1},
            {"ms": 10_001},
            {"ms": 1.5},
            {"ms": True},
            {"ms": "40"},
            {"ms": None},
        ],
        *[{"ms": 40, "fields": {}}, {"default": "word", "else": 1}, {"default": None}],
        *[
            {"default": {"default": "word"}},
            {"fields": []},
            {"fields": None},
            {"fields": {"/a": {}}},
        ],
        *[{"fields": {"a": "word"}}, {"fields": {"/~2": "word"}}, {"fields": {"/a": ["word"]}}],
    ],
)
def test_any_other_pace_is_refused(raw: Json) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Pace.parse(raw)
    assert refused.value.param == "pace"
    assert len(refused.value.message) < 300


def test_each_field_is_paced_by_its_own_grain() -> None:
    raw: Json = {
        "default": {"ms": 40},
        "fields": {"/items/*/title": "word", "/items/*/note": "sentence", "/id": "token"},
    }
    pacer = Pacer(Pace.parse(raw))
    title, note = "/items/0/title", "/items/0/note"
    steps = [
        ("/id", "a12", 0.0, [("/id", "a1")]),
        (title, "컵을 쓰", 0.0, [("/id", "2"), (title, "컵을 ")]),
        (title, "자", 0.0, []),
        (note, "Now. And", 0.0, [(title, "쓰자"), (note, "Now. ")]),
        ("/else", "abc", 1.0, [(note, "And")]),
        ("/else", "d", 1.03, []),
        ("/else", "e", 1.04, [("/else", "abcd")]),
    ]
    for path, text, now, expected in steps:
        told = pacer.feed([TextAppended(path, text)], now)
        assert told == [TextAppended(*pair) for pair in expected]
    assert pacer.flush() == [TextAppended("/else", "e")]
