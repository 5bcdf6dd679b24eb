"""`/client.js` in Node: the same events, the same fold, the same patience as the Python client."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from leafstream.client import Client
from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.events import Finished, Started
from tests.house import ASK_PAIR, house
from tests.web.wire import wire

HERE = Path(__file__).parent
CLIENT = HERE.parents[1] / "src" / "leafstream" / "web" / "client.js"
GOLDEN = HERE.parent / "data" / "fold.jsonl"
TITLE = "Bring a cup, a bag and a box. " * 2
LONG = json.dumps({"title": TITLE[:80], "count": 3})

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="no node here: client.js is not run")


async def node(script: str, *arguments: str, client: Path = CLIENT) -> Any:
    """What a script prints, as JSON; its error output where it fails."""
    assert NODE is not None
    process = await asyncio.create_subprocess_exec(
        NODE,
        str(HERE / script),
        client.as_uri(),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return json.loads(out)


async def test_the_golden_events_fold_to_the_golden_values() -> None:
    assert await node("fold.mjs", str(GOLDEN)) == len(GOLDEN.read_text().splitlines())


async def test_frames_come_whole_out_of_pieces() -> None:
    assert await node("frames.mjs") > 100


async def test_an_answer_is_read_to_its_end(tmp_path: Path) -> None:
    async with house(tmp_path, ScriptedEngine(LONG)) as served:
        told = await node("ask.mjs", served.url, "pair", "go")
    assert told["end"] == "finished"
    assert told["value"] == json.loads(LONG)


async def test_the_one_file_that_the_server_gives_works_alone(tmp_path: Path) -> None:
    copied = tmp_path / "client.mjs"
    async with house(tmp_path, ScriptedEngine(LONG)) as served:
        copied.write_bytes((await served.http.get("/client.js")).content)
        told = await node("ask.mjs", served.url, "pair", "go", client=copied)
        assert await node("fold.mjs", str(GOLDEN), client=copied) > 0
    assert told["value"] == json.loads(LONG)
    assert "events.js" not in copied.read_text()


async def test_an_answer_goes_on_from_what_was_kept_of_it(tmp_path: Path) -> None:
    engine = ScriptedEngine(list(LONG), Play(delay=0.01))
    async with house(tmp_path, engine) as served:
        told = await node("kept.mjs", served.url, "pair", "go")
    assert told["value"] == json.loads(LONG)
    assert told["held"] == {"title": TITLE[: len(told["held"]["title"])]}
    assert told["first"] > told["kept"] >= 10


async def test_nothing_follows_the_end_of_an_answer(tmp_path: Path) -> None:
    async with house(tmp_path) as served:
        events = await served.stream(ASK_PAIR)
        started = events[0][1]
        assert isinstance(started, Started)
        told = await asyncio.wait_for(
            node("follow.mjs", served.url, started.id, str(events[-1][0])), 10
        )
    assert told == {"numbers": [], "end": None, "error": "conflict"}


async def test_a_refusal_tells_its_field(tmp_path: Path) -> None:
    async with house(tmp_path) as served:
        told = await node("ask.mjs", served.url, "nobody", "go")
    assert told == {"numbers": [], "error": "not_found", "status": 404, "param": "assistant"}


async def test_a_server_that_is_not_there_is_told() -> None:
    told = await node("ask.mjs", "http://127.0.0.1:9", "pair", "go")
    assert told["error"] == "unreachable"


async def test_a_connection_that_breaks_after_a_long_silence_is_asked_for_again() -> None:
    assert await node("patience.mjs") == {"value": "ok", "requests": 3, "error": "unreachable"}


@pytest.mark.parametrize("behaviour", ["breaks", "hangs up"])
async def test_a_server_that_only_takes_connections_is_given_up(behaviour: str) -> None:
    told = await node("again.mjs", behaviour)
    assert told["code"] == "unreachable"
    assert 3 <= told["requests"] <= 8


async def test_who_comes_back_is_told_when_to_and_waits_that_long() -> None:
    told = await node("again.mjs", "asks to wait")
    assert (told["value"], told["requests"]) == ("ok", 2)
    assert told["waited"] >= 1000


async def test_what_takes_longer_than_the_patience_is_not_waited_for() -> None:
    told = await node("again.mjs", "asks for patience")
    assert (told["retryAfter"], told["requests"]) == (60, 1)


async def test_an_answer_that_failed_says_when_to_ask_again() -> None:
    told = await node("again.mjs", "fails")
    assert (told["code"], told["retryAfter"]) == ("engine_unavailable", 7.5)


async def test_an_answer_that_is_cancelled_before_the_reply_ends_quietly() -> None:
    error = {"name": "LeafstreamError", "code": "cancelled"}
    assert await node("leave.mjs") == {"num": 0, "error": error}


async def test_a_wire_that_breaks_again_and_again_loses_nothing(tmp_path: Path) -> None:
    engine = ScriptedEngine(list(LONG), Play(delay=0.01))
    async with house(tmp_path, engine) as served, wire(served.url, 1200) as (url, broken):
        told = await node("ask.mjs", url, "pair", "go")
    assert told["value"] == json.loads(LONG)
    assert told["numbers"] == sorted(set(told["numbers"]))
    assert broken.cuts >= 2
    assert len(engine.generations) == 1


async def test_the_python_client_stands_the_same_wire(tmp_path: Path) -> None:
    engine = ScriptedEngine(list(LONG), Play(delay=0.01))
    async with (
        house(tmp_path, engine) as served,
        wire(served.url, 1200) as (url, broken),
        Client(url) as client,
    ):
        events = [event async for event in client.ask("pair", {"message": "go"})]
    assert isinstance(events[-1], Finished)
    assert events[-1].value == json.loads(LONG)
    assert broken.cuts >= 2
    assert len(engine.generations) == 1
