"""Sequence: a response's events are numbered alike however they are read."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from leafstream.ask import Ask
from leafstream.decoder.json import JsonDecoder
from leafstream.events import (
    Cancelled,
    Event,
    Finished,
    Noticed,
    Plan,
    Queued,
    Started,
    TextAppended,
    Timings,
    Usage,
    ValueSet,
)
from leafstream.faces.openai.sequence import Sequence
from leafstream.faces.openai.snapshot import Kept, Snapshots
from leafstream.log import Entry, Opening, merged
from leafstream.pointer import Json

DELTA = "response.output_text.delta"
KEPT = Kept(model="m", typed=True, turns=(), format={"type": "text"}, stream=True)
OPENING = Opening("ans_x", Ask((), face=KEPT.face()), 1.0)
VALUE: Json = {"title": "Bring a cup", "count": 3, "tags": ["a", "bc"], "0": {"x": ""}}
END = Finished(VALUE, "stop", True, (), (), Usage(1, 1), Timings(0, None, 0))


def log_of(text: str, end: Event) -> list[Event]:
    decoder = JsonDecoder()
    told = [event for token in text for event in decoder.feed(token)]
    noticed: Event = Noticed("continued", "on")
    return [
        Started("ans_x", None, "m", Plan(1, 1, 1)),
        Queued(2),
        Queued(1),
        *told[:5],
        noticed,
        *told[5:],
        end,
    ]


LOGS: list[list[Event]] = [
    log_of(json.dumps(VALUE), END),
    log_of(json.dumps(VALUE)[:20], Cancelled("enough")),
    log_of("", END),
    [*log_of(json.dumps(VALUE), END)[:-1], ValueSet("", {"title": "x"}), END],
    [
        Queued(1),
        Started("ans_x", None, "m", Plan(1, 1, 1)),
        TextAppended("/a", "x"),
        ValueSet("/a", "y"),
        END,
    ],
]


def read(entries: list[Entry], after: int = -1) -> list[dict[str, Any]]:
    sequence = Sequence(Snapshots(OPENING, KEPT), after)
    frames = [frame for entry in entries for frame in sequence.frames(entry)]
    return [json.loads(frame.split(b"data: ", 1)[1]) for frame in frames]


def singly(events: list[Event]) -> list[Entry]:
    return [Entry(number, event) for number, event in enumerate(events, 1)]


@given(st.sampled_from(LOGS), st.sets(st.integers(1, 60)))
def test_however_the_log_is_read_each_number_stands_for_the_same_place(
    events: list[Event], cuts: set[int]
) -> None:
    borders = [0, *sorted(cut for cut in cuts if cut < len(events)), len(events)]
    batches = [
        entry for start, end in pairwise(borders) for entry in merged(start + 1, events[start:end])
    ]
    told, again = read(singly(events)), read(batches)
    assert [e for e in told if e["type"] != DELTA] == [e for e in again if e["type"] != DELTA]
    grown = dict(growth(told))
    for number, text in growth(again):
        assert grown[number] == text


def growth(told: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """The text after each delta, by the delta's number."""
    text = ""
    found = []
    for event in told:
        if event["type"] == DELTA:
            text += event["delta"]
            found.append((event["sequence_number"], text))
    return found


@given(st.sampled_from(LOGS), st.integers(-1, 60))
def test_what_is_told_after_a_number_is_what_follows_it(events: list[Event], after: int) -> None:
    whole = read(singly(events))
    rest = read(singly(events), after)
    assert rest == [event for event in whole if event["sequence_number"] > after]


def test_numbers_begin_at_0_and_rise() -> None:
    for events in LOGS:
        numbers = [event["sequence_number"] for event in read(singly(events))]
        assert numbers[0] == 0
        assert numbers == sorted(set(numbers))


def test_every_stream_has_one_end_and_it_is_last() -> None:
    ends = {"response.completed", "response.incomplete", "response.failed"}
    for events in LOGS:
        kinds = [event["type"] for event in read(singly(events))]
        assert [kind for kind in kinds if kind in ends] == kinds[-1:]


def test_text_that_was_taken_back_ends_the_stream_as_failed() -> None:
    last = read(singly(LOGS[-1]))[-1]
    assert last["type"] == "response.failed"
    assert "rewritten_answer" in last["response"]["error"]["message"]
