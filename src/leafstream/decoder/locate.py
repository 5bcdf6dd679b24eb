"""Where in a JSON text the value at a path begins."""

from __future__ import annotations

import re
from json import loads

from leafstream.pointer import join

_token = re.compile(r'[ \t\n\r]*("(?:[^"\\]|\\.)*"?|[\[\]{},:]|[^\s\[\]{},:"]+)', re.DOTALL).match


def start_of(text: str, path: str) -> int | None:
    """The offset of the first character of the value at `path` in strict JSON; None for no value.

    `text` may end anywhere.
    """
    stack: list[tuple[str, int | None]] = []
    here, at, is_key = "", 0, False
    while (found := _token(text, at)) is not None:
        mark, at = found[1], found.end()
        if is_key and mark[0] == '"':
            here, is_key = join(stack[-1][0], _decoded(mark)), False
        elif mark == ",":
            here = _next(stack)
            is_key = stack[-1][1] is None
        elif mark in "]}":
            here = stack.pop()[0] if stack else ""
        elif mark != ":":
            if here == path:
                return found.start(1)
            if mark in "[{":
                is_key = mark == "{"
                stack.append((here, None if is_key else 0))
                here = here if is_key else join(here, 0)
    return None


def _next(stack: list[tuple[str, int | None]]) -> str:
    """The path of what follows a comma."""
    container, index = stack[-1]
    if index is None:
        return ""
    stack[-1] = (container, index + 1)
    return join(container, index + 1)


def _decoded(mark: str) -> str:
    try:
        return str(loads(mark))
    except ValueError:
        return mark[1:]
