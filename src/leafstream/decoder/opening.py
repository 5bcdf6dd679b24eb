"""Finding the document in a model's text: behind reasoning blocks, prose and fences."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from leafstream.decoder.judge import Judge, Refused
from leafstream.decoder.machine import COLON, KEY_TEXT
from leafstream.decoder.spots import Spot
from leafstream.decoder.text import Blocks
from leafstream.decoder.tolerant import Tolerant

MAX_DOUBT: Final = 1024
"""What has not shown within so many characters that it is the document, is not."""
MAX_LEAD: Final = 40

FENCE = r"\s*\ufeff?\s*(?:`{0,3}\s*(?:json[5c]?|JSON|javascript|js|python|py)?\s*)"
before_container = re.compile(FENCE).fullmatch
before_scalar = re.compile(r"\s*\ufeff?\s*(?:`{3}\w*\s+)?").fullmatch

# Strict JSON up to somewhere in a member's name, or behind it.
before_colon = re.compile(r'[\s\[{]*"(?:[^"\\]|\\.)*(?:\\|"\s*)?', re.DOTALL).fullmatch


class Opening:
    """Tries each place where a document of `root` could begin, until `machine` reads one."""

    def __init__(
        self, new_machine: Callable[[Judge], Tolerant], root: Spot, blocks: Blocks
    ) -> None:
        self._new_machine = new_machine
        self._blocks = blocks
        self._scan = _scanner(root, blocks)
        self._lead = ""
        self._held = ""
        self._fed = 0
        self._trial: Tolerant | None = None
        self.skipped = 0
        self.machine: Tolerant | None = None

    def feed(self, text: str) -> str:
        """Take the next `text`. Once `machine` is there, the answer is what it has not read."""
        text = self._held + text
        at = 0
        while True:
            if self._trial is not None:
                at = self._try(self._trial, text, at)
                if self.machine is not None:
                    self.skipped += at
                    return text[at + self._fed :]
                if self._trial is not None:
                    break
            elif self._blocks.is_inside():
                at = self._blocks.leave(text, at)
                self._lead = ""
                if self._blocks.is_inside():
                    break
            elif not self._seek(text, at):
                at = self._at
                break
            else:
                at = self._at
        self._held = text[at:]
        self.skipped += at
        return ""

    def finish(self) -> str:
        """The text ends here: a number needs no delimiter any more. Answers like `feed`."""
        while self._trial is not None:
            if self._has_finished(self._trial):
                break
            self._trial = None
            text, self._held = self._held, ""
            self._note(text[0])
            self.skipped += 1
            rest = self.feed(text[1:])
            if self.machine is not None:
                return rest
        return ""

    def _has_finished(self, trial: Tolerant) -> bool:
        try:
            trial.finish()
        except Refused:
            return False
        # What else the text holds is in the member's name, and no answer.
        if trial.state in (KEY_TEXT, COLON) and before_colon(self._held):
            assert trial.judge is not None
            trial.judge.cut(trial.tree)
        return self._is_settled(trial)

    def _is_settled(self, trial: Tolerant) -> bool:
        """Whether `trial` reads the document, which it goes on to do without doubt then."""
        assert trial.judge is not None
        if not trial.judge.decided:
            return False
        trial.judge = None
        if trial.inner is not None:
            trial.inner.judge = None
        self.machine = trial
        return True

    def _try(self, trial: Tolerant, text: str, at: int) -> int:
        """Let the trial read on; answer with where to go on when it was refused."""
        piece = text[at + self._fed : at + MAX_DOUBT]
        try:
            trial.feed(piece)
        except Refused:
            self._trial = None
            self._note(text[at])
            return at + 1
        self._fed += len(piece)
        if not self._is_settled(trial) and self._fed == MAX_DOUBT:
            self._trial = None
            self._note(text[at])
            return at + MAX_DOUBT
        return at

    def _seek(self, text: str, at: int) -> bool:
        """Find the next place to try or block to enter; `_at` is how far the text is done with."""
        found = self._scan(text, at)
        end = self._blocks.partial(text, at)
        if found is None or end < found.start():
            self._note(text[at:end])
            self._at = end
            return False
        self._note(text[at : found.start()])
        self._at = found.start()
        if self._blocks.enter(found[0]):
            self._at = found.end()
            return True
        is_container = found[0] in "{["
        clean = (before_container if is_container else before_scalar)(self._lead) is not None
        if not clean and found[0] not in '{["':
            self._note(found[0])
            self._at += 1
            return True
        self._trial = self._new_machine(Judge(clean=clean))
        self._fed = 0
        return True

    def _note(self, skipped: str) -> None:
        """Remember what stood before, as far as it matters."""
        if not self._lead:
            skipped = skipped.lstrip()
        self._lead += skipped[: MAX_LEAD - len(self._lead)]


def _scanner(root: Spot, blocks: Blocks) -> Callable[[str, int], re.Match[str] | None]:
    marks = [re.escape(opener) for opener in blocks.openers]
    if not root.types.isdisjoint(("object", "array")):
        marks.append(r'[{\["]')
    if "string" in root.types:
        marks.append("[\"'“‘]")
    if not root.types.isdisjoint(("number", "integer")):
        marks.append("[-0-9]")
    if not root.types.isdisjoint(("boolean", "null")):
        marks.append("[tfnTFN]")
    return re.compile("|".join(marks) or r"(?!)").search
