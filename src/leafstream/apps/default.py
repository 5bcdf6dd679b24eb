"""The assistants that `leafstream serve` serves when it is given no file of yours."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from leafstream import Assistant, Sampling

# A model of 135 million parameters loops unless repeating itself costs something.
STEADY = Sampling(temperature=0.4, repetition_penalty=1.15)


class ChallengeInput(BaseModel):
    model_config = ConfigDict(extra="forbid")

    location: str = Field(description="Where you live.", examples=["city"])
    work_type: str = Field(description="How you work.", examples=["office"])
    category: str = Field(description="What you care about.", examples=["zero waste"])


class Challenge(BaseModel):
    title: str = Field(min_length=3, max_length=60)
    description: str = Field(min_length=10, max_length=160)


class Recommendation(BaseModel):
    recommend: str = Field(min_length=10, max_length=160)
    challenges: list[Challenge] = Field(min_length=3, max_length=3)


challenges = Assistant(
    Recommendation,
    input=ChallengeInput,
    instructions=(
        "You recommend eco-friendly challenges. Answer with one sentence that recommends them "
        "and three different challenges, each with a short title and one sentence that says "
        "what to do."
    ),
    prompt=(
        "I live in the {location} and my work is {work_type}. "
        "Recommend three {category} challenges for me."
    ),
    sampling=STEADY,
)

chat = Assistant(
    instructions="You are a helpful assistant. Answer in a few short sentences.",
    sampling=STEADY,
)


class Ingredient(BaseModel):
    name: str = Field(min_length=2, max_length=40)
    amount: float = Field(gt=0, le=5000)
    unit: Literal["g", "ml", "piece"]


class Dish(BaseModel):
    name: str = Field(min_length=3, max_length=60)
    difficulty: Literal["easy", "medium", "hard"]
    vegan: bool


class Recipe(BaseModel):
    dish: Dish
    minutes: int = Field(ge=5, le=240)
    ingredients: list[Ingredient] = Field(min_length=2, max_length=5)
    tips: list[str] | None = Field(None, max_length=2)


class RecipeInput(BaseModel):
    model_config = ConfigDict(extra="forbid")

    wish: str = Field(description="What you want to eat.", examples=["a soup with carrots"])
    servings: int = Field(2, ge=1, le=20)


recipe = Assistant(
    Recipe,
    input=RecipeInput,
    instructions="You are a cook. Answer with one simple recipe.",
    prompt="Give me a recipe for {wish}, for {servings} people.",
    sampling=STEADY,
)
