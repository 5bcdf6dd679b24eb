"""Schemas that come with requests, and what an answer leaves behind."""

from __future__ import annotations

import gc
import weakref

from leafstream.assistant import MAX_INLINE, Inline
from leafstream.decoder.json import JsonDecoder


async def test_the_same_schema_is_parsed_once_and_the_last_ones_are_kept() -> None:
    inline = Inline()
    first = await inline.find({"type": "string", "maxLength": 1})
    assert await inline.find({"type": "string", "maxLength": 1}) is first
    for length in range(2, 2 + MAX_INLINE):
        await inline.find({"type": "string", "maxLength": length})
    assert await inline.find({"type": "string", "maxLength": 1}) is not first


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
