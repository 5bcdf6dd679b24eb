"""The texts that fuzzing found worth keeping, again."""

from __future__ import annotations

import json

from tests.fuzz.__main__ import CORPUS
from tests.fuzz.decoder import check


def test_every_text_of_the_fuzzers_corpus_keeps_every_promise() -> None:
    texts = [json.loads(line) for line in CORPUS.read_bytes().splitlines()]
    assert len(texts) > 300
    for text in texts:
        check(text)
