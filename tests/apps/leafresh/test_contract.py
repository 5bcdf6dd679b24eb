"""The contract with the chatbot's clients, line by line, over a real server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from leafstream.engines.base import Prompt
from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.errors import EngineError, EngineUnavailable
from leafstream.events import Finished, Started
from leafstream.messages import Messages
from tests.apps.leafresh.chatbot import (
    ANSWER,
    BASE_INFO,
    FREE_TEXT,
    OFF_TOPIC,
    READ,
    SOMEBODY,
    VALUE,
    chatbot,
    text,
    told,
)
from tests.apps.leafresh.conftest import Saying
from tests.house import House

pytestmark = pytest.mark.asyncio(loop_scope="module")

TALK = {"sessionId": "s1", "message": "텀블러 챌린지를 추천해 주세요"}
PATHS = pytest.mark.parametrize(("path", "given"), [(BASE_INFO, SOMEBODY), (FREE_TEXT, TALK)])


class Absent(ScriptedEngine):
    """An engine that nobody answers at."""

    async def prompt(self, messages: Messages, template: str | None = None) -> Prompt:  # noqa: ARG002
        raise EngineUnavailable("connection refused")


async def refusal(served: House, path: str, given: dict[str, str]) -> tuple[int, Any]:
    response = await served.http.get(path, params=given, headers={"Accept": "text/event-stream"})
    assert response.headers["content-type"].startswith("application/json")
    return response.status_code, response.json()


@PATHS
async def test_clean_text_in_reading_order_and_then_one_close_with_the_whole_answer(
    served: House, path: str, given: dict[str, str]
) -> None:
    events = await told(served.http, path, given)
    assert {sent.event for sent in events[:-1]} == {"challenge"}
    assert len(events) > 5
    assert text(events) == READ
    assert events[-1].event == "close"
    assert events[-1].data == {
        "status": 200,
        "message": "모든 챌린지 추천 완료",
        "data": {
            "recommend": VALUE["recommend"],
            "challenges": [
                {**challenge, "category": "ZERO_WASTE", "label": "제로웨이스트"}
                for challenge in VALUE["challenges"]
            ],
        },
    }


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_any_chunking_by_the_engine_gives_the_same_text(
    served: House, engine: Saying, size: int
) -> None:
    for answer in (ANSWER, json.dumps(VALUE), json.dumps(VALUE, ensure_ascii=False, indent=2)):
        engine.says = [answer[at : at + size] for at in range(0, len(answer), size)]
        events = await told(served.http, FREE_TEXT, TALK)
        assert text(events) == READ
        assert events[-1].data["data"]["recommend"] == VALUE["recommend"]


async def test_the_frames_are_the_ones_that_a_line_reader_expects(
    served: House, engine: Saying
) -> None:
    said = VALUE | {"recommend": "줄\u2028바꿈\u0085이 들어 있어요"}
    engine.says = json.dumps(said, ensure_ascii=False)
    response = await served.http.get(FREE_TEXT, params=TALK)
    assert response.headers["cache-control"] == "no-cache, no-transform"
    assert response.headers["x-accel-buffering"] == "no"
    frames = response.content.decode().split("\n\n")[2:-1]
    for frame in frames:
        assert [line.split(":")[0] for line in frame.splitlines()] == ["id", "event", "data"]
    first = frames[0].splitlines()
    assert first[1] == "event: challenge"
    assert first[2].startswith('data: {"status":200,"message":"토큰 생성","data":"')


@pytest.mark.parametrize("gone", ["sessionId", "location", "workType", "category"])
@pytest.mark.parametrize("value", [None, "", "  ", "%20"])
async def test_a_required_value_that_is_missing_or_blank_is_400_by_its_name(
    served: House, gone: str, value: str | None
) -> None:
    given = {**SOMEBODY, gone: value}
    sent = {name: value for name, value in given.items() if value is not None}
    status, body = await refusal(served, BASE_INFO, sent)
    assert status == 400
    assert body == {"status": 400, "message": f"{gone}은 필수입니다.", "data": None}


async def test_several_missing_values_are_named_in_one_sentence(served: House) -> None:
    some = await refusal(served, BASE_INFO, {"sessionId": "s1", "category": "비건"})
    every = await refusal(served, FREE_TEXT, {})
    assert some == (
        400,
        {"status": 400, "message": "location, workType은 필수입니다.", "data": None},
    )
    assert every[1]["message"] == "sessionId, message은 필수입니다."


async def test_an_unknown_category_is_400_with_the_field(served: House) -> None:
    answer = await refusal(served, BASE_INFO, {**SOMEBODY, "category": "우주여행"})
    assert answer == (
        400,
        {
            "status": 400,
            "message": "유효하지 않은 선택 항목이 포함되어 있습니다.",
            "data": {"invalidFields": ["category"]},
        },
    )


@pytest.mark.parametrize("message", ["안녕", "비건요?", "    비건   "])
async def test_a_message_under_five_characters_is_422(served: House, message: str) -> None:
    answer = await refusal(served, FREE_TEXT, {"sessionId": "s1", "message": message})
    said = "message는 문자열이어야 하며, 최소 5자 이상의 문자열이어야 합니다."
    assert answer == (422, {"status": 422, "message": said, "data": None})


@PATHS
async def test_an_engine_that_is_not_there_is_502(
    tmp_path: Path, path: str, given: dict[str, str]
) -> None:
    async with chatbot(tmp_path, Absent()) as served:
        answer = await refusal(served, path, given)
    said = "AI 서버로부터 추천 결과를 받아오는 데 실패했습니다."
    assert answer == (502, {"status": 502, "message": said, "data": None})


async def test_a_message_that_cannot_fit_the_context_is_422(tmp_path: Path) -> None:
    engine = ScriptedEngine(ANSWER, Play(context_window=1024))
    async with chatbot(tmp_path, engine) as served:
        given = {"sessionId": "s1", "message": "텀블러 " * 1000}
        status, body = await refusal(served, FREE_TEXT, given)
    assert status == 422
    assert body["data"] is None


async def test_a_full_queue_is_503_and_says_when_to_come_back(tmp_path: Path) -> None:
    engine = ScriptedEngine(ANSWER, Play(delay=0.05, slots=1, context_window=4096))
    async with chatbot(tmp_path, engine, queue=0) as served:
        request = served.http.build_request("GET", FREE_TEXT, params=TALK)
        open_ = await served.http.send(request, stream=True)
        await anext(open_.aiter_bytes())
        response = await served.http.get(FREE_TEXT, params={**TALK, "sessionId": "s2"})
        await open_.aclose()
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert response.json()["status"] == 503


async def test_under_the_setting_a_refusal_is_an_error_event_with_status_200(
    tmp_path: Path,
) -> None:
    async with chatbot(tmp_path, leafresh_errors_in_stream=True) as served:
        events = await told(served.http, BASE_INFO, {**SOMEBODY, "location": ""})
    assert [sent.event for sent in events] == ["error"]
    assert events[0].data == {"status": 400, "message": "location은 필수입니다.", "data": None}


async def test_an_engine_that_fails_in_the_middle_is_one_error_event_and_no_close(
    tmp_path: Path,
) -> None:
    play = Play(fail_after=8, failure=EngineError("inf or nan"), context_window=4096)
    async with chatbot(tmp_path, ScriptedEngine(ANSWER, play)) as served:
        events = await told(served.http, FREE_TEXT, TALK)
    assert [sent.event for sent in events].count("error") == 1
    assert events[-1].event == "error"
    assert READ.startswith(text(events))
    assert text(events)
    assert events[-1].data == {
        "status": 502,
        "message": "AI 서버로부터 추천 결과를 받아오는 데 실패했습니다.",
        "data": None,
    }


async def test_an_answer_that_the_context_cuts_short_has_exactly_three_challenges(
    tmp_path: Path,
) -> None:
    long = VALUE | {"recommend": "추천드려요 " * 20}
    whole = json.dumps(long, ensure_ascii=False)
    for window in range(560, 900, 80):
        engine = ScriptedEngine(whole, Play(context_window=window, constrains=False))
        async with chatbot(tmp_path, engine) as served:
            response = await served.http.get(FREE_TEXT, params={**TALK, "sessionId": str(window)})
            if response.status_code == 422:
                continue
            events = await told(served.http, FREE_TEXT, {**TALK, "sessionId": f"{window}b"})
        data = events[-1].data["data"]
        assert events[-1].event == "close"
        assert len(data["challenges"]) == 3
        assert all(c["title"].strip() and c["description"].strip() for c in data["challenges"])


@pytest.mark.parametrize("times", [1, 2])
async def test_values_may_be_percent_encoded_once_or_twice(
    served: House, engine: Saying, times: int
) -> None:
    message = "에너지를 50% 아끼고 싶어요 & 100%+"
    encoded = message
    for _ in range(times):
        encoded = quote(encoded, safe="")
    url = f"{served.url}{FREE_TEXT}?sessionId=encoded&message={encoded}"
    response = await served.http.get(url)
    assert response.status_code == 200
    (asked,) = engine.generations
    assert asked.prompt.messages[-1].content == message
    assert '"category":"ENERGY_SAVING"' in response.text


@pytest.mark.parametrize("message", ["안녕하세요 반가워요", "야 이 씨발 텀블러 추천해"])
async def test_what_is_off_topic_gets_the_fixed_sentence_and_the_model_is_not_asked(
    served: House, engine: Saying, message: str
) -> None:
    events = await told(served.http, FREE_TEXT, {"sessionId": "s1", "message": message})
    rest = await told(served.http, FREE_TEXT, {"sessionId": "s1", "message": message}, events[0].id)
    assert [sent.event for sent in events] == ["challenge", "close"]
    assert events[0].data == {"status": 200, "message": "토큰 생성", "data": OFF_TOPIC}
    assert events[1].data["data"] == {"recommend": OFF_TOPIC, "challenges": None}
    assert rest == events[1:]
    assert engine.generations == []


async def test_last_event_id_goes_on_after_any_event_and_asks_the_model_once(
    served: House, engine: Saying
) -> None:
    whole = await told(served.http, FREE_TEXT, TALK)
    for number in range(0, len(whole) - 1, 7):
        rest = await told(served.http, FREE_TEXT, TALK, whole[number].id)
        assert text(whole[: number + 1]) + text(rest) == READ
        assert rest[-1] == whole[-1]
    assert len(engine.generations) == 1


async def test_a_client_that_is_cut_off_comes_back_to_the_answer_that_goes_on(
    tmp_path: Path,
) -> None:
    engine = ScriptedEngine(ANSWER, Play(delay=0.01, context_window=4096))
    async with chatbot(tmp_path, engine) as served:
        before = []
        async with served.http.stream("GET", FREE_TEXT, params=TALK) as response:
            async for sent in httpx2.EventSource(response):
                if sent.data:
                    before.append(json.loads(sent.data)["data"])
                if len(before) == 5:
                    break
        await asyncio.sleep(0.05)
        rest = await told(served.http, FREE_TEXT, TALK, sent.id)
    assert "".join(before) + text(rest) == READ
    assert rest[-1].event == "close"
    assert len(engine.generations) == 1


async def test_even_before_the_first_word_a_stream_has_an_id_to_come_back_to(
    served: House,
) -> None:
    response = await served.http.get(FREE_TEXT, params=TALK)
    last = response.text.split("\n\n")[1].removeprefix("id: ")
    assert text(await told(served.http, FREE_TEXT, TALK, last)) == READ


async def test_after_its_end_a_stream_is_not_opened_again(served: House) -> None:
    events = await told(served.http, FREE_TEXT, TALK)
    again = await served.http.get(FREE_TEXT, params=TALK, headers={"Last-Event-ID": events[-1].id})
    assert again.status_code == 204


@pytest.mark.parametrize("last", ["ans_unknown.7", "7", "nonsense"])
async def test_an_id_that_is_not_known_is_404_in_the_clients_envelope(
    served: House, last: str
) -> None:
    response = await served.http.get(FREE_TEXT, params=TALK, headers={"Last-Event-ID": last})
    assert response.status_code == 404
    assert response.json()["status"] == 404
    assert response.json()["data"] is None


async def test_five_challenges_that_were_found_are_in_the_prompt_and_told_as_sources(
    served: House,
    engine: Saying,
) -> None:
    given = {"sessionId": "found", "message": "아이와 헌 옷으로 만들 수 있는 거 알려줘"}
    response = await served.http.get(FREE_TEXT, params=given)
    events = await served.replay(response.headers["Leafstream-Answer"])
    started, finished = events[0][1], events[-1][1]
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    assert started.sources is not None
    assert len(started.sources) == 5
    system = engine.generations[0].prompt.messages[0].content
    for source in started.sources:
        assert isinstance(source, dict)
        assert f"- {source['title']}: {source['description']}" in system
        assert source["category"] == "UPCYCLING"
    assert started.sources[0]["title"] == "헌 티셔츠로 장바구니"  # type: ignore[index,call-overload]


@pytest.mark.parametrize(("rate", "noted"), [(1, False), (3, True)])
async def test_a_model_that_spells_hangul_by_bytes_is_told_of_with_the_way_to_a_better_one(
    tmp_path: Path, rate: int, noted: bool
) -> None:
    class Spelling(ScriptedEngine):
        async def count(self, text: str) -> int:
            return rate * len(text)

    async with chatbot(tmp_path, Spelling(ANSWER, Play(context_window=9000))) as served:
        info = (await served.http.get("/ai/chatbot/info")).json()
    assert info["tokens_per_syllable"] == rate
    assert (info["note"] is not None) is noted
    if noted:
        assert "한국어" in info["note"]
        assert "LEAFSTREAM_MODEL=hf:" in info["note"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [("", "text/html"), ("/chatbot.js", "text/javascript"), ("/chatbot.css", "text/css")],
)
async def test_the_page_is_served_under_a_policy_without_inline_code(
    served: House, path: str, kind: str
) -> None:
    response = await served.http.get(f"/leafresh{path}")
    other = await served.http.get("/leafresh/face.py")
    assert response.headers["content-type"].startswith(kind)
    assert "'unsafe" not in response.headers["content-security-policy"]
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "http" not in response.text.replace("http-equiv", "")
    assert other.status_code == 404
