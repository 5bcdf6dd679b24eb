"""What the form of the page tells of a person, as a question."""

from __future__ import annotations

import msgspec

from leafstream.apps.leafresh.categories import Category


class Situation(msgspec.Struct, frozen=True):
    location: str
    work_type: str
    category: Category

    @property
    def text(self) -> str:
        """The user's turn."""
        return (
            f"사는 곳: {self.location}\n일하는 방식: {self.work_type}\n"
            f"{self.category.label} 챌린지 3개를 추천해 주세요."
        )
