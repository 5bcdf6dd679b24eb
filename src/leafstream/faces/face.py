"""How an app brings a face of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from fastapi import APIRouter

    from leafstream.faces.parts import Parts


class Face(msgspec.Struct, frozen=True):
    """Routes that an app brings with its assistants: a module-level value of its file.

    Where keys are on, they are asked for everywhere but below the paths that are `public`.
    """

    router: Callable[[Parts], APIRouter]
    public: tuple[str, ...] = ()
