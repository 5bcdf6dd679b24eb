"""A circuit, with the time in our hands."""

from __future__ import annotations

from leafstream.engines.openai.circuit import FAILURES_TO_OPEN, Circuit


def opened(now: float = 0.0) -> Circuit:
    circuit = Circuit()
    circuit.failed(now, "dead", at_once=True)
    return circuit


def test_it_opens_after_failures_in_a_row_and_says_so_once() -> None:
    circuit = Circuit()
    told = [circuit.failed(0.0, "500") for _ in range(FAILURES_TO_OPEN + 2)]
    assert told == [False] * (FAILURES_TO_OPEN - 1) + [True, False, False]
    assert not circuit.can_admit(0.5)


def test_a_success_between_failures_starts_the_count_anew() -> None:
    circuit = Circuit()
    for _ in range(5):
        for _ in range(FAILURES_TO_OPEN - 1):
            circuit.failed(0.0, "500")
        assert not circuit.succeeded()
    assert circuit.can_admit(0.0)


def test_after_a_pause_one_request_may_try_and_only_one() -> None:
    circuit = opened()
    assert not circuit.can_admit(0.9)
    assert circuit.can_admit(1.0)
    circuit.admit()
    assert not circuit.can_admit(1.0)
    assert circuit.succeeded()
    assert circuit.can_admit(1.0)


def test_a_try_that_fails_doubles_the_pause_up_to_a_bound() -> None:
    circuit, now, pauses = opened(), 0.0, list[float]()
    for _ in range(8):
        since = now
        while not circuit.can_admit(now):
            now += 0.5
        pauses.append(now - since)
        circuit.admit()
        assert not circuit.failed(now, "still dead")
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_try_that_was_given_up_lets_another_try() -> None:
    circuit = opened()
    circuit.admit()
    circuit.gave_up()
    assert circuit.can_admit(1.0)
