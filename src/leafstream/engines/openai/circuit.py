"""Whether an upstream may be asked: closed, open after failures in a row, half-open to try again.

Sans-I/O: the caller brings the time, in seconds on the monotonic clock.
"""

from __future__ import annotations

FAILURES_TO_OPEN = 3
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0


class Circuit:
    def __init__(self) -> None:
        self._failures = 0
        self._pause = _FIRST_PAUSE
        self._open_until: float | None = None
        self._trying = False
        self.reason = ""

    @property
    def is_open(self) -> bool:
        """Also while half-open: until something has succeeded."""
        return self._open_until is not None

    def can_admit(self, now: float) -> bool:
        if self._open_until is None:
            return True
        return now >= self._open_until and not self._trying

    def admit(self) -> None:
        """A request begins; in a half-open circuit it is the one that tries."""
        self._trying = self.is_open

    def succeeded(self) -> bool:
        """Whether this closed the circuit."""
        was_open = self.is_open
        self._failures, self._pause = 0, _FIRST_PAUSE
        self._open_until, self._trying = None, False
        return was_open

    def failed(self, now: float, reason: str, *, at_once: bool = False) -> bool:
        """Whether this opened the circuit. `at_once`: one failure is enough."""
        self._failures += 1
        self.reason = reason
        if not self.is_open and not at_once and self._failures < FAILURES_TO_OPEN:
            return False
        opened = not self.is_open
        if not opened and self._trying:
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        self._open_until, self._trying = now + self._pause, False
        return opened

    def gave_up(self) -> None:
        """The request that tried ended without telling anything: another may try."""
        self._trying = False
