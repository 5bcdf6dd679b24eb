"""Sessions: categories that change and go back, memory, restarts, replicas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leafstream.engines.scripted import Play, ScriptedEngine
from tests.apps.leafresh.chatbot import (
    ANSWER,
    BASE_INFO,
    FREE_TEXT,
    SOMEBODY,
    chatbot,
    told,
    user_turns,
)
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXAMPLES = 1
"""User turns that stand before the session's own."""


async def category(served: House, message: str, session: str = "s1") -> str:
    """The category of the answer to a message."""
    events = await told(served.http, FREE_TEXT, {"sessionId": session, "message": message})
    (code,) = {challenge["category"] for challenge in events[-1].data["data"]["challenges"]}
    return str(code)


async def test_a_session_keeps_its_category_changes_it_and_goes_back_to_the_first(
    served: House,
) -> None:
    await told(served.http, BASE_INFO, {**SOMEBODY, "sessionId": "keeps", "category": "비건"})
    assert await category(served, "다른 거 추천해 주세요", "keeps") == "VEGAN"
    assert await category(served, "조깅하면서 할 수 있는 거요", "keeps") == "PLOGGING"
    assert await category(served, "더 쉬운 걸로 바꿔 줘", "keeps") == "PLOGGING"
    assert await category(served, "콘센트를 뽑아 볼래요", "keeps") == "ENERGY_SAVING"
    assert await category(served, "원래 걸로 돌아가 줘", "keeps") == "VEGAN"
    assert await category(served, "또 다른 거 추천해줘", "keeps") == "VEGAN"


async def test_a_session_that_is_not_known_begins_with_zero_waste(served: House) -> None:
    assert await category(served, "하나 추천해 주세요", "new") == "ZERO_WASTE"
    assert await category(served, "비건으로 해 주세요", "newer") == "VEGAN"
    assert await category(served, "처음 걸로 해 주세요", "newer") == "ZERO_WASTE"


async def test_something_off_topic_leaves_the_session_as_it_was(served: House) -> None:
    await told(served.http, BASE_INFO, {**SOMEBODY, "sessionId": "off", "category": "비건"})
    await told(served.http, FREE_TEXT, {"sessionId": "off", "message": "오늘 날씨 어때?"})
    assert await category(served, "다른 거 추천해 주세요", "off") == "VEGAN"


async def test_sessions_do_not_know_of_each_other(tmp_path: Path) -> None:
    engine = ScriptedEngine(ANSWER, Play(context_window=4096))
    async with chatbot(tmp_path, engine) as served:
        await told(served.http, BASE_INFO, {**SOMEBODY, "category": "비건"})
        await told(served.http, BASE_INFO, {**SOMEBODY, "sessionId": "s2", "category": "PLOGGING"})
        assert await category(served, "다른 거 추천해 주세요", "s1") == "VEGAN"
        assert await category(served, "다른 거 추천해 주세요", "s2") == "PLOGGING"
    assert all(len(user_turns(g)) <= EXAMPLES + 2 for g in engine.generations)


async def test_earlier_turns_are_part_of_the_prompt_as_the_user_wrote_them(tmp_path: Path) -> None:
    engine = ScriptedEngine(ANSWER, Play(context_window=4096))
    async with chatbot(tmp_path, engine) as served:
        await told(served.http, BASE_INFO, SOMEBODY)
        await category(served, "조깅하면서 할 수 있는 거요")
        await category(served, "더 쉬운 걸로 바꿔 줘")
    turns = engine.generations[-1].prompt.messages[1 + 2 * EXAMPLES :]
    assert [turn.role for turn in turns] == ["user", "assistant"] * 2 + ["user"]
    assert turns[0].content.startswith("사는 곳: 도시\n일하는 방식: 사무직")
    assert turns[1].content.startswith('{"recommend":')
    assert [turns[2].content, turns[4].content] == [
        "조깅하면서 할 수 있는 거요",
        "더 쉬운 걸로 바꿔 줘",
    ]


