"""Typed answers from open models, streamed field by field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leafstream.assistant import Assistant, TextInput
    from leafstream.client import Client
    from leafstream.decoder.value import Fold
    from leafstream.grounds import Grounds
    from leafstream.sampling import Sampling

__version__ = "0.1.0"
__all__ = ["Assistant", "Client", "Fold", "Grounds", "Sampling", "TextInput", "__version__"]

_HOMES = {
    "Assistant": "leafstream.assistant",
    "Client": "leafstream.client",
    "Fold": "leafstream.decoder.value",
    "Grounds": "leafstream.grounds",
    "Sampling": "leafstream.sampling",
    "TextInput": "leafstream.assistant",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: the command line must not wait for what it does not need.
    if name not in _HOMES:
        raise AttributeError(f"module 'leafstream' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(_HOMES[name]), name)
