"""Closings of texts as strict mode tells them."""

from __future__ import annotations

from leafstream.decoder.closing import Closer, Closing
from leafstream.decoder.json import JsonDecoder
from leafstream.pointer import Json
from leafstream.schema import Schema


def told(prefix: str, schema: Schema | None = None) -> Json:
    """What a client holds of `prefix`."""
    decoder = JsonDecoder(schema, strict=True, max_depth=100_000)
    decoder.feed(prefix)
    return decoder.value


def close(prefix: str, schema: Schema | None = None) -> Closing:
    return Closer(schema).close(prefix, told(prefix, schema))
