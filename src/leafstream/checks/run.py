"""All checks in the order in which they are told."""

from __future__ import annotations

from collections.abc import Iterator

from leafstream.checks import folder, machine, service
from leafstream.checks.check import Check, Finding, Target
from leafstream.errors import SetupError

CHECKS = (
    Check("packages", machine.packages, fatal=True),
    Check("processor", machine.processor),
    Check("GPU", machine.gpu),
    Check("disk", machine.disk, fatal=True),
    Check("temp folder", machine.temp, fatal=True),
    Check("open files", machine.files),
    Check("clock", machine.clock),
    Check("port", service.port, fatal=True),
    Check("callers", service.callers, fatal=True),
    Check("assistants", service.assistants, fatal=True),
    Check("grammars", service.grammars),
    Check("libraries", folder.libraries, fatal=True),
    Check("model", service.model, fatal=True),
    Check("upstreams", service.upstreams),
    Check("chat template", service.template, fatal=True),
    Check("memory", service.memory, fatal=True),
    Check("conversations", service.database, fatal=True),
    Check("answers", service.answers, fatal=True),
    Check("traces", service.traces, fatal=True),
)

# The start opens the conversations itself, beside the load of the model, and says the same of them.
BEFORE_LOADING = tuple(check for check in CHECKS if check.look is not service.database)


def look_at_all(target: Target) -> Iterator[tuple[Check, Finding]]:
    """Every check with what it found, as soon as it did."""
    for check in CHECKS:
        yield check, look(check, target)


def look(check: Check, target: Target) -> Finding:
    try:
        return check.look(target)
    except SetupError as error:
        return Finding("problem", error.message)


def refuse_fatal(target: Target, checks: tuple[Check, ...] = CHECKS) -> None:
    """Raises SetupError with the first problem that keeps a server from starting."""
    for check in checks:
        if check.fatal and (found := look(check, target)).level == "problem":
            raise SetupError(found.sentence)
