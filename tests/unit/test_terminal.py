"""What a person sees of an answer in a terminal, and what is read of a command's fields."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from leafstream.pointer import Json
from leafstream.terminal import drawn, parse_input


@pytest.mark.parametrize(
    "value",
    [
        "\x1b]52;c;ZXZpbA==\x07",
        {"a": "\x1b[2J"},
        {"\x1b[31mkey": ["\x9b2J"]},
        {"a\x1b[2J": {"b": 1}},
    ],
)
def test_a_model_does_not_command_the_terminal(value: Json) -> None:
    written = io.StringIO()
    Console(file=written, color_system=None, width=60).print(drawn(value))
    assert not {"\x1b", "\x07", "\x9b"} & {*written.getvalue()}


def test_names_are_no_markup() -> None:
    written = io.StringIO()
    Console(file=written, color_system=None, width=60).print(drawn({"[red]": {"b": "비건"}}))
    assert "[red]" in written.getvalue()
    assert "비건" in written.getvalue()


def test_a_number_stays_a_text_where_a_text_is_taken() -> None:
    schema = {
        "properties": {
            "zip": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "n": {"type": "integer"},
        }
    }
    given = parse_input(["--zip", "01234", "--n", "5"], schema, None)
    assert given == {"zip": "01234", "n": 5}
