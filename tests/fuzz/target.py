"""The decoder under libFuzzer: `python -m tests.fuzz` runs it.

Arguments are the file that starts it, and libFuzzer's own.
"""

from __future__ import annotations

import sys

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

with atheris.instrument_imports(include=["leafstream"]):
    from tests.fuzz.decoder import check


def one_input(data: bytes) -> None:
    check(data.decode("utf-8", "ignore"))


if __name__ == "__main__":
    atheris.Setup(sys.argv[1:], one_input)
    atheris.Fuzz()
