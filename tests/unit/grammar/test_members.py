"""Members that a schema requires without declaring them."""

from __future__ import annotations

from leafstream.engines.grammar import compile_grammar
from leafstream.schema import Schema


def test_a_member_that_is_required_but_not_declared_is_in_the_grammar() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "b"]}
    grammar = compile_grammar(Schema.parse(schema))
    assert grammar.text is not None
    assert '"b"' in grammar.text
