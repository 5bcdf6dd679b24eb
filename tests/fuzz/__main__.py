"""Fuzzes the decoder from its corpus and keeps in it what reaches new code.

    pip install -e '.[fuzz]' && python -m tests.fuzz 600

The argument is in seconds. A text that breaks a promise is printed, and the exit status is 1.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.decoder import TOKENS

CORPUS = Path(__file__).parents[1] / "data" / "fuzz.jsonl"
"""One input a line, as a JSON string."""
MAX_BYTES = 400


def unpack(folder: Path) -> None:
    for number, line in enumerate(CORPUS.read_bytes().splitlines()):
        (folder / f"{number:05}").write_bytes(json.loads(line).encode())


def pack(folder: Path) -> None:
    texts = {path.read_bytes().decode("utf-8", "ignore") for path in folder.iterdir()}
    ordered = sorted(texts, key=lambda text: (len(text), text))
    CORPUS.write_text("".join(f"{json.dumps(text, ensure_ascii=False)}\n" for text in ordered))


def main(seconds: int) -> int:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        found, least, words, target = (root / n for n in ("found", "least", "words", "target"))
        found.mkdir()
        least.mkdir()
        unpack(found)
        words.write_text("".join(f'"{_escaped(token)}"\n' for token in TOKENS))
        # A file of its own, since libFuzzer starts itself again where it merges.
        target.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.fuzz.target "$0" "$@"\n')
        target.chmod(0o700)
        options = f"-max_len={MAX_BYTES}", f"-artifact_prefix={root}/"
        is_well = _run(target, f"-max_total_time={seconds}", f"-dict={words}", *options, found)
        is_well = is_well and _run(target, "-merge=1", *options, least, found)
        if is_well:
            pack(least)
        for path in (*root.glob("crash-*"), *root.glob("timeout-*")):
            print(f"this text broke a promise: {path.read_bytes().decode('utf-8', 'ignore')!r}")
    return 0 if is_well else 1


def _run(*command: str | Path) -> bool:
    return subprocess.run(command, check=False).returncode == 0


def _escaped(token: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in token.encode())


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
