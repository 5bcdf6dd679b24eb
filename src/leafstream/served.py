"""What `leafstream serve` serves: the assistants and faces of a Python file or a bundled app."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import msgspec

from leafstream.assistant import Assistant
from leafstream.errors import LeafstreamError, SetupError
from leafstream.faces.face import Face

if TYPE_CHECKING:
    from fastapi import APIRouter

    from leafstream.faces.parts import Parts

BUNDLED = ("default", "leafresh")


class Served(msgspec.Struct, frozen=True):
    """Assistants by name, and the routers and public paths of the faces declared with them."""

    assistants: dict[str, Assistant]
    routers: tuple[Callable[[Parts], APIRouter], ...] = ()
    public: tuple[str, ...] = ()


def read_served(source: str | Path | None = None) -> Served:
    """What a Python file declares, or a bundled app by name. Raises SetupError with the reason."""
    if source is None or str(source) in BUNDLED:
        return declared(importlib.import_module(f"leafstream.apps.{source or 'default'}"))
    return declared(_module(Path(source)))


def declared(module: ModuleType) -> Served:
    """The module-level assistants and faces. Raises SetupError where there is no assistant."""
    values = vars(module)
    assistants = {name: value for name, value in values.items() if isinstance(value, Assistant)}
    if not assistants:
        raise SetupError(
            f"{module.__file__} declares no assistant; write e.g. chat = Assistant(instructions=…)"
        )
    faces = [value for value in values.values() if isinstance(value, Face)]
    return Served(
        assistants,
        tuple(face.router for face in faces),
        tuple(path for face in faces for path in face.public),
    )


def _near(path: Path) -> str:
    """Which bundled app or file beside `path` may be meant."""
    beside = [str(file) for file in path.parent.glob("*.py")]
    close = difflib.get_close_matches(str(path), [*BUNDLED, *beside], n=1)
    return f"did you mean {close[0]}? Else " if close else ""


def _module(path: Path) -> ModuleType:
    if not path.is_file():
        raise SetupError(
            f"there is no file {path}; {_near(path)}give the Python file that declares assistants, "
            f"or one of: {', '.join(BUNDLED)}"
        )
    module = ModuleType(f"leafstream_assistants_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # pydantic looks up forward references there
    try:
        # Not through the import system: its cache takes an edit within a second for none.
        exec(compile(path.read_bytes(), path, "exec"), vars(module))  # noqa: S102 -- the user's own
    except LeafstreamError as error:
        raise SetupError(f"{path}: {error.message}") from error
    except Exception as error:
        raise SetupError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module
