"""The 120 cases, at every cut."""

from __future__ import annotations

import json

import pytest

from leafstream.errors import InvalidAnswer
from leafstream.events import TextAppended
from tests.unit.decoder.cases import CASES, Case, every_split, read, same

REFUSED = [case for case in CASES if case.expect.get("error")]
READ = [case for case in CASES if not case.expect.get("error")]


@pytest.mark.parametrize("case", READ, ids=lambda case: case.name)
def test_a_client_holds_the_value_and_the_deltas_of_the_case(case: Case) -> None:
    reading, events = read(case.decoder(), case.chunks, finish=not case.is_cut)
    assert same(reading.value, case.expect["value"])
    if "deltas" in case.expect:
        deltas = [[event.path, event.text] for event in events if isinstance(event, TextAppended)]
        assert deltas == case.expect["deltas"]
    if "fold_deltas" in case.expect:
        assert reading.texts == case.expect["fold_deltas"]
    if "values" in case.expect:
        scalars = [e for e in reading.values if e[1][0] not in '[{"']
        assert scalars == [(path, json.dumps(value)) for path, value in case.expect["values"]]


@pytest.mark.parametrize("case", READ, ids=lambda case: case.name)
def test_no_cut_of_a_case_changes_what_is_read(case: Case) -> None:
    whole, _ = read(case.decoder(), [case.text], finish=not case.is_cut)
    for chunks in every_split(case.text):
        assert read(case.decoder(), chunks, finish=not case.is_cut)[0] == whole, chunks


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_strict_mode_refuses_at_every_cut_and_stays_failed(case: Case) -> None:
    for chunks in every_split(case.text, most=20):
        decoder = case.decoder()
        with pytest.raises(InvalidAnswer) as refused:
            read(decoder, chunks)
        assert isinstance(refused.value.details["position"], int)
        for call in (decoder.finish, lambda decoder=decoder: decoder.feed("]")):
            with pytest.raises(InvalidAnswer):
                call()
