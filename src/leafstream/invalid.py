"""What pydantic finds wrong with a value, as a person says it."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any

# Of pydantic's error types (docs.pydantic.dev/latest/errors/validation_errors) those that input
# can bring about; {…} are of the error's context.
SENTENCES = {
    "missing": "is missing",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} items, not {actual_length}",
    "too_long": "must have at most {max_length} items, not {actual_length}",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "value_error": "is wrong: {error}",
    "finite_number": "must be a finite number",
}
# By the beginning of the type: string_type, int_parsing, model_type …
KINDS = {
    "string": "a text",
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "dict": "a JSON object",
    "model": "a JSON object",
    "path": "a path",
    "datetime": "a date and time",
    "date": "a date",
    "time": "a time",
    "url": "a URL",
    "uuid": "a UUID",
}
SHOWN = 40


def fault(error: Mapping[str, Any]) -> str:
    """What is wrong, to stand behind a field's name: "must be at most 65535"."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in SENTENCES:
        return SENTENCES[kind].format(**context)
    for beginning, meant in KINDS.items():
        if kind.startswith(f"{beginning}_"):
            return f"must be {meant}, not {_told(error['input'])}"
    message: str = error["msg"]
    return message.replace("Input should", "must", 1)


def _told(value: object) -> str:
    """A value by its kind where it is large, or not for one line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return repr(value) if len(value) <= SHOWN else "a text"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple):
        return "a list"
    return "an object" if isinstance(value, Mapping) else f"a {type(value).__name__}"


def near(name: str, known: Collection[str]) -> str:
    """ "did you mean NAME?", or which names there are."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(known)}"


def sentence(error: Mapping[str, Any], name: str, known: Collection[str] = ()) -> str:
    """The whole sentence about the field `name`; `known` are the fields there are."""
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        unknown = str(error["loc"][-1])
        hint = near(unknown, known) if len(error["loc"]) == 1 and known else ""
        return f"{name} is no field here" + (f"; {hint}" if hint else "")
    return f"{name or 'the body'} {fault(error)}"
