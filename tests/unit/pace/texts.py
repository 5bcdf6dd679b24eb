"""Texts of many scripts, chunked at random, and what a pacer makes of them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate, groupby

import msgspec
import regex  # type: ignore[import-untyped]
from hypothesis import strategies as st

from leafstream.decoder.pace import Grain, Pace, Pacer, Window
from leafstream.events import Event, TextAppended, ValueSet

PATHS = ["", "/title", "/items/0/title", "/items/1/title", "/items/1/note", "/a~1b"]
FRAGMENTS = [
    *["👩‍💻", "👨‍👩‍👧‍👦", "👍🏽", "❤️", "☎", "🏳️‍🌈", "1️⃣", "©", "®️", "🇰🇷", "🇩🇪🇫🇷", "🇺"],
    *[
        "한",
        "텀블러를",
        "사용하자 ",
        "각",
        "각",
        "ㅋㅋ",
        "ᄒ",
        "ᄀᆞ",
        "e\u0301",
        "a\u0323\u0302",
        "ñ",
        "\u0301",
    ],
    *["漢字", "日本語", "です", "カタカナ", "ｶﾞ", "ー", "、", "。", "」", "「", "！？", "，", "々"],
    *[
        "नमस्ते ",
        "क्षि",
        "क्\u200dष",
        "தமிழ்",
        "ภาษาไทย",
        "กำ",
        "ខ្មែរ",
        "မြန်မာ",
        "العربية",
        "עברית",
        "\u0600١",
    ],
    *[
        "word",
        "Dr. Who",
        "it's",
        "don't ",
        "3.14",
        "a_b",
        "https://a.b/c?d=e",
        "(x)",
        '"',
        "«",
        "*",
        "`",
    ],
    *[
        " ",
        "  ",
        "\t",
        "\n",
        "\r",
        "\r\n",
        "\u00a0",
        "\u2009",
        "\u2028",
        "\u200b",
        "\u200d",
        "\ufe0f",
        "\u3000",
    ],
    *[".", "...", "…", "!", "?!", ". ", "! ", "A", "z", "7", "\x00", "\x1c"],
]
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | st.characters(codec="utf-8"), max_size=14).map(
    "".join
)
GRAINS: st.SearchStrategy[Grain | Window] = st.sampled_from(
    ["token", "word", "sentence", Window(1), Window(40)]
)
PACES = st.builds(
    Pace,
    GRAINS,
    st.lists(st.tuples(st.sampled_from([*PATHS, "/*", "/items/*/title", "/*/*/*"]), GRAINS)).map(
        tuple
    ),
)


class Batch(msgspec.Struct, frozen=True):
    """What one chunk of a model's text became, and when."""

    events: list[Event]
    now: float


@st.composite
def chunked(draw: st.DrawFn, texts: st.SearchStrategy[str] = TEXTS) -> list[str]:
    """A text in chunks, of which some may be empty."""
    text = draw(texts)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@st.composite
def answers(draw: st.DrawFn) -> list[Batch]:
    """The events of an answer, each string in chunks, in batches at rising times."""
    events: list[Event] = []
    for path in draw(st.lists(st.sampled_from(PATHS), max_size=5)):
        if draw(st.booleans()):
            events.append(ValueSet(path, draw(st.integers())))
        events += [TextAppended(path, chunk) for chunk in draw(chunked())]
    batches = []
    now = 0.0
    while events:
        size = draw(st.integers(1, 4))
        now += draw(st.sampled_from([0.0, 0.0005, 0.01, 0.05]))
        batches.append(Batch(events[:size], now))
        events = events[size:]
    return batches


def paced(pace: Pace, batches: Iterable[Batch]) -> list[Event]:
    """All that comes out, to the end."""
    pacer = Pacer(pace)
    out: list[Event] = []
    for batch in batches:
        out += pacer.due(batch.now)
        out += pacer.feed(batch.events, batch.now)
    return out + pacer.flush()


def pieces(grain: Grain | Window, chunks: Iterable[str]) -> list[str]:
    """The texts that come out for the chunks of one string."""
    batches = [Batch([TextAppended("/a", chunk)], 0.0) for chunk in chunks if chunk]
    return [event.text for event in paced(Pace(grain), batches) if isinstance(event, TextAppended)]


def strings(events: Iterable[Event]) -> list[list[str] | Event]:
    """The events with each run of text events of one path as its list of texts after the path."""
    out: list[list[str] | Event] = []
    for path, run in groupby(events, lambda e: e.path if isinstance(e, TextAppended) else None):
        if path is None:
            out += run
        else:
            out.append([path, *(event.text for event in run if isinstance(event, TextAppended))])
    return out


def splits(texts: list[str]) -> list[str]:
    """What follows each border between two of the texts that is within a grapheme cluster."""
    whole = "".join(texts)
    starts = {cluster.start() for cluster in regex.finditer(r"\X", whole)} | {0, len(whole)}
    return [whole[end:] for end in accumulate(map(len, texts)) if end not in starts]
