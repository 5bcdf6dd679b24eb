"""A check and what it finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from leafstream.served import Served
from leafstream.settings import Settings

Level = Literal["ok", "warning", "problem"]


class Finding(msgspec.Struct, frozen=True):
    """What a check found, and what to do about it where it is not ok."""

    level: Level
    message: str
    advice: str = ""

    @property
    def sentence(self) -> str:
        return f"{self.message}; {self.advice}" if self.advice else self.message


class Target(msgspec.Struct, frozen=True):
    """What is to be served; `served` where the assistants of `source` are read already."""

    settings: Settings
    source: str | None = None
    served: Served | None = None


class Check(msgspec.Struct, frozen=True):
    """`look` finds something or raises SetupError, which is a problem.

    A problem that a `fatal` check finds keeps a server from starting.
    """

    name: str
    look: Callable[[Target], Finding]
    fatal: bool = False


def ok(message: str) -> Finding:
    return Finding("ok", message)


def warning(message: str, advice: str) -> Finding:
    return Finding("warning", message, advice)


def problem(message: str, advice: str) -> Finding:
    return Finding("problem", message, advice)
