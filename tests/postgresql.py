"""A PostgreSQL of its own for a test, on a Unix socket only, that can be stopped and started."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.debian import PROGRAMS


class PostgresServer:
    def __init__(self, programs: Path, folder: Path) -> None:
        self._user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self._programs = programs
        self._folder = folder
        self._data = folder / "data"

    @property
    def url(self) -> str:
        return f"postgresql://leaf@/postgres?host={self._folder}"

    def make(self) -> None:
        if self._user:
            shutil.chown(self._folder, "postgres")
        initdb = [str(self._programs / "initdb"), "-D", str(self._data)]
        self._run(*initdb, "-U", "leaf", "-A", "trust", "-N")

    def start(self) -> None:
        options = f"-c listen_addresses='' -k {self._folder} -c max_connections=60"
        self._control("-o", options, "start")

    def stop(self) -> None:
        """As a crash would: no client is told."""
        self._control("-m", "immediate", "stop")

    def _control(self, *words: str) -> None:
        log = str(self._folder / "log")
        self._run(str(self._programs / "pg_ctl"), "-D", str(self._data), "-w", "-l", log, *words)

    def _run(self, *command: str) -> None:
        subprocess.run(
            [*self._user, *command], check=True, cwd=self._folder, stdout=subprocess.DEVNULL
        )


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A running server; skips the test where PostgreSQL is not installed."""
    program = PROGRAMS["postgresql"]()
    if program is None:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="leafstream-pg-"))
    server = PostgresServer(program.parent, folder)
    server.make()
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
