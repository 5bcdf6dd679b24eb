"""Debian packages that tests need: installed where they are missing and this user may."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

PROGRAMS: dict[str, Callable[[], Path | None]] = {
    "chromium-headless-shell": lambda: _which("chromium-headless-shell"),
    "postgresql": lambda: next(iter(Path("/usr/lib/postgresql").glob("*/bin/postgres")), None),
    "redis-server": lambda: _which("redis-server"),
    "libfaketime": lambda: next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None),
    "nginx-light": lambda: _which("nginx"),
}


def _which(name: str) -> Path | None:
    found = shutil.which(name)
    return None if found is None else Path(found)


def missing(packages: list[str]) -> list[str]:
    return [package for package in packages if PROGRAMS[package]() is None]


def install(packages: list[str]) -> None:
    """Install what is missing; without apt-get or root it says so and the tests skip."""
    wanted = missing(packages)
    if not wanted:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        sys.stderr.write(f"tests that need {', '.join(wanted)} will skip: install them by hand\n")
        return
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *wanted],
    ):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    install(sys.argv[1:] or list(PROGRAMS))
