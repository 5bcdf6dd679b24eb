"""What holds of every pace for any text in any chunking."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import accumulate, groupby

import pytest
import regex  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from leafstream.decoder.graphemes import border_within, last_start
from leafstream.decoder.pace import Pace, Pacer, Window
from leafstream.decoder.words import words
from leafstream.events import Event, Noticed, TextAppended, ValueSet

PACES = [Pace("token"), Pace("word"), Pace("sentence"), Pace(Window(40))]
TELLING = (
    "aZé1९๑ ..,!?。！，；：．、…\"'“”’()「」（）-_/~\n\r\t\u00a0\u3000\u2028"
    "\u200b\u00ad\u200e\u200f가각힣ㅋㄱ\u1100\u1161\u11a8國漢々〆〇ひゃがカーｶﾞ\u3099\U000e0100กำเ้\u0e49\u17d2កမ\u1039\u0915\u094d\u0937"
    "\u0301\u20e3\ufe0f\u200d👩👍🏽🇰🇷❤\u0600שُ١א٫\U0001f1fa"
)
letters = st.sampled_from(TELLING) | st.characters(exclude_categories=["Cs"])
texts = st.text(letters, max_size=60)
chunkings = st.lists(st.integers(1, 9), min_size=1, max_size=6)
modest = settings(max_examples=75, deadline=None)

clusters: Callable[[str], list[str]] = regex.compile(r"\X").findall
parts: Callable[[str], list[str]] = regex.compile(r"(?V1w)\b").split


def cut(text: str, sizes: list[int]) -> list[str]:
    chunks, at, turn = [], 0, 0
    while at < len(text):
        chunks.append(text[at : at + sizes[turn % len(sizes)]])
        at += sizes[turn % len(sizes)]
        turn += 1
    return chunks


def paced(pace: Pace, chunks: list[str]) -> list[str]:
    """The texts of the events, for chunks 15 ms apart."""
    pacer = Pacer(pace)
    events: list[Event] = []
    for number, chunk in enumerate(chunks):
        events += pacer.feed([TextAppended("", chunk)], number * 0.015)
    events += pacer.flush()
    return [event.text for event in events if isinstance(event, TextAppended)]


def borders(pieces: list[str]) -> set[int]:
    return set(accumulate(map(len, pieces)))


@pytest.mark.parametrize("pace", PACES)
@modest
@given(text=texts, sizes=chunkings)
def test_nothing_is_lost_and_no_event_is_empty(pace: Pace, text: str, sizes: list[int]) -> None:
    pieces = paced(pace, cut(text, sizes))
    assert "".join(pieces) == text
    assert all(pieces)


@pytest.mark.parametrize("pace", PACES)
@modest
@given(text=texts, sizes=chunkings)
def test_no_cluster_is_split(pace: Pace, text: str, sizes: list[int]) -> None:
    assert borders(paced(pace, cut(text, sizes))) <= borders(clusters(text))


@pytest.mark.parametrize("pace", PACES[1:3])
@modest
@given(text=texts, sizes=chunkings)
def test_any_chunking_gives_the_same_words_and_sentences(
    pace: Pace, text: str, sizes: list[int]
) -> None:
    assert paced(pace, cut(text, sizes)) == paced(pace, [text] if text else [])


@modest
@given(st.lists(st.sampled_from(TELLING), max_size=60), chunkings, st.integers(2, 12))
def test_any_chunking_gives_the_same_words_at_their_bound(
    letters: list[str], sizes: list[int], repeats: int
) -> None:
    text = "".join(letter * repeats for letter in letters)
    whole = paced(Pace("word"), [text] if text else [])
    assert paced(Pace("word"), cut(text, sizes)) == whole
    assert max(map(len, whole), default=0) <= 200


@modest
@given(texts)
def test_words_end_only_at_word_borders_of_uax_29(text: str) -> None:
    assert borders(paced(Pace("word"), [text] if text else [])) <= borders(parts(text))


@modest
@given(
    st.lists(st.text("텀블러을를은는ab1(),.-%國\"'", min_size=1, max_size=12), max_size=8),
    chunkings,
)
def test_no_eojeol_is_split(eojeols: list[str], sizes: list[int]) -> None:
    eojeols = ["가" + eojeol for eojeol in eojeols]
    text = " ".join(eojeols)
    assert [piece.rstrip(" ") for piece in paced(Pace("word"), cut(text, sizes))] == eojeols


events = st.one_of(
    st.builds(TextAppended, st.sampled_from(["/a", "/b", ""]), texts),
    st.builds(ValueSet, st.sampled_from(["/a", "/c"]), st.none()),
    st.just(Noticed("continued", "on")),
)


@modest
@given(
    st.sampled_from([*PACES, Pace("word", (("/a", Window(30)), ("", "sentence")))]),
    st.lists(st.lists(events, max_size=6), max_size=12),
)
def test_the_order_of_events_is_kept(pace: Pace, batches: list[list[Event]]) -> None:
    pacer = Pacer(pace)
    out: list[Event] = []
    for number, batch in enumerate(batches):
        out += pacer.feed(batch, number * 0.02)
        out += pacer.due(number * 0.02 + 0.015)
    out += pacer.flush()
    assert merged(out) == merged([event for batch in batches for event in batch])


def merged(events: list[Event]) -> list[object]:
    """The events with neighbouring texts of one path as one."""
    told: list[object] = []
    for path, group in groupby(events, lambda e: e.path if isinstance(e, TextAppended) else None):
        if path is None:
            told += group
        else:
            told.append((path, "".join(e.text for e in group if isinstance(e, TextAppended))))
    return told


@modest
@given(texts)
def test_the_last_cluster_is_found(text: str) -> None:
    assert last_start(text) == len("".join(clusters(text)[:-1]))


@modest
@given(texts, st.integers(1, 20))
def test_a_border_within_a_limit_is_the_last_one_there(text: str, limit: int) -> None:
    allowed = [at for at in borders(clusters(text)) if at <= limit]
    if len(text) > limit:
        assert border_within(text, limit) == max(allowed, default=limit)


@pytest.mark.parametrize("letter", ["a", " ", ".", "\u0301", "\u1100", "🇰", "國", "\u200d", "\n"])
def test_a_flood_of_one_character_costs_no_more_per_character_when_it_is_longer(
    letter: str,
) -> None:
    def seconds(num: int) -> float:
        begun = time.process_time()
        for pace in PACES[:3]:
            paced(pace, [letter] * num)
        return time.process_time() - begun

    fast = min(seconds(4_000) for _ in range(2))
    assert seconds(16_000) < 4 * 3 * fast


def test_words_hold_no_more_than_their_bound() -> None:
    segments = words()
    held = 0
    for letter in "\u0301" * 1_000:
        held += 1 - sum(map(len, segments.feed(letter)))
        assert held <= 200
