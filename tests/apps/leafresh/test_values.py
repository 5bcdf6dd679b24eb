"""Values of the query string, as a user typed them."""

from __future__ import annotations

from urllib.parse import quote, quote_plus, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leafstream.apps.leafresh.categories import CATEGORIES, named
from leafstream.apps.leafresh.values import typed

TYPED = [
    "제로웨이스트",
    "에너지 절약",
    "전기를 50% 아끼고 싶어요",
    "100%",
    "50%할인 & 1+1 = ?",
    "C'est 5% de réduction",
    "바닷가 🌊 / 산",
]


@pytest.mark.parametrize("value", TYPED)
@pytest.mark.parametrize("encode", [quote, quote_plus, lambda text: quote(text, safe="")])
def test_a_value_that_was_encoded_twice_is_what_the_user_typed(value: str, encode: object) -> None:
    assert callable(encode)
    once_decoded = unquote_plus(encode(encode(value)))
    assert typed(once_decoded) == value


@pytest.mark.parametrize("value", [*TYPED, "100% 재활용", "50%25 할인", "%EC%A0 반쪽", "%zz", "%"])
def test_a_value_that_was_encoded_once_is_left_alone(value: str) -> None:
    assert typed(value) == value


@given(st.text())
def test_no_value_breaks_the_decoding(value: str) -> None:
    assert isinstance(typed(value), str)


def test_a_text_in_decomposed_hangul_is_composed() -> None:
    assert typed("\u1107\u1175\u1100\u1165\u11ab") == "비건"


@pytest.mark.parametrize("category", CATEGORIES, ids=lambda category: category.code)
def test_a_category_is_known_by_its_label_and_its_code(category: object) -> None:
    found = next(c for c in CATEGORIES if c is category)
    assert named(found.label) is found
    assert named(found.code) is found
    assert named(found.label.replace(" ", "")) is found
    assert named(found.label + "들") is None
