"""The periods that the end of a growing text has.

Now and then the last characters are looked up in the text before them. A distance at which all
since then was written twice becomes a Cycle, and from then on every chunk is compared with what
stands that distance before it. Few of them hold at one place (the three squares lemma), and in
most texts none, so that a chunk costs O(1). Judged is the text: where its chunks end says only how
many tokens a cycle is long.
"""

from __future__ import annotations

from bisect import bisect_left

MAX_PERIOD = 2_048
"""Characters: the longest period looked for (64 tokens of 32 characters)."""

GRAM = 16
LOOK_TOKENS = 16
LOOK_CHARS = 128


class Cycle:
    """The last `num_chars` characters have the period `period`; they begin with token `first`."""

    __slots__ = ("first", "num_chars", "period")

    def __init__(self, period: int, num_chars: int, first: int) -> None:
        self.period = period
        self.num_chars = num_chars
        self.first = first


class Cycles:
    """Finds each cycle at the latest when it was written twice and a look (above) is due."""

    def __init__(self) -> None:
        self._text = ""
        self._pending: list[str] = []
        self._end = 0
        # Where tokens begin, from token number `_dropped` on, and where the next one will.
        self._starts = [0]
        self._dropped = 0
        self._due_end = LOOK_CHARS
        self._due_starts = 1 + LOOK_TOKENS
        self._open: list[Cycle] = []

    @property
    def num_tokens(self) -> int:
        return self._dropped + len(self._starts) - 1

    def feed(self, chunk: str, tokens: int = 1) -> list[Cycle]:
        """The cycles that go on with `chunk`, which is not empty and `tokens` tokens long."""
        self._pending.append(chunk)
        begin, self._end = self._end, self._end + len(chunk)
        if tokens > 1:  # about where they begin
            step = len(chunk) / tokens
            self._starts += [begin + int(step * number) for number in range(1, tokens)]
        self._starts.append(self._end)
        is_due = self._end >= self._due_end or len(self._starts) >= self._due_starts
        if is_due or self._open:
            self._settle()
        if is_due:
            self._look()
            self._due_end = self._end + LOOK_CHARS
            self._due_starts = len(self._starts) + LOOK_TOKENS
        return self._open

    def tokens(self, cycle: Cycle) -> int:
        """How many whole tokens are in `cycle`."""
        return self.num_tokens - cycle.first

    def tokens_per_period(self, cycle: Cycle) -> int:
        """How many whole tokens are in its last period."""
        return self.num_tokens - self._first_token(cycle.period)

    def block(self, cycle: Cycle) -> str:
        """What `cycle` repeats, from where it began."""
        end = len(self._text) - cycle.num_chars % cycle.period
        return self._text[end - cycle.period : end]

    def _settle(self) -> None:
        """Join what is new to the text and drop the cycles that it ends."""
        new = "".join(self._pending)
        self._pending.clear()
        self._text += new
        self._open = [cycle for cycle in self._open if self._repeats(cycle.period, len(new))]
        for cycle in self._open:
            cycle.num_chars += len(new)
        if len(self._text) > 4 * MAX_PERIOD:
            self._text = self._text[-2 * MAX_PERIOD :]
            num_gone = bisect_left(self._starts, self._end - len(self._text))
            del self._starts[:num_gone]
            self._dropped += num_gone
            self._due_starts -= num_gone

    def _look(self) -> None:
        text, size = self._text, len(self._text)
        known = {cycle.period: cycle for cycle in self._open}
        gram = text[-GRAM:]
        low = max(0, size - GRAM - MAX_PERIOD)
        end = size - 1
        while (at := text.rfind(gram, low, end)) >= 0:
            period = size - GRAM - at
            end = at + GRAM - 1
            cycle = known.get(period)
            if cycle is None and size >= 2 * period and self._repeats(period, period):
                num_chars = self._reach(period)
                cycle = Cycle(period, num_chars, self._first_token(num_chars))
                self._open.append(cycle)
            if cycle is not None:
                # By Fine and Wilf all nearer distances are multiples of this one.
                end = min(end, size - cycle.num_chars + period)

    def _repeats(self, period: int, num_chars: int) -> bool:
        """Whether each of the last `num_chars` characters is the one `period` before it."""
        text = self._text
        start = len(text) - num_chars
        return text[start:] == text[start - period : len(text) - period]

    def _reach(self, period: int) -> int:
        """How many characters at the end of the text have `period`."""
        low, high = period, len(self._text) - period
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._repeats(period, middle) else (low, middle - 1)
        return low + period

    def _first_token(self, num_chars: int) -> int:
        """The number of the first token that is all in the last `num_chars` characters."""
        return self._dropped + bisect_left(self._starts, self._end - num_chars)
