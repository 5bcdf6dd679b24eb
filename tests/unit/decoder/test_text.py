"""TextDecoder: an answer that is plain text."""

from __future__ import annotations

import pytest

from leafstream.decoder.text import TextDecoder
from leafstream.events import TextAppended
from tests.unit.decoder.cases import every_split, read


@pytest.mark.parametrize(
    ("text", "answer", "skipped"),
    [
        ("hello", "hello", 0),
        ("<think>hm</think>\n\nhello", "hello", 19),
        ("a<think>b</think> c<think>", "ac", 0),
        ("a < b <thin", "a < b <thin", 0),
        ("<think>never closed", None, 19),
        ("", None, 0),
    ],
)
def test_reasoning_is_dropped_at_every_cut(text: str, answer: str | None, skipped: int) -> None:
    for chunks in every_split(text):
        reading, _ = read(TextDecoder(), chunks)
        assert reading.value == answer
        assert reading.complete
        assert reading.skipped == skipped


def test_text_is_sent_as_it_comes() -> None:
    decoder = TextDecoder()
    assert decoder.feed("one <") == [TextAppended("", "one ")]
    assert decoder.feed("two") == [TextAppended("", "<two")]
    assert decoder.prefix() == "one <two"
    assert decoder.started
    assert not decoder.complete


def test_an_answer_can_begin_inside_its_reasoning() -> None:
    decoder = TextDecoder(reasoning=(("", "</r>"), ("<r>", "</r>")))
    assert decoder.feed("hm</r> yes <r>no</r> well") == [TextAppended("", "yes well")]
