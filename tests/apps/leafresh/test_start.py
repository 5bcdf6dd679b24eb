"""What is served, and what is said where it cannot be."""

from __future__ import annotations

import json
import subprocess
import sys

from leafstream.apps.leafresh.categories import CATEGORIES
from leafstream.apps.leafresh.korean import korean
from leafstream.apps.leafresh.question import leafresh
from leafstream.apps.leafresh.retrieval import Retrieval
from leafstream.served import read_served
from tests.apps.leafresh.chatbot import VALUE

WITHOUT = """
import sys
sys.modules["kiwipiepy"] = None
from leafstream.errors import SetupError
from leafstream.served import read_served
try:
    read_served("leafresh")
except SetupError as error:
    print(error.message)
"""


def test_the_app_is_served_by_its_name_with_its_assistant_and_its_face() -> None:
    served = read_served("leafresh")
    assert list(served.assistants) == ["leafresh"]
    assert len(served.routers) == 1


def test_without_the_analyzer_of_korean_the_way_to_get_it_is_told() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], capture_output=True, text=True, timeout=60, check=True
    )
    assert "pip install 'leafstream[leafresh]'" in done.stdout


def test_the_native_input_offers_the_eight_categories() -> None:
    offered = leafresh.input_schema["properties"]["category"]["anyOf"][0]["enum"]
    assert offered == [category.label for category in CATEGORIES]


def test_the_example_that_the_model_is_shown_is_a_valid_answer() -> None:
    for category in CATEGORIES:
        asked = leafresh.messages({"message": "추천해 줘"})
        turns = Retrieval(korean()).grounds("추천해 줘", category).before(asked)
        assert [turn.role for turn in turns] == ["system", "user", "assistant", "user"]
        assert leafresh.errors(json.loads(turns[2].content)) == []
    assert leafresh.errors(VALUE) == []