async def test_as_many_turns_as_fit_are_kept_and_the_answer_is_never_squeezed_out(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine(ANSWER, Play(context_window=900))
    async with chatbot(tmp_path, engine) as served:
        for number in range(8):
            await category(served, f"{number}번째 텀블러 챌린지를 추천해 주세요")
    last = user_turns(engine.generations[-1])
    assert last[-1].startswith("7번째")
    assert 1 < len(last) < 8
    assert engine.generations[-1].max_tokens >= 450


async def test_base_info_starts_the_session_anew(tmp_path: Path) -> None:
    engine = ScriptedEngine(ANSWER, Play(context_window=4096))
    async with chatbot(tmp_path, engine) as served:
        await told(served.http, BASE_INFO, {**SOMEBODY, "category": "비건"})
        await category(served, "조깅하면서 할 수 있는 거요")
        await told(served.http, BASE_INFO, {**SOMEBODY, "category": "업사이클"})
        assert len(user_turns(engine.generations[-1])) == EXAMPLES + 1
        assert await category(served, "다른 거 추천해 주세요") == "UPCYCLING"
        assert await category(served, "원래 걸로 돌아가 줘") == "UPCYCLING"


@pytest.mark.parametrize("path", [BASE_INFO, FREE_TEXT])
async def test_a_refused_question_begins_no_session_and_leaves_the_one_before(
    tmp_path: Path, path: str
) -> None:
    engine = ScriptedEngine(ANSWER, Play(context_window=4096))
    async with chatbot(tmp_path, engine) as served:
        await told(served.http, BASE_INFO, {**SOMEBODY, "category": "비건"})
        before = (await served.http.get("/v1/conversations")).json()["data"]
        served.app.runs.draining = True
        for session in ("s1", "s2"):
            given = {**SOMEBODY, "sessionId": session, "message": "텀블러 챌린지를 추천해 주세요"}
            refused = await served.http.get(path, params=given)
            assert refused.status_code == 503
        served.app.runs.draining = False
        assert (await served.http.get("/v1/conversations")).json()["data"] == before
        assert await category(served, "다른 거 추천해 주세요") == "VEGAN"


async def test_a_session_outlives_the_process(tmp_path: Path) -> None:
    async with chatbot(tmp_path) as served:
        await told(served.http, BASE_INFO, {**SOMEBODY, "category": "비건"})
        await category(served, "조깅하면서 할 수 있는 거요")
    engine = ScriptedEngine(ANSWER, Play(context_window=4096))
    async with chatbot(tmp_path, engine) as served:
        assert await category(served, "더 쉬운 걸로 바꿔 줘") == "PLOGGING"
        assert await category(served, "원래 걸로 돌아가 줘") == "VEGAN"
    assert "조깅하면서 할 수 있는 거요" in user_turns(engine.generations[0])


async def test_replicas_share_their_sessions(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    both: dict[str, Any] = {"database_url": url}
    async with chatbot(tmp_path, **both) as one, chatbot(tmp_path, **both) as other:
        await told(one.http, BASE_INFO, {**SOMEBODY, "category": "비건"})
        assert await category(other, "다른 거 추천해 주세요") == "VEGAN"
        assert await category(other, "콘센트를 뽑아 볼래요") == "ENERGY_SAVING"
        assert await category(one, "더 쉬운 걸로 바꿔 줘") == "ENERGY_SAVING"


@pytest.mark.parametrize(
    "session", ["세션 1", "x" * 500, "a'; drop table turns; --", "../..", "🌿"]
)
async def test_a_session_id_may_be_any_text(served: House, session: str) -> None:
    await told(served.http, BASE_INFO, {**SOMEBODY, "sessionId": session, "category": "비건"})
    assert await category(served, "다른 거 추천해 주세요", session) == "VEGAN"


async def test_a_session_is_a_conversation_that_can_be_listed_and_read(tmp_path: Path) -> None:
    async with chatbot(tmp_path) as served:
        await told(served.http, BASE_INFO, {**SOMEBODY, "category": "비건"})
        (listed,) = (await served.http.get("/v1/conversations")).json()["data"]
        whole = (await served.http.get(f"/v1/conversations/{listed['id']}")).json()
    assert listed["assistant"] == "leafresh"
    assert listed["metadata"] == {"first": "VEGAN", "current": "VEGAN"}
    assert [turn["role"] for turn in whole["turns"]] == ["user", "assistant"]
