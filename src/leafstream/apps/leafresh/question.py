"""What the model is asked, and the type of its answer."""

from __future__ import annotations

from typing import Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from leafstream.apps.leafresh.categories import DEFAULT, Category
from leafstream.apps.leafresh.library import Found
from leafstream.assistant import Assistant
from leafstream.messages import Message, Messages
from leafstream.sampling import Sampling

NAME = "leafresh"
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


# A whole turn says more to a small model than instructions do, in which language to answer too;
# a sketch of the JSON in the instructions would be copied with its dots and braces.
EXAMPLE = (
    Message("user", Situation("도시", "사무직", DEFAULT).text),
    Message(
        "assistant",
        '{"recommend":"집과 일터에서 바로 시작할 수 있는 챌린지를 추천해 드려요.","challenges":['
        '{"title":"텀블러와 출근하기",'
        '"description":"카페에 갈 때마다 일회용 컵 대신 내 텀블러에 음료를 받아요."},'
        '{"title":"손수건 한 장의 힘","description":"종이 타월 대신 손수건으로 손을 닦아요."},'
        '{"title":"수저는 받지 않을게요","description":"배달 앱에서 일회용 수저를 받지 않아요."}]}',
    ),
)


def messages(question: str, category: Category, found: list[Found]) -> Messages:
    """The turns of one question: the system's, an example, and the user's.

    What was found stands in the system turn: a later question brings its own, and the user's
    earlier turns stay what the user wrote. The example is the first to go where room is short.
    """
    examples = "\n".join(f"- {text.title}: {text.description}" for text in found)
    system = f"{INSTRUCTIONS}\n카테고리: {category.label}\n참고할 챌린지:\n{examples}"
    return (Message("system", system), *EXAMPLE, Message("user", question))
