"""What the model is asked, and the type of its answer."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from leafstream.apps.leafresh.retrieval import retrieval
from leafstream.assistant import Assistant
from leafstream.grounds import Grounds
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
    category: (
        Literal[
            "제로웨이스트",
            "플로깅",
            "탄소발자국",
            "에너지 절약",
            "업사이클",
            "문화 공유",
            "디지털 탄소",
            "비건",
        ]
        | None
    ) = Field(None, description="어떤 챌린지인지. 비워 두면 메시지에서 찾습니다.")


class Suggestion(BaseModel):
    # The bounds leave a sentence room to end; the instructions ask for less.
    title: str = Field(min_length=2, max_length=40)
    description: str = Field(min_length=5, max_length=100)


class Recommendation(BaseModel):
    recommend: str = Field(min_length=5, max_length=150)
    challenges: list[Suggestion] = Field(min_length=3, max_length=3)


def _said(wish: Wish) -> str:
    return wish.message if wish.category is None else f"{wish.message}\n카테고리: {wish.category}"


def _found(question: str) -> Grounds:
    return retrieval().grounds(question)


leafresh = Assistant(
    Recommendation,
    input=Wish,
    instructions=INSTRUCTIONS,
    prompt=_said,
    retrieve=_found,
    sampling=Sampling(temperature=0.5, repetition_penalty=1.1),
)
