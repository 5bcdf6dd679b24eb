"""From events back to the value: the reader's side of the protocol."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from leafstream.events import Event, TextAppended, ValueSet
from leafstream.pointer import Json, split


class Fold:
    """What a reader holds after the events applied so far.

    `apply` raises ValueError for an event that does not fit what is held. Values of events are
    never changed: a container is copied before something is put into it.
    """

    def __init__(self) -> None:
        self._base: list[Any] = []
        self._own: dict[int, Any] = {id(self._base): self._base}
        self._path: str | None = None
        self._text: list[str] = []
        self._holder: Any = self._base
        self._token: Any = 0

    @property
    def value(self) -> Json:
        self._settle()
        return self._base[0] if self._base else None

    def apply(self, event: Event) -> None:
        """Take `event`; all but `text` and `value` events say nothing about the value."""
        if isinstance(event, TextAppended):
            if event.path != self._path:
                self._grow(event.path)
            self._text.append(event.text)
        elif isinstance(event, ValueSet):
            self._settle()
            self._path = None
            self._set(event.path, event.value)

    def _settle(self) -> None:
        """Join the growing string once for all of its events since the last time."""
        if len(self._text) > 1:
            self._text = ["".join(self._text)]
            _place(self._holder, self._token, self._text[0])

    def _grow(self, path: str) -> None:
        self._settle()
        holder, token = self._at(path)
        held = _get(holder, token, "")
        if not isinstance(held, str):
            raise ValueError(f"text for {path!r}, which is no string")  # noqa: TRY004
        _place(holder, token, held)
        self._path, self._holder, self._token, self._text = path, holder, token, [held]

    def _set(self, path: str, value: Json) -> None:
        holder, token = self._at(path)
        if isinstance(value, dict | list) and not value:
            value = self._made(type(value)())
        old = _get(holder, token, None)
        _place(holder, token, value)
        if isinstance(old, dict | list):
            self._own.pop(id(old), None)

    def _at(self, path: str) -> tuple[Any, Any]:
        """The container and key or index that `path` names; what is on the way is made."""
        holder: Any = self._base
        token: Any = 0
        for step in split(path):
            inner = _get(holder, token, None)
            if inner is None:
                inner = self._made([] if _is_index(step) else {})
                _place(holder, token, inner)
            elif id(inner) not in self._own:
                inner = self._made(_copied(inner, path))
                _place(holder, token, inner)
            holder = inner
            token = _token(holder, step, path)
        return holder, token

    def _made(self, container: Any) -> Any:
        self._own[id(container)] = container
        return container


def fold(events: Iterable[Event]) -> Json:
    """What a reader holds after all of `events`. Raises ValueError as Fold.apply does."""
    reader = Fold()
    for event in events:
        reader.apply(event)
    return reader.value


def _is_index(token: str) -> bool:
    return token.isascii() and token.isdigit()


def _copied(inner: Any, path: str) -> Any:
    if not isinstance(inner, dict | list):
        raise ValueError(f"{path!r} leads through what is no container")  # noqa: TRY004
    return inner.copy()


def _token(holder: Any, step: str, path: str) -> Any:
    if isinstance(holder, dict):
        return step
    if not _is_index(step) or int(step) > len(holder):
        raise ValueError(f"{path!r} names no item of a list of {len(holder)}")
    return int(step)


def _get(holder: Any, token: Any, default: Any) -> Any:
    if isinstance(holder, dict):
        return holder.get(token, default)
    return holder[token] if token < len(holder) else default


def _place(holder: Any, token: Any, value: Any) -> None:
    if isinstance(holder, list) and token == len(holder):
        holder.append(value)
    else:
        holder[token] = value
