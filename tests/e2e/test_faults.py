"""The short forms of `make faults`: the long ones are in docs/reliability.md."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from bench.faults import ROWS

NEEDS: dict[str, Callable[[], object]] = {
    "kills": lambda: shutil.which("redis-server"),
    "redis": lambda: shutil.which("redis-server"),
    "disk": lambda: os.geteuid() == 0,
    "clock": lambda: next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None),
}


@pytest.mark.parametrize("name", [name for name in ROWS if name != "soak"])
@pytest.mark.timeout(300)
async def test_nothing_is_lost_doubled_or_changed_when_it_breaks(name: str) -> None:
    if name in NEEDS and not NEEDS[name]():
        pytest.skip(f"this machine has not what the row {name!r} needs")
    row = await ROWS[name](short=True)
    assert row["holds"], row
