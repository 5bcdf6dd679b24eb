"""The mapping from events to frames, without a server."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leafstream.apps.leafresh import telling
from leafstream.apps.leafresh.categories import BY_CODE
from leafstream.apps.leafresh.question import leafresh
from leafstream.apps.leafresh.refusals import Envelope
from leafstream.apps.leafresh.telling import Frame, Place, Subject, Telling
from leafstream.assistant import Assistant
from leafstream.decoder.closing import Closer
from leafstream.decoder.json import JsonDecoder
from leafstream.events import (
    Cancelled,
    Event,
    Failed,
    Finished,
    Noticed,
    TextAppended,
    Timings,
    Usage,
    ValueSet,
)
from leafstream.log import merged
from leafstream.pointer import Json
from tests.apps.leafresh.chatbot import ANSWER, READ, VALUE

SOURCES: list[Json] = [
    {"title": title, "description": f"{title} 챌린지를 해 봐요."}
    for title in ("가", "나", "다", "라")
]
SUBJECT = Subject(BY_CODE["VEGAN"], SOURCES)


def finished(value: Any, missing: tuple[str, ...] = ()) -> Finished:
    complete = not missing
    return Finished(value, "stop", complete, (), missing, Usage(1, 1), Timings(0, 0, 0))


def events(pieces: list[str], assistant: Assistant = leafresh) -> list[Event]:
    """What an answer that is written in these pieces is in the log."""
    assert assistant.schema is not None
    decoder = JsonDecoder(assistant.schema)
    out = [event for piece in pieces for event in decoder.feed(piece)]
    out += decoder.finish()
    closing = Closer(assistant.schema).close(decoder.prefix(), decoder.value)
    return [*out, *closing.events, finished(closing.value, closing.missing)]


def tell(given: list[Event], told: int = 0) -> list[Frame]:
    teller = Telling("ans_1", SUBJECT, told)
    return [frame for event in given for frame in teller.feed(event)]


def text(frames: list[Frame]) -> str:
    return "".join(str(frame.data.data) for frame in frames if frame.event == "challenge")


def shape(frames: list[Frame]) -> list[str]:
    return [frame.event for frame in frames]


@given(st.lists(st.integers(0, len(ANSWER)), max_size=12))
def test_any_chunking_tells_the_same_clean_text_in_reading_order(cuts: list[int]) -> None:
    borders = [0, *sorted(cuts), len(ANSWER)]
    pieces = [ANSWER[a:b] for a, b in pairwise(borders)]
    assert text(tell(events(pieces))) == READ


def test_every_single_cut_tells_the_same() -> None:
    for cut in range(len(ANSWER)):
        assert text(tell(events([ANSWER[:cut], ANSWER[cut:]]))) == READ


@pytest.mark.parametrize("ascii_only", [True, False])
def test_character_by_character_each_piece_is_one_that_a_person_reads(ascii_only: bool) -> None:
    frames = tell(events(list(json.dumps(VALUE, ensure_ascii=ascii_only))))
    assert text(frames) == READ
    assert all(frame.data.status == 200 for frame in frames)
    assert {frame.data.message for frame in frames[:-1]} == {"토큰 생성"}


def test_close_is_last_holds_the_whole_answer_and_adds_category_and_label() -> None:
    frames = tell(events([ANSWER]))
    assert shape(frames).count("close") == 1
    assert frames[-1].data == Envelope(
        200,
        "모든 챌린지 추천 완료",
        {
            "recommend": VALUE["recommend"],
            "challenges": [
                {**challenge, "category": "VEGAN", "label": "비건"}
                for challenge in VALUE["challenges"]
            ],
        },
    )


def test_a_client_comes_back_after_any_frame_and_misses_nothing_and_reads_nothing_twice() -> None:
    written = events(list(ANSWER))
    frames = tell(written)
    for number, frame in enumerate(frames[:-1]):
        place = Place.parse(frame.id)
        assert place is not None
        assert place.told is not None
        for log in (written, [entry.event for entry in merged(1, written)]):
            rest = tell(log, place.told)
            assert text(frames[: number + 1]) + text(rest) == READ
            assert rest[-1] == frames[-1]


def test_ids_say_the_answer_and_how_much_is_told_and_the_end() -> None:
    frames = tell(events([ANSWER]))
    assert Place.parse(frames[-2].id) == Place("ans_1", len(READ))
    assert Place.parse(frames[-1].id) == Place("ans_1", None)


@pytest.mark.parametrize(
    "last", ["", "7", "ans_1", "ans_1.", ".7", "ans_1.-1", "ans_1.²", "a.7x", "a." + "9" * 5000]
)
def test_what_is_no_id_of_a_frame_is_no_place(last: str) -> None:
    assert Place.parse(last) is None


def test_fields_that_a_model_writes_in_another_order_are_told_in_reading_order() -> None:
    mixed = {
        "challenges": [
            {"description": one["description"], "title": one["title"]}
            for one in VALUE["challenges"]
        ],
        "recommend": VALUE["recommend"],
    }
    assert text(tell(events(list(json.dumps(mixed))))) == READ


def test_a_field_that_is_written_again_is_told_again_on_its_own_line() -> None:
    log: list[Event] = [
        TextAppended("/recommend", "안녕하세요"),
        TextAppended("/challenges/0/title", "틀린 제목"),
        Noticed("retried", "again"),
        ValueSet("", {"recommend": "안녕하세요", "challenges": []}),
        TextAppended("/challenges/0/title", "틀"),
        TextAppended("/challenges/0/title", "림없는 제목"),
        TextAppended("/challenges/0/description", "설명입니다"),
    ]
    told = "안녕하세요\n틀린 제목\n틀림없는 제목\n설명입니다"
    assert text(tell(log)) == told
    for place in range(len(told)):
        assert text(tell(log, place)) == told[place:]


def test_an_answer_that_is_cut_anywhere_has_three_whole_challenges_and_told_them() -> None:
    for cut in range(len(ANSWER)):
        frames = tell(events([ANSWER[:cut]]))
        data = frames[-1].data.data
        assert isinstance(data, dict)
        challenges = data["challenges"]
        assert isinstance(challenges, list)
        assert len(challenges) == 3
        lines = [data["recommend"], *(c[n] for c in challenges for n in ("title", "description"))]  # type: ignore[index,call-overload]
        assert all(str(line).strip() for line in lines)
        assert text(frames) == "\n".join(map(str, lines))


def test_what_the_model_had_no_room_for_is_one_of_the_challenges_that_were_found() -> None:
    cut = '{"recommend":"두유를 마셔요","challenges":[{"title":"가","description":"두유 라'
    data = tell(events([cut]))[-1].data.data
    assert isinstance(data, dict)
    titles = [challenge["title"] for challenge in data["challenges"]]  # type: ignore[index,call-overload,union-attr]
    assert titles == ["가", "나", "다"]


@pytest.mark.parametrize(
    ("event", "status", "message"),
    [
        (
            Failed("engine_failed", 502, "CUDA error", retryable=True),
            502,
            "AI 서버로부터 추천 결과를 받아오는 데 실패했습니다.",
        ),
        (
            Failed("engine_unavailable", 503, "connection refused", retryable=True),
            502,
            "AI 서버로부터 추천 결과를 받아오는 데 실패했습니다.",
        ),
        (
            Failed("invalid_answer", 502, "no JSON", retryable=True),
            502,
            "AI가 추천을 완성하지 못했습니다. 다시 시도해 주세요.",
        ),
        (
            Failed("internal_error", 500, "KeyError", retryable=False),
            500,
            "서버에서 문제가 발생했습니다. 잠시 후 다시 시도해 주세요.",
        ),
        (
            Cancelled("the server is stopping"),
            503,
            "추천이 중단되었습니다. 잠시 후 다시 시도해 주세요.",
        ),
    ],
)
def test_an_answer_without_an_end_ends_in_one_error_that_a_user_can_read(
    event: Event, status: int, message: str
) -> None:
    frames = tell([TextAppended("/recommend", "두유"), event])
    assert shape(frames) == ["challenge", "error"]
    assert json.loads(frames[-1].data.encode()) == {
        "status": status,
        "message": message,
        "data": None,
    }


def test_the_off_topic_answer_is_one_challenge_and_a_close_and_can_be_resumed() -> None:
    frames = telling.off_topic()
    assert shape(frames) == ["challenge", "close"]
    assert frames[0].data.data == telling.OFF_TOPIC
    place = Place.parse(frames[0].id)
    assert place is not None
    assert place.told is not None
    assert telling.off_topic(place.told) == frames[1:]


def test_data_is_encoded_in_the_order_that_clients_log() -> None:
    frame = tell([TextAppended("/recommend", '"두유"')])[0]
    assert frame.data.encode().decode() == (
        '{"status":200,"message":"토큰 생성","data":"\\"두유\\""}'
    )
    assert msgspec.json.decode(frame.data.encode())["data"] == '"두유"'
