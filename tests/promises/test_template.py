"""The chat template is the model's own or the assistant's, and it drops nobody's turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from leafstream import Assistant
from leafstream.engines.llamacpp import LlamaCppEngine, LlamaCppOptions
from leafstream.errors import SetupError
from leafstream.events import Started
from leafstream.messages import Message
from tests.house import house

ALPACA = (
    "{% for turn in messages %}### {{ turn['role'] }}:\n{{ turn['content'] }}\n{% endfor %}"
    "### assistant:"
)


async def test_a18_an_assistants_own_template_is_what_the_model_reads(
    tmp_path: Path, model_path: Path
) -> None:
    file = tmp_path / "alpaca.jinja"
    file.write_text(ALPACA)
    assistants = {
        "own": Assistant(instructions="Be brief."),
        "text": Assistant(instructions="Be brief.", chat_template=ALPACA),
        "file": Assistant(instructions="Be brief.", chat_template=file),
    }
    engine = await LlamaCppEngine.open(model_path, LlamaCppOptions(context_window=256))
    shown = "### system:\nBe brief.\n### user:\nHello\n### assistant:"
    expected = await engine.count(shown)
    async with house(tmp_path, engine, assistants) as served:
        counts = {}
        for name in assistants:
            body = {"assistant": name, "input": "Hello", "max_tokens": 1}
            started = (await served.stream(body))[0][1]
            assert isinstance(started, Started)
            counts[name] = started.plan.prompt_tokens
    assert counts["text"] == counts["file"] == expected
    assert counts["own"] != expected


@pytest.mark.parametrize(
    ("template", "turn"),
    [
        ("{{ messages[-1]['content'] }}", "system"),
        ("{% for m in messages if m['role'] != 'user' %}{{ m['content'] }}{% endfor %}", "user"),
        (
            "{% for m in messages if m['role'] != 'assistant' %}{{ m['content'] }}{% endfor %}",
            "assistant",
        ),
    ],
)
def test_a18_a_template_that_drops_a_turn_is_refused_where_it_is_declared(
    template: str, turn: str
) -> None:
    with pytest.raises(SetupError, match=f"drops the {turn} turn"):
        Assistant(instructions="Be brief.", chat_template=template)


async def test_a18_a_template_without_a_system_turn_gets_it_in_the_first_user_turn(
    model_path: Path,
) -> None:
    engine = await LlamaCppEngine.open(model_path, LlamaCppOptions(context_window=256))
    users = "{% for m in messages if m['role'] != 'system' %}{{ m['content'] }}|{% endfor %}"
    turns = (Message("system", "Be brief."), Message("user", "Hello"))
    prompt = await engine.prompt(turns, users)
    assert prompt.num_tokens == await engine.count("Be brief.\n\nHello|")
    await engine.close()
