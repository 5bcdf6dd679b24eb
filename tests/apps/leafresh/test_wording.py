"""What a message says: a category, back to the first, or something else altogether."""

from __future__ import annotations

import pytest

from leafstream.apps.leafresh.categories import CATEGORIES, Category
from leafstream.apps.leafresh.korean import korean
from leafstream.apps.leafresh.wording import Reading, Wording


@pytest.fixture(scope="module")
def wording() -> Wording:
    return Wording(korean())


def code(reading: Reading) -> str | None:
    return reading.category.code if reading.category else None


@pytest.mark.parametrize("category", CATEGORIES, ids=lambda category: category.code)
def test_every_label_and_every_word_names_its_category(
    wording: Wording, category: Category
) -> None:
    for word in (category.label, *category.words, *category.hints):
        asked = word.removesuffix("다") + "고 싶어요" if word.endswith("다") else f"{word} 챌린지"
        assert code(wording.read(f"{asked} 추천해줘")) == category.code, word


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("조깅하면서 할 수 있는 거 알려줘", "PLOGGING"),
        ("저는 산책을 좋아해요", "PLOGGING"),
        ("채식을 시작하고 싶어요", "VEGAN"),
        ("콘센트를 뽑으면 얼마나 절약돼?", "ENERGY_SAVING"),
        ("텀블러를쓰고싶어", "ZERO_WASTE"),
        ("쓰레기를 주우면서 뛰고 싶어", "PLOGGING"),
        ("에너지절약 하고 싶어요", "ENERGY_SAVING"),
        ("재밌는 영화 추천해줘", "MEDIA"),
        ("이메일 정리하는 챌린지", "DIGITAL_CARBON"),
        ("zero waste 챌린지", "ZERO_WASTE"),
        ("Vegan 추천해줘", "VEGAN"),
        # The longer phrase counts, not the word inside it.
        ("디지털 탄소발자국 줄이기", "DIGITAL_CARBON"),
        # What is not wanted does not count.
        ("제로웨이스트 말고 비건으로 추천해줘", "VEGAN"),
        ("비건이 아니라 플로깅이요", "PLOGGING"),
        ("플로깅 대신 업사이클", "UPCYCLING"),
        # A label weighs more than a word, and a later one more than an earlier one.
        ("텀블러 쓰는 거 비건 카페에서", "VEGAN"),
        ("비건도 좋지만 업사이클로 할래요", "UPCYCLING"),
    ],
)
def test_a_message_changes_the_category(wording: Wording, message: str, expected: str) -> None:
    reading = wording.read(message)
    assert reading.on_topic
    assert code(reading) == expected
    assert not reading.goes_back


@pytest.mark.parametrize(
    "message",
    [
        "원래 카테고리로 돌아가줘",
        "처음 걸로 다시 해주세요",
        "이전 카테고리로 추천해줘",
        "기존대로 부탁해요",
    ],
)
def test_words_that_go_back_ask_for_the_first_category(wording: Wording, message: str) -> None:
    assert wording.read(message) == Reading(on_topic=True, goes_back=True)


@pytest.mark.parametrize(
    "message",
    [
        "다른 거 추천해줘",
        "더 쉬운 걸로 바꿔 줘",
        "두 번째 거 자세히 알려줘",
        "아이와 함께 집에서 할 수 있는 거 추천해줘",
        "비 오는 날 할 수 있는 거 있어?",
        "퇴근길에 할만한거 추천좀",
        "회사에서 쉽게 할 수 있는 거 알려줘",
        "비건은 빼고 알려줘",
        "기후 위기가 걱정돼요",
    ],
)
def test_a_message_that_asks_for_more_keeps_the_category(wording: Wording, message: str) -> None:
    assert wording.read(message) == Reading(on_topic=True)


@pytest.mark.parametrize(
    "message",
    [
        "안녕하세요 반가워요",
        "오늘 날씨 어때?",
        "점심 메뉴 추천해줘",
        "주식 추천해줘",
        "댄스 챌린지 추천해줘",
        "인공지능에 대해 알려줘",
        "파이썬 코드 짜줘",
        "너는 누구야?",
        "물고기가 좋아요",
        "운전기사님 추천해줘",
        "재밌는 공포 영화 추천해줘",
        "ㅋㅋㅋㅋㅋㅋ",
        "😀😀😀😀😀",
        "12345",
    ],
)
def test_a_message_about_nothing_environmental_is_off_topic(wording: Wording, message: str) -> None:
    assert wording.read(message) == Reading(on_topic=False)


@pytest.mark.parametrize(
    "message",
    [
        "야 이 씨발 텀블러 추천해",
        "시1발 챌린지 알려줘",
        "병.신 같은 지구",
        "이 개새끼야 환경",
        "환경이고 지랄이고",
        "존나 쉬운 비건 알려줘",
        "ㅅㅂ 제로웨이스트",
        "fuck the environment",
    ],
)
def test_a_message_with_abuse_in_it_is_off_topic_whatever_else_it_says(
    wording: Wording, message: str
) -> None:
    assert wording.read(message) == Reading(on_topic=False)


@pytest.mark.parametrize(
    "message",
    [
        "도시발전이 환경에 미친 영향",
        "날씨발표를 보고 기후가 걱정돼요",
        "다시 발견한 자연과 지구",
        "시발점이 되는 친환경 챌린지",
        "닥쳐오는 기후 위기",
        "무지개같은 지구를 지켜요",
        "새끼손가락만 한 플라스틱",
        "에너지를 아끼려고 불을 꺼져 있게 해요",
    ],
)
def test_words_that_only_look_like_abuse_are_none(wording: Wording, message: str) -> None:
    assert wording.read(message).on_topic
