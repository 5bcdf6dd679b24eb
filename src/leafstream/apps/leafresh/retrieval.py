"""What a question is answered from: challenges that people wrote, of the category it is about."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import msgspec

from leafstream.apps.leafresh.categories import DEFAULT, Category
from leafstream.apps.leafresh.korean import Korean, korean
from leafstream.apps.leafresh.library import Found, Library
from leafstream.apps.leafresh.situation import Situation
from leafstream.apps.leafresh.wording import Wording
from leafstream.grounds import Grounds
from leafstream.messages import Message, Messages

NUM_SHOWN = 5
NUM_IN_EXAMPLE = 3


class Retrieval:
    """Reads questions with `wording` and searches the library."""

    def __init__(self, korean: Korean) -> None:
        self.wording = Wording(korean)
        self._library = Library(korean)

    def grounds(self, question: str, category: Category | None = None) -> Grounds:
        """The best five, for the system turn; without a `category`, of the one that is named.

        They are not put to the user's turn: a later question brings its own, and the earlier turns
        stay what the user wrote. The next three make the example, which is the first to go where
        room is short.
        """
        category = category or self.wording.read(question).category or DEFAULT
        found = self._library.find(question, category, NUM_SHOWN + NUM_IN_EXAMPLE)
        shown, rest = found[:NUM_SHOWN], found[NUM_SHOWN:]
        listed = "\n".join(f"- {text.title}: {text.description}" for text in shown)
        return Grounds(
            f"카테고리: {category.label}\n참고할 챌린지:\n{listed}",
            _example(category, rest),
            [msgspec.to_builtins(text) for text in shown],
        )


@cache
def retrieval() -> Retrieval:
    """That of this process: it is never changed, and one is enough."""
    return Retrieval(korean())


def _example(category: Category, found: Sequence[Found]) -> Messages:
    """A whole turn, which says more to a small model than instructions do: in which language to
    answer, too. It is of the same category, since the smallest models copy it.
    """
    answer = {
        "recommend": "오늘부터 바로 시작할 수 있는 챌린지를 추천해 드려요.",
        "challenges": [{"title": t.title, "description": t.description} for t in found],
    }
    asked = Situation("도시", "사무직", category).text
    return (Message("user", asked), Message("assistant", msgspec.json.encode(answer).decode()))
