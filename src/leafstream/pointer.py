"""JSON values and JSON Pointers (RFC 6901)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
    """Any JSON value."""
else:
    Json = Any  # msgspec and pydantic cannot resolve the recursive alias


def join(base: str, token: str | int) -> str:
    """The pointer to member or item `token` of the container at `base`."""
    if isinstance(token, int):
        return f"{base}/{token}"
    if "~" in token or "/" in token:
        token = token.replace("~", "~0").replace("/", "~1")
    return f"{base}/{token}"


def split(path: str) -> list[str]:
    """The unescaped tokens of a pointer; [] for the root."""
    if not path:
        return []
    if path[0] != "/":
        raise ValueError(f"a JSON Pointer is empty or begins with a slash, not {path!r}")
    return [token.replace("~1", "/").replace("~0", "~") for token in path[1:].split("/")]
