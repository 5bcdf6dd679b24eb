"""Where words and tokens end in the scripts and at the bounds where it is hard."""

from __future__ import annotations

import pytest

from leafstream.decoder.pace import Pace, Pacer, Window
from leafstream.events import Event, Noticed, TextAppended
from tests.unit.pace.texts import pieces


def cut(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def texts(*texts: str) -> list[Event]:
    return [TextAppended("/a", text) for text in texts]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Eco-friendly한 3.5%의 컵", ["Eco-friendly한 ", "3.5%의 ", "컵"]),
        ('그는 "텀블러"를 {꼭} 챙긴다', ["그는 ", '"텀블러"를 ', "{꼭} ", "챙긴다"]),
        ("한국(韓國)은 國은", ["한국(韓國)은 ", "國은"]),
        ("コーヒーカップを使う", ["コーヒーカップ", "を", "使", "う"]),
        ("用Python写3.14，好", ["用", "Python", "写", "3.14，", "好"]),
        ("人々は", ["人々", "は"]),
        ("3，4和5", ["3，4", "和", "5"]),
        ("น้ำดี", ["น้ำ", "ดี"]),
        ("က္ကမ", ["က္က", "မ"]),
        ("क्षत्रिय हैं", ["क्षत्रिय ", "हैं"]),
        ("👩‍👩‍👧 🇰🇷 1️⃣", ["👩‍👩‍👧 ", "🇰🇷 ", "1️⃣"]),
        ("a \u0301b c", ["a \u0301b ", "c"]),
        ("\u060012 水", ["\u060012 ", "水"]),
    ],
)
def test_words_end_where_a_reader_of_the_script_expects_it(
    text: str, words: list[str], size: int
) -> None:
    assert pieces("word", cut(text, size)) == words


def test_a_word_comes_with_the_first_character_of_the_next() -> None:
    pacer = Pacer(Pace("word"))
    assert pacer.feed(texts("텀블"), 0.0) == []
    assert pacer.feed(texts("러를"), 0.0) == []
    assert pacer.feed(texts(" 사"), 0.0) == texts("텀블러를 ")


def test_what_has_no_border_is_let_out_in_parts_of_200_or_2000_characters() -> None:
    base64 = "aGVsbG8gd29ybGQ" * 300
    assert [len(piece) for piece in pieces("word", [base64])] == [200] * 22 + [100]
    assert [len(piece) for piece in pieces("sentence", cut(base64, 3))] == [2_000, 2_000, 500]
    accented = "x" + "e\u0301" * 130
    assert [len(piece) for piece in pieces("word", [accented])] == [199, 62]


@pytest.mark.parametrize(
    ("chunks", "tokens"),
    [
        (["Bring", " a", " cup", "."], ["Brin", "g ", "a cu", "p", "."]),
        (["텀블", "러를", " 씁"], ["텀", "블러", "를 ", "씁"]),
        (["a👩", "\u200d", "👩", "\u200d👧", "b"], ["a", "👩‍👩‍👧", "b"]),
        (["👍", "🏽", " ok"], ["👍🏽 o", "k"]),
        (["x🇰", "🇷", "🇺", "🇸", "!"], ["x", "🇰🇷", "🇺🇸", "!"]),
        (["\u1112", "\u1161", "\u11ab", "글"], ["\u1112\u1161\u11ab", "글"]),
        (["가", "\u11a8", "나"], ["가\u11a8", "나"]),
        (["cafe", "\u0301", " au"], ["caf", "e\u0301 a", "u"]),
        (["か", "\u3099", "き"], ["か\u3099", "き"]),
        (["क", "\u094d", "ष", "त"], ["क्ष", "त"]),
        (["น", "\u0e49", "\u0e33", "ดี"], ["น้ำ", "ดี"]),
        (["\u0600", "12"], ["\u06001", "2"]),
        (["a\r", "\nb"], ["a", "\r\n", "b"]),
        (["a\n", "b"], ["a\n", "b"]),
        (["1", "\ufe0f\u20e3"], ["1\ufe0f\u20e3"]),
    ],
)
def test_a_token_passes_at_once_but_for_its_last_cluster(
    chunks: list[str], tokens: list[str]
) -> None:
    assert pieces("token", chunks) == tokens


def test_the_end_of_a_string_lets_out_what_is_held_of_it() -> None:
    pacer = Pacer(Pace("token"))
    assert pacer.feed(texts("cup"), 0.0) == texts("cu")
    assert pacer.ended("/a") == []
    assert pacer.ended(None) == texts("p")
    assert pacer.feed(texts("cup"), 0.0) == texts("cu")
    assert pacer.ended("/b") == texts("p")
    assert pacer.flush() == []


def test_a_window_waits_for_the_rest_of_a_cluster() -> None:
    pacer = Pacer(Pace(Window(1)))
    assert pacer.feed(texts("a👩"), 0.0) == []
    assert pacer.due(1.0) == texts("a")
    assert pacer.feed(texts("\u200d👧"), 2.0) == []
    assert pacer.due(3.0) == []
    assert pacer.deadline is None
    assert pacer.flush() == texts("👩\u200d👧")


def test_an_empty_text_behind_held_text_is_no_event_of_its_own() -> None:
    pacer = Pacer(Pace("word"))
    assert pacer.feed(texts("x", ""), 0.0) == []
    assert pacer.flush() == texts("x")


def test_a_notice_comes_after_the_text_that_was_there_before_it() -> None:
    pacer = Pacer(Pace("sentence"))
    notice = Noticed("continued", "on")
    assert pacer.feed([*texts("ha"), notice, *texts("lf")], 0.0) == [*texts("ha"), notice]
    assert pacer.flush() == texts("lf")
