"""Ids become text of whole characters, however tokens cut the bytes."""

from __future__ import annotations

import pytest

from leafstream.engines.spelling import Spelling

TEXTS = ["텀블러 😀!", "a\u200db", "é", "plain"]


def spelled(raw: bytes, width: int, stops: tuple[str, ...] = ()) -> list[str]:
    """The pieces of `raw` where every token stands for `width` bytes."""
    tokens = [raw[at : at + width] for at in range(0, len(raw), width)]
    spelling = Spelling(tokens.__getitem__, stops)
    pieces = []
    for token in range(len(tokens)):
        piece = spelling.feed(token)
        if piece is not None:
            pieces.append(piece.text)
            if piece.stopped:
                return pieces
    return [*pieces, spelling.rest().text]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("width", [1, 2, 3, 5, 7])
def test_no_piece_holds_half_a_character(text: str, width: int) -> None:
    pieces = spelled(text.encode(), width)
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_half_a_character_at_the_end_stays_out_of_the_text() -> None:
    assert "".join(spelled("ok 텀".encode()[:-1], 1)) == "ok "


def test_bytes_that_are_no_character_are_shown_as_the_model_wrote_them() -> None:
    assert "".join(spelled(b"a\xffb", 1)) == "a\ufffdb"


def test_a_continuation_in_the_middle_of_a_character_shows_it_once() -> None:
    raw = "텀".encode()
    spelling = Spelling(lambda token: raw[token : token + 1])
    spelling.resume((0, 1))
    piece = spelling.feed(2)
    assert piece is not None
    assert (piece.text, piece.tokens) == ("텀", (2,))


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 6, 7, 40])
def test_a_stop_text_is_found_across_tokens_and_never_shown(width: int) -> None:
    assert "".join(spelled(b"a line STO then STOP and more", width, ("STOP",))) == (
        "a line STO then "
    )


def test_the_first_of_several_stop_texts_counts() -> None:
    assert "".join(spelled(b"one two three", 2, ("three", "two"))) == "one "


def test_what_may_begin_a_stop_text_is_held_and_shown_when_it_does_not() -> None:
    assert spelled(b"aSTb", 1, ("STOP",)) == ["a", "STb", ""]
