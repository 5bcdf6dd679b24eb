"""What every answer of a type begins with: an engine reads it, which is quicker than writing it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from leafstream.decoder.scan import Kind, Scan
from leafstream.engines.grammar import Grammar, compile_remainder, limits
from leafstream.schema import Node, Schema

if TYPE_CHECKING:
    from llguidance import LLTokenizer

_LETTERS = re.compile(r".*[^\W_](?=\W)", re.DOTALL)
"""A text up to its last letter or digit before a mark."""


_OF_ALL = frozenset({"type", "title", "description", "default", "examples", "$defs"})
_OF_TEXTS = _OF_ALL | {"minLength", "maxLength"}
_OF_CONTAINERS = _OF_ALL | {
    "properties",
    "required",
    "additionalProperties",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
}


class Opening(msgspec.Struct, frozen=True):
    """`text` begins every answer; `grammar` is of what follows it. No text: nothing is certain."""

    text: str = ""
    grammar: str | None = None


def opening(grammar: Grammar, schema: Schema) -> Opening:
    """The longest one that ends where a tokenizer would end a token, whatever follows.

    Tokenizers part words from marks. A string's quote and a bracket may share a token with what
    comes after them, so that an opening ends in neither, but for the quote of a text.
    """
    if grammar.text is None or grammar.is_lenient:
        return Opening()
    for text in _ends(_forced(grammar.text)):
        rest = compile_remainder(text, schema) if _is_told(text, schema) else None
        if rest is not None:
            return Opening(text, rest)
    return Opening()


def _forced(grammar: str) -> str:
    from llguidance import LLMatcher  # noqa: PLC0415

    found = LLMatcher(_bytes(), grammar, limits=limits()).compute_ff_bytes()
    return found.decode(errors="ignore")  # its last character may be half


@cache
def _bytes() -> LLTokenizer:
    from llguidance import LLTokenizer  # noqa: PLC0415

    return LLTokenizer("byte")


def _ends(forced: str) -> Iterator[str]:
    """Where the opening may end, the longest first."""
    yield forced
    if letters := _LETTERS.match(forced):
        yield letters[0]


def _is_told(text: str, schema: Schema) -> bool:
    """Whether the grammar of what remains says of all that is open what the schema says of it.

    `text` ends in a key, or in the opening quote of a string of which any text may follow.
    """
    scan = Scan(text)
    node: Node | None = schema.root
    for frame in scan.frames:
        if node is None or node.branches or not _says_only(node, _OF_CONTAINERS):
            return False
        node = node.member(frame.key) if frame.is_object else node.item(len(frame.value))
    if scan.pending.kind is Kind.STRING and not scan.pending.text:
        return node is not None and not node.branches and _says_only(node, _OF_TEXTS)
    return text[-1:].isalnum() and scan.pending.kind is Kind.LOOSE


def _says_only(node: Node, keywords: frozenset[str]) -> bool:
    return node.raw.keys() <= keywords
