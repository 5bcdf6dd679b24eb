"""The assistants that the promises are held against."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field, field_validator

from leafstream import Assistant


class Said(BaseModel):
    said: str


class Many(BaseModel):
    intro: str
    items: list[Said] = Field(min_length=3, max_length=3)


class Odd(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("the number is even")
        return value


ASSISTANTS = {"said": Assistant(Said), "many": Assistant(Many), "odd": Assistant(Odd)}


def ask(assistant: str, **more: Any) -> dict[str, Any]:
    return {"assistant": assistant, "input": "go", **more}
