"""Schemas that come with requests, and what an answer leaves behind."""

from __future__ import annotations

import gc
import weakref

from leafstream.assistant import Inline
from leafstream.decoder.json import JsonDecoder


def test_the_same_schema_is_parsed_once_and_the_last_ones_are_kept() -> None:
    inline = Inline(size=2)
    first = inline.assistant({"type": "string", "maxLength": 1})
    second = inline.assistant({"type": "string", "maxLength": 2})
    assert inline.assistant({"type": "string", "maxLength": 1}) is first
    inline.assistant({"type": "string", "maxLength": 3})
    assert inline.assistant({"type": "string", "maxLength": 1}) is first
    assert inline.assistant({"type": "string", "maxLength": 2}) is not second


def test_a_decoder_goes_with_its_last_reference_and_waits_for_no_collector() -> None:
    gc.disable()
    try:
        decoder = JsonDecoder()
        decoder.feed('{"a": [1, "b"]}')
        decoder.finish()
        left = weakref.ref(decoder)
        del decoder
        assert left() is None
    finally:
        gc.enable()
