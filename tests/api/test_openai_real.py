"""The official client and the default model: real tokens, real grammars."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from leafstream.engines.llamacpp import LlamaCppEngine, LlamaCppOptions
from leafstream.schema import Schema
from tests.api.openai_client import openai_house


class Habit(BaseModel):
    title: str = Field(min_length=3, max_length=60)
    steps: list[str] = Field(min_length=1, max_length=3)
    minutes: int = Field(ge=1, le=60)


async def test_the_default_model_answers_openais_clients_validly_at_every_limit(
    tmp_path: Path, model_path: Path
) -> None:
    engine = await LlamaCppEngine.open(model_path, LlamaCppOptions(context_window=1024, slots=2))
    ask: dict[str, Any] = {"model": engine.model, "temperature": 0}
    wish = "Suggest one habit that saves water."
    async with openai_house(tmp_path, engine) as (_, client):
        async with client.responses.stream(**ask, input=wish, text_format=Habit) as stream:
            deltas = [e.delta async for e in stream if e.type == "response.output_text.delta"]
            final = await stream.get_final_response()
        assert len(deltas) > 5
        assert isinstance(final.output_parsed, Habit)
        assert "".join(deltas) == final.output_text
        form: Any = {"type": "json_schema", "name": "habit", "schema": Habit.model_json_schema()}
        schema = Schema.parse(form["schema"])
        for limit in (30, 40):
            cut = await client.responses.create(
                **ask, input=wish, text={"format": form}, max_output_tokens=limit, stream=True
            )
            text = "".join([e.delta async for e in cut if e.type == "response.output_text.delta"])
            assert schema.is_valid(json.loads(text)), text
        free = await client.chat.completions.create(
            **ask,
            messages=[{"role": "user", "content": "Give a city as JSON with a name."}],
            response_format={"type": "json_object"},
            max_tokens=24,
        )
        assert isinstance(json.loads(free.choices[0].message.content or ""), dict)
        more = await client.responses.create(
            model="chat",
            input="Say it in one word.",
            previous_response_id=final.id,
            max_output_tokens=8,
        )
    assert more.output_text
