"""Fold: what a reader holds."""

from __future__ import annotations

import pytest

from leafstream.decoder.value import Fold, fold
from leafstream.events import Event, Plan, Started, TextAppended, ValueSet


def test_text_grows_and_makes_the_containers_on_the_way() -> None:
    events = [TextAppended("/a/0/b~1c", "x"), TextAppended("/a/0/b~1c", "y")]
    assert fold(events) == {"a": [{"b/c": "xy"}]}


def test_digits_name_an_item_unless_the_object_was_announced() -> None:
    assert fold([TextAppended("/a/0", "x")]) == {"a": ["x"]}
    assert fold([ValueSet("/a", {}), TextAppended("/a/0", "x")]) == {"a": {"0": "x"}}


def test_an_answer_of_plain_text_is_a_string() -> None:
    assert fold([TextAppended("", "a"), TextAppended("", "b")]) == "ab"


def test_nothing_is_null() -> None:
    assert fold([]) is None
    assert fold([Started("1", None, "m", Plan(1, 1, 2))]) is None


def test_text_continues_after_other_paths_and_after_a_look() -> None:
    reader = Fold()
    for event in [TextAppended("/a", "1"), TextAppended("/b", "2"), TextAppended("/a", "3")]:
        reader.apply(event)
        assert isinstance(reader.value, dict)
    assert reader.value == {"a": "13", "b": "2"}


def test_a_value_takes_the_place_of_growing_text() -> None:
    events: list[Event] = [TextAppended("/a", "1"), ValueSet("/a", "2"), TextAppended("/a", "3")]
    assert fold(events) == {"a": "23"}


def test_the_values_of_events_are_never_changed() -> None:
    told: dict[str, object] = {"b": []}
    event = ValueSet("/a", told)  # type: ignore[arg-type]
    assert fold([event, TextAppended("/a/b/0", "x")]) == {"a": {"b": ["x"]}}
    assert told == {"b": []}


@pytest.mark.parametrize(
    "events",
    [
        [TextAppended("/a/1", "x")],
        [ValueSet("/a", []), TextAppended("/a/b", "x")],
        [ValueSet("/a", 1), TextAppended("/a", "x")],
        [ValueSet("/a", 1), TextAppended("/a/b", "x")],
    ],
)
def test_an_event_that_does_not_fit_is_refused(events: list[Event]) -> None:
    with pytest.raises(ValueError, match="/a"):
        fold(events)


def test_a_long_text_costs_the_same_for_each_piece() -> None:
    reader = Fold()
    for _ in range(200_000):
        reader.apply(TextAppended("/a", "12345"))
    assert reader.value == {"a": "12345" * 200_000}
