"""What a user is told of the model: whether it can write Korean at all."""

from __future__ import annotations

from typing import Any

from leafstream.engines.base import Engine

SAMPLE = "오늘도텀블러를챙겨서지구를지켜요"
# A tokenizer that learned Hangul takes a token or less for a syllable; one that did not spells
# each syllable's three bytes.
MAX_TOKENS_PER_SYLLABLE = 1.5
BETTER = "hf:bartowski/Qwen2.5-7B-Instruct-GGUF/Qwen2.5-7B-Instruct-Q4_K_M.gguf"


async def describe(engine: Engine) -> dict[str, Any]:
    """The model, the tokens that it takes for a syllable, and a note in Korean where one is due."""
    rate = round(await engine.count(SAMPLE) / len(SAMPLE), 2)
    note = None
    if rate > MAX_TOKENS_PER_SYLLABLE:
        note = (
            f"지금 모델({engine.model})은 한국어를 배우지 않아서 추천 문장이 어색하거나 "
            "뜻이 통하지 않을 수 있어요. 한국어를 쓸 수 있는 모델로 바꾸려면 서버를 이렇게 "
            f"시작하세요: LEAFSTREAM_MODEL={BETTER}"
        )
    return {"model": engine.model, "tokens_per_syllable": rate, "note": note}
