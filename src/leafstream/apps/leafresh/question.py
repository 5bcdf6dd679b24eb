"""What the model is asked, and the type of its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from leafstream.apps.leafresh.categories import DEFAULT, Category
from leafstream.apps.leafresh.library import Found
from leafstream.assistant import Assistant
from leafstream.messages import Message, Messages
from leafstream.sampling import Sampling

NAME = "leafresh"
NUM_SHOWN = 5
NUM_IN_EXAMPLE = 3
INSTRUCTIONS = """\
너는 친환경 챌린지를 추천하는 Leafresh 챗봇이야. 한국어 존댓말로만 답해.
추천하는 말(recommend) 한 문장과 서로 다른 챌린지(challenges) 3개를 JSON으로 써.
챌린지마다 짧은 이름(title)과, 무엇을 하면 되는지 알려 주는 50자 이하의 문장(description)을 써."""


class Wish(BaseModel):
    """What the native protocol asks for; the chatbot's own endpoints are in face.py."""

    model_config = ConfigDict(extra="forbid")

    message: str = Field(min_length=5, description="무엇을 하고 싶은지.")
    category: Literal[
        "제로웨이스트",
        "플로깅",
        "탄소발자국",
        "에너지 절약",
        "업사이클",
        "문화 공유",
        "디지털 탄소",
        "비건",
    ] = Field(DEFAULT.label, description="어떤 챌린지인지.", validate_default=True)


class Suggestion(BaseModel):
    # The bounds leave a sentence room to end; the instructions ask for less.
    title: str = Field(min_length=2, max_length=40)
    description: str = Field(min_length=5, max_length=100)


class Recommendation(BaseModel):
    recommend: str = Field(min_length=5, max_length=150)
    challenges: list[Suggestion] = Field(min_length=3, max_length=3)


leafresh = Assistant(
    Recommendation,
    input=Wish,
    instructions=INSTRUCTIONS,
    prompt="{message}\n카테고리: {category}",
    sampling=Sampling(temperature=0.5, repetition_penalty=1.1),
)


class Situation(msgspec.Struct, frozen=True):
    """What the form of the page tells of a person."""

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


def messages(question: str, category: Category, found: Sequence[Found]) -> Messages:
    """The turns of one question: the system's, an example, and the user's.

    The first five that were found stand in the system turn: a later question brings its own, and
    the user's earlier turns stay what the user wrote. The others make the example, which is the
    first to go where room is short.
    """
    examples = "\n".join(f"- {text.title}: {text.description}" for text in found[:NUM_SHOWN])
    system = f"{INSTRUCTIONS}\n카테고리: {category.label}\n참고할 챌린지:\n{examples}"
    example = _example(category, found[NUM_SHOWN:])
    return (Message("system", system), *example, Message("user", question))


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
