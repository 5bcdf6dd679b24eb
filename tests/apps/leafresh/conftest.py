"""One chatbot for the tests of a file that ask it in sessions of their own.

They say `pytest.mark.asyncio(loop_scope="module")`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from leafstream.engines.scripted import Play, ScriptedEngine
from tests.apps.leafresh.chatbot import ANSWER, chatbot
from tests.house import House


class Saying(ScriptedEngine):
    """Writes what it `says`, which a test may change."""

    def __init__(self) -> None:
        super().__init__(lambda _: self.says, Play(context_window=4096))
        self.says: str | Sequence[str] = ANSWER


Running = tuple[House, Saying]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    saying = Saying()
    async with chatbot(tmp_path_factory.mktemp("served"), saying) as house:
        yield house, saying


@pytest.fixture
def served(running: Running) -> House:
    running[1].says = ANSWER
    running[1].generations.clear()
    return running[0]


@pytest.fixture
def engine(served: House, running: Running) -> Saying:
    """What writes for `served`; nothing has been asked of it yet."""
    return running[1]
