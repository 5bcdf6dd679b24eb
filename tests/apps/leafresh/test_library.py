"""The challenges that are searched, and what is found."""

from __future__ import annotations

import re

import pytest

from leafstream.apps.leafresh.categories import BY_CODE, CATEGORIES
from leafstream.apps.leafresh.korean import korean
from leafstream.apps.leafresh.library import Library, texts


@pytest.fixture(scope="module")
def library() -> Library:
    return Library(korean())


def test_every_category_has_fifteen_challenges_and_no_two_are_the_same() -> None:
    every = [text for category in CATEGORIES for text in texts(category)]
    assert [len(texts(category)) for category in CATEGORIES] == [15] * 8
    assert len({text.title for text in every}) == len({text.description for text in every}) == 120


@pytest.mark.parametrize("category", CATEGORIES, ids=lambda category: category.code)
def test_a_challenge_is_as_short_as_the_model_is_asked_to_be(category: object) -> None:
    found = next(c for c in CATEGORIES if c is category)
    for text in texts(found):
        assert 2 <= len(text.title) <= 20
        assert 10 <= len(text.description) <= 50
        assert re.fullmatch(r"[가-힣].*요\.", text.description), text


@pytest.mark.parametrize(
    ("question", "category", "title"),
    [
        ("카페에 자주 가는데 뭘 하면 좋을까요", "ZERO_WASTE", "텀블러와 출근하기"),
        ("배달을 자주 시켜 먹어요", "ZERO_WASTE", "배달 음식 쉬는 하루"),
        ("강아지랑 산책하면서 할 수 있는 거", "PLOGGING", "강아지와 줍깅 산책"),
        ("버스나 지하철을 타고 다녀요", "CARBON_FOOTPRINT", "대중교통으로 출근하기"),
        ("겨울에 난방비가 너무 많이 나와요", "ENERGY_SAVING", "실내 온도 1도 낮추기"),
        ("안 입는 청바지가 있어요", "UPCYCLING", "청바지 필통 만들기"),
        ("다큐멘터리를 보고 싶어요", "MEDIA", "환경 다큐 한 편 보기"),
        ("메일이 너무 많이 쌓였어요", "DIGITAL_CARBON", "메일함 100통 비우기"),
        ("두부로 만드는 도시락", "VEGAN", "채소 도시락 싸기"),
    ],
)
def test_the_challenge_that_a_person_would_pick_is_found_first(
    library: Library, question: str, category: str, title: str
) -> None:
    found = library.find(question, BY_CODE[category])
    assert found[0].title == title
    assert [text.score for text in found] == sorted((text.score for text in found), reverse=True)
    assert {text.category for text in found} == {category}


def test_five_are_found_even_where_no_word_fits(library: Library) -> None:
    found = library.find("!!!", BY_CODE["VEGAN"])
    assert len({text.title for text in found}) == 5
    assert {text.score for text in found} == {0}
