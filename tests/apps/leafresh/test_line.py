"""A client that does what a browser's EventSource does when its line breaks."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2
import pytest

from leafstream.engines.scripted import Play, ScriptedEngine
from tests.apps.leafresh.between import bad_line
from tests.apps.leafresh.chatbot import ANSWER, BASE_INFO, READ, SOMEBODY, Sent, chatbot, text


async def persist(http: httpx2.AsyncClient) -> tuple[list[Sent], int]:
    """The events of one question over as many connections as it takes, and how many those were."""
    events: list[Sent] = []
    last, connections = "", 0
    while not events or events[-1].event == "challenge":
        connections += 1
        headers = {"Last-Event-ID": last} if last else {}
        try:
            async with http.stream("GET", BASE_INFO, params=SOMEBODY, headers=headers) as response:
                async for sent in httpx2.EventSource(response):
                    last = sent.id or last
                    if sent.data:
                        events.append(Sent(sent.id, sent.event, json.loads(sent.data)))
        except httpx2.TransportError:
            continue
    return events, connections


@pytest.mark.parametrize("breaks", [[520], [700, 900, 1100], [600] * 6, [519, 1400, 521]])
async def test_a_line_that_breaks_again_and_again_loses_nothing_and_tells_nothing_twice(
    tmp_path: Path, breaks: list[int]
) -> None:
    engine = ScriptedEngine(ANSWER, Play(delay=0.005, context_window=4096))
    async with (
        chatbot(tmp_path, engine) as served,
        bad_line(served.url) as (url, line),
        httpx2.AsyncClient(base_url=url, timeout=20, trust_env=False) as http,
    ):
        line.breaks = list(breaks)
        events, connections = await persist(http)
    assert line.num_broken == len(breaks)
    assert connections == len(breaks) + 1
    assert text(events) == READ
    assert events[-1].event == "close"
    assert len(engine.generations) == 1
