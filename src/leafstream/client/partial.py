"""A Pydantic model that grows: what is written so far, as an instance of the answer's own type."""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, RootModel, TypeAdapter, ValidationError

from leafstream.decoder.value import Fold
from leafstream.events import Event, TextAppended, ValueSet
from leafstream.pointer import Json, split

M = TypeVar("M", bound=BaseModel)
_PLAIN = (str, int, float, bool, type(None))


class Partial(Generic[M]):
    """Folds events into snapshots of `model`.

    In a snapshot a field that is not there yet is None, or empty where it is a list, whatever the
    model says; nothing in it is validated but leaves that are no JSON (dates, enums), which are
    None until they are whole. A snapshot never changes; what did not grow is shared with the last.
    """

    def __init__(self, model: type[M]) -> None:
        self._model = model
        self._fold = Fold()
        self._snapshot: M = _built(model, {})

    @property
    def value(self) -> M:
        return self._snapshot

    def apply(self, event: Event) -> bool:
        """Take `event`; whether the value grew by it. Raises ValueError as Fold.apply does."""
        self._fold.apply(event)
        if not isinstance(event, TextAppended | ValueSet):
            return False
        value = self._fold.value
        self._snapshot = _grown(self._model, value or {}, self._snapshot, split(event.path))
        return True


def _grown(kind: Any, value: Json, before: Any, path: Sequence[str]) -> Any:
    """What `value` makes of `kind`; only what lies on `path` is built anew."""
    kind = _plain(kind, value)
    if path and isinstance(value, dict) and _is_record(kind) and type(before) is kind:
        return _grown_model(kind, value, before, path)
    if path and isinstance(value, list) and isinstance(before, list):
        index = int(path[0])
        old = before[index] if index < len(before) else None
        item = _grown(_item(kind), value[index], old, path[1:])
        return [*before[:index], item, *before[index + 1 :]]
    if path and isinstance(value, dict) and isinstance(before, dict):
        item = _grown(Any, value[path[0]], before.get(path[0]), path[1:])
        return {**before, path[0]: item}
    return _built(kind, value)


def _grown_model(kind: type[BaseModel], value: dict[str, Json], before: Any, path: Any) -> Any:
    name = _names(kind).get(path[0])
    if name is None:
        return before
    field = kind.model_fields[name]
    item = _grown(field.annotation, value[path[0]], getattr(before, name), path[1:])
    return before.model_copy(update={name: item})


def _built(kind: Any, value: Json) -> Any:
    kind = _plain(kind, value)
    if isinstance(kind, type) and issubclass(kind, RootModel):
        return kind.model_construct(_built(kind.model_fields["root"].annotation, value))
    if _is_record(kind):
        return _built_model(kind, value if isinstance(value, dict) else {})
    if isinstance(value, list):
        return [_built(_item(kind), item) for item in value]
    if isinstance(value, dict):
        return {key: _built(Any, item) for key, item in value.items()}
    if kind in _PLAIN or kind is Any:
        return value
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return None


def _is_record(kind: Any) -> bool:
    return (
        isinstance(kind, type) and issubclass(kind, BaseModel) and not issubclass(kind, RootModel)
    )


def _built_model(kind: type[BaseModel], value: dict[str, Json]) -> BaseModel:
    given: dict[str, Any] = {
        name: [] if get_origin(field.annotation) is list else None
        for name, field in kind.model_fields.items()
    }
    for key, name in _names(kind).items():
        if key in value:
            given[name] = _built(kind.model_fields[name].annotation, value[key])
    return kind.model_construct().model_copy(update=given)


def _names(kind: type[BaseModel]) -> dict[str, str]:
    """The names of the fields by what they are called in JSON."""
    aliases = {name: field.validation_alias for name, field in kind.model_fields.items()}
    return {alias if isinstance(alias, str) else name: name for name, alias in aliases.items()}


def _plain(kind: Any, value: Json) -> Any:
    """The type without its wrappers; of a union, the member that `value` is on the way to be."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0], value)
    if get_origin(kind) not in {Union, types.UnionType}:
        return kind
    options = [_plain(option, value) for option in get_args(kind)]
    models = [o for o in options if isinstance(o, type) and issubclass(o, BaseModel)]
    if not isinstance(value, dict) or not models:
        return next((o for o in options if o is not type(None) and o not in models), kind)
    return next((model for model in models if value.keys() <= _names(model).keys()), models[0])


def _item(kind: Any) -> Any:
    arguments = get_args(kind)
    return arguments[0] if get_origin(kind) is list and arguments else Any
