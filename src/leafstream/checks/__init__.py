"""What can be known before the port opens: the checks of `leafstream doctor` and of every start."""

from leafstream.checks.check import Finding, Target
from leafstream.checks.run import BEFORE_LOADING, CHECKS, look_at_all, refuse_fatal

__all__ = ["BEFORE_LOADING", "CHECKS", "Finding", "Target", "look_at_all", "refuse_fatal"]
