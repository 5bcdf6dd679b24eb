"""Starting, restarting and stopping instances from another process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import msgspec

from leafstream.errors import NotFound, SetupError
from leafstream.instances.instance import Instance, State
from leafstream.instances.supervisor import Order
from leafstream.settings import Settings
from leafstream.stopping import STOP_SECONDS, SUPERVISOR_SECONDS

POLL_SECONDS = 0.05

Told = Callable[[State], None]
"""Called again and again while something is waited for."""


def start(instance: Instance, arguments: list[str], settings: Settings) -> None:
    """Start an instance of `leafstream serve ARGUMENTS` in a session of its own.

    Raises SetupError where it runs already or its folder cannot be written.
    """
    lock = instance.prepare()
    serve = [sys.executable, "-m", "leafstream", "serve", *arguments]
    order = Order(
        root=str(instance.root),
        name=instance.name,
        command=serve,
        log_format=settings.log_format,
        log_bytes=settings.log_bytes,
        log_files=settings.log_files,
        stop_seconds=stop_seconds(settings),
    )
    command = [sys.executable, "-m", "leafstream.instances.supervisor"]
    try:
        with instance.log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 -- ourselves
                [*command, msgspec.json.encode(order).decode()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(lock,),
            )
        instance.hold(lock, process.pid)
    finally:
        os.close(lock)


def stop_seconds(settings: Settings) -> float:
    """How long a server that was told to stop may take before it is killed."""
    return settings.drain_seconds + STOP_SECONDS


def wait_ready(instance: Instance, told: Told, after: int = 0) -> State:
    """The state once a server after the `after`-th is ready. Raises SetupError with why not."""
    for state in _states(instance, told):
        if state.phase == "ready" and state.starts > after:
            return state
        if state.phase == "waiting":
            raise SetupError(f"{state.message}; it is started again, `leafstream status` says how")
    state = instance.read()
    raise SetupError(state.message or f"{instance.name!r} ended; `leafstream logs {instance.name}`")


def restart(instance: Instance, told: Told) -> State:
    """End the server as it ends on SIGTERM and start it again, with the environment of `up`."""
    before = _running(instance)
    os.kill(before.supervisor, signal.SIGHUP)
    return wait_ready(instance, told, before.starts)


def stop(instance: Instance, told: Told) -> None:
    """End an instance: open answers get their last event. Raises NotFound, SetupError."""
    state = _running(instance)
    os.kill(state.supervisor, signal.SIGTERM)
    deadline = time.monotonic() + state.stop_seconds + SUPERVISOR_SECONDS
    for _ in _states(instance, told):
        if time.monotonic() > deadline:
            raise SetupError(f"process {state.supervisor} does not end; kill -9 {state.supervisor}")


def _running(instance: Instance) -> State:
    """The state of a running instance. Raises NotFound with what is known of one that is not."""
    for state in _states(instance, lambda _: None):
        if state.supervisor:
            return state
    raise NotFound(f"{instance.name!r} is not running; {_how_it_ended(instance.read())}")


def _how_it_ended(state: State) -> str:
    if state.phase not in ("stopped", "failed"):
        return f"its process {state.supervisor} ended without saying goodbye"
    return f"it {state.phase}" + (f": {state.message}" if state.message else "")


def _states(instance: Instance, told: Told) -> Iterator[State]:
    """The state now and every few milliseconds, for as long as the instance runs."""
    while True:
        running, state = instance.is_running(), instance.read()
        if not running:
            return
        told(state)
        yield state
        time.sleep(POLL_SECONDS)
