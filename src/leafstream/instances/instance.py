"""A named server on this machine: its folder, its lock, its state.

Theory of operation. The supervisor holds a lock on the `pid` file for as long as it lives, so
whether an instance runs is what the kernel says and never a number in a file. `state` is one block
that is written over in place: a disk that became full later cannot keep it from changing.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from pathlib import Path
from typing import Literal

import msgspec

from leafstream.errors import NotFound, SetupError

NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}")
STATE_BYTES = 4096
MESSAGE_CHARS = 1000

Phase = Literal["starting", "ready", "waiting", "stopping", "stopped", "failed"]


class State(msgspec.Struct, frozen=True):
    """What the supervisor says of its server; times are seconds since the epoch.

    `waiting`: it crashed and is started again soon. `starts` counts the servers started, `crashes`
    those of them that ended by themselves; `message` is the last thing that went wrong.
    """

    phase: Phase
    since: float
    supervisor: int = 0
    server: int = 0
    url: str = ""
    starts: int = 0
    crashes: int = 0
    message: str = ""
    log_trouble: str = ""
    stop_seconds: float = 0.0


class Instance:
    """The instance `name` in the state folder `root`; nothing is there before `prepare`."""

    def __init__(self, root: Path, name: str) -> None:
        if not NAME.fullmatch(name):
            raise SetupError(f"{name!r} is no name for an instance; use letters, digits, . _ and -")
        self.root = root
        self.name = name
        self.folder = root / "instances" / name
        self.log = self.folder / "log"

    @property
    def _pid(self) -> Path:
        return self.folder / "pid"

    @property
    def _state(self) -> Path:
        return self.folder / "state"

    def prepare(self) -> int:
        """Make the folder and take the lock; its file descriptor. Raises SetupError.

        The lock lives until the last process that inherited the descriptor has ended.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self._pid, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable(error) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise SetupError(self._already()) from None
        try:
            self._make_state()
        except OSError as error:
            self._state.unlink(missing_ok=True)
            os.close(lock)
            raise self._unusable(error) from None
        return lock

    def _unusable(self, error: OSError) -> SetupError:
        why = error.strerror or str(error)
        return SetupError(
            f"{self.folder} cannot be used: {why}; make room there or set LEAFSTREAM_STATE_FOLDER"
        )

    def _already(self) -> str:
        state = self.read()
        where = f" at {state.url}" if state.url else ""
        return (
            f"{self.name!r} is running already{where} (process {state.supervisor}); "
            f"`leafstream restart {self.name}` restarts it, another name starts another"
        )

    def _make_state(self) -> None:
        # Synced, since some file systems find out that they are full only then.
        state = os.open(self._state, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _write_over(state, _block(State("starting", time.time())))
            os.fsync(state)
        finally:
            os.close(state)

    def hold(self, lock: int, pid: int) -> None:
        """Write who holds the lock into the file that is locked."""
        os.ftruncate(lock, 0)
        os.pwrite(lock, b"%d\n" % pid, 0)

    def write(self, state: State) -> None:
        """Write the state over the old one."""
        file = os.open(self._state, os.O_WRONLY | os.O_CLOEXEC)
        try:
            _write_over(file, _block(state))
        finally:
            os.close(file)

    def read(self) -> State:
        """The state as it was written last. Raises NotFound where there never was one."""
        for _ in range(20):
            try:
                return msgspec.json.decode(self._state.read_bytes(), type=State)
            except FileNotFoundError:
                raise NotFound(f"there is no instance {self.name!r}; {self._others()}") from None
            except msgspec.DecodeError:
                time.sleep(0.005)  # read while it was being written
        raise SetupError(f"{self._state} is damaged; delete {self.folder}")

    def _others(self) -> str:
        names = ", ".join(other.name for other in instances(self.root))
        return f"there are: {names}" if names else "`leafstream up` starts one"

    def forget(self) -> None:
        """Remove what is kept of an instance that does not run. Raises NotFound."""
        if not self.folder.is_dir():
            raise NotFound(f"there is no instance {self.name!r}; {self._others()}")
        shutil.rmtree(self.folder)

    def is_running(self) -> bool:
        """Whether a process holds the lock."""
        try:
            lock = os.open(self._pid, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False


def _write_over(file: int, block: bytes) -> None:
    written = 0
    while written < len(block):  # a disk that is almost full takes a part
        written += os.pwrite(file, block[written:], written)


def _block(state: State) -> bytes:
    if len(state.message) > MESSAGE_CHARS:
        state = msgspec.structs.replace(state, message=state.message[:MESSAGE_CHARS] + "…")
    return msgspec.json.encode(state).ljust(STATE_BYTES)


def instances(root: Path) -> list[Instance]:
    """The instances that were started and not forgotten, by name."""
    found = (path.parent.name for path in (root / "instances").glob("*/state"))
    return [Instance(root, name) for name in sorted(found)]
