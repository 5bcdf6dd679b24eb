"""The real engine behind the whole server, for the rows that measure it."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from leafstream import Assistant
from leafstream.app import LeafstreamApp
from leafstream.engines.llamacpp import LlamaCppEngine, LlamaCppOptions
from leafstream.log.choice import open_storage
from leafstream.models.fetch import cache_folder, resolve
from leafstream.sampling import Sampling
from leafstream.served import Served
from leafstream.server import Listening, spare_collector
from leafstream.settings import Settings
from leafstream.store.conversations import Conversations

CHAT = {"chat": Assistant(sampling=Sampling(temperature=0.0))}


class Sitting(msgspec.Struct, frozen=True):
    url: str
    app: LeafstreamApp
    engine: LlamaCppEngine


@asynccontextmanager
async def sitting(
    options: LlamaCppOptions | None = None, **settings: Any
) -> AsyncIterator[Sitting]:
    """A server of a greedy plain-text assistant, `chat`, on the default model."""
    path = resolve("smollm2-135m", cache=cache_folder())
    engine = await LlamaCppEngine.open(path, options or LlamaCppOptions(name="smollm2-135m"))
    with tempfile.TemporaryDirectory() as folder:
        given = {"database_url": f"sqlite:///{folder}/bench.db", **settings}
        read = Settings(_env_file=None, **given)  # type: ignore[call-arg]
        store = await Conversations.open(read.database)
        app = LeafstreamApp(read, engine, Served(CHAT), store, await open_storage(read.answers))
        spare_collector()
        async with Listening(app) as url:
            yield Sitting(url, app, engine)


def row(name: str, case: str, ours: float, baseline: float | None, **more: Any) -> dict[str, Any]:
    """A line of the table; `target` is for ours / baseline, or for ours where `absolute`."""
    target, most = more.get("target"), more.get("most")
    ratio = None if baseline is None else ours / baseline
    holds = None
    if target is not None and ratio is not None:
        holds = ratio >= target
    if most is not None:
        target, holds = most, ours <= most
    return {
        "row": name,
        "case": case,
        "ours": round(ours, 3),
        "baseline": None if baseline is None else round(baseline, 3),
        "unit": more.get("unit", "s"),
        "ratio": None if ratio is None else round(ratio, 3),
        "target": target,
        "holds": holds,
    }
