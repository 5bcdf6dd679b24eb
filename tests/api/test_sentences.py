"""What is wrong is said in a sentence that helps, and in no library's words."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from leafstream import Assistant
from leafstream.engines.scripted import Play, ScriptedEngine
from tests.house import chat, house, pair
from tests.operating import Machine, machine
from tests.rude_server import Answer, RudeServer, serving

# Pydantic's phrases, and names of classes.
FOREIGN = re.compile(r"Input should|Field required|Extra inputs|instance of|anyOf|[a-z][A-Z][a-z]+")


class Place(BaseModel):
    city: str
    floor: int = 0
    street: str


class Question(BaseModel):
    question: str
    tries: int = 1


ASSISTANTS = {
    "pair": pair,
    "chat": chat,
    "place": Assistant(pair._model or str, input=Place),
    "question": Assistant(input=Question),
}
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"title": {"type": "string"}}}

SAID: dict[str, tuple[Any, str]] = {
    "a text for an assistant with fields": (
        {"assistant": "place", "input": "Hello"},
        "input is an object with the fields: city, floor, street",
    ),
    "a list as the body": ([], "the body must be a JSON object, not a list"),
    "a text as the body": ("x", "the body must be a JSON object, not 'x'"),
    "a field with a slip": (
        {"assistent": "pair", "input": "x"},
        "assistent is no field here; did you mean assistant?",
    ),
    "a field that is missing": ({"assistant": "pair"}, "input is missing"),
    "a field of an input that is missing": (
        {"assistant": "place", "input": {"city": "Seoul"}},
        "input.street is missing",
    ),
    "a number for a text": (
        {"assistant": "place", "input": {"city": 3, "street": "x"}},
        "input.city must be a text, not 3",
    ),
    "a text for a number": (
        {"assistant": "pair", "input": "x", "max_tokens": "many"},
        "max_tokens must be a whole number, not 'many'",
    ),
    "a number that is too small": (
        {"assistant": "pair", "input": "x", "temperature": -1},
        "temperature must be at least 0",
    ),
    "a type with a slip": (
        {"schema": {"type": "objekt"}, "input": "x"},
        '"objekt" is no type; did you mean object? The types are object, array, string, ',
    ),
    "one of several types with a slip": (
        {"schema": {**SCHEMA, "properties": {"a": {"type": ["strng", "null"]}}}, "input": "x"},
        '"strng" is no type; did you mean string?',
    ),
    "a type that is none": ({"schema": {"type": 3}, "input": "x"}, "3 is no type; The types are"),
}


async def test_a_refusal_says_what_to_do_in_our_own_words(tmp_path: Path) -> None:
    async with house(tmp_path, assistants=ASSISTANTS) as served:
        for case, (body, says) in SAID.items():
            response = await served.http.post("/v1/answers", content=json.dumps(body))
            message = response.json()["error"]["message"]
            assert response.status_code == 422, case
            assert message.startswith(says), case
            assert not FOREIGN.search(message), message


NOT_SERVED = {
    ("GET", "/v1/answer"): "no path /v1/answer; did you mean /v1/answers? /docs describes",
    ("GET", "/nothing"): "there is no path /nothing; /docs describes those there are",
    ("DELETE", "/v1/answers"): "/v1/answers does not take DELETE; it takes POST",
    ("GET", "/v1/conversations?limit=0"): "limit must be at least 1",
    ("GET", "/v1/answers/a/events?after=x"): "after must be a whole number, not 'x'",
}


async def test_a_path_that_is_not_served_is_told_with_the_nearest(tmp_path: Path) -> None:
    async with house(tmp_path) as served:
        for (method, path), says in NOT_SERVED.items():
            response = await served.http.request(method, path)
            assert says in response.json()["error"]["message"]


async def test_a_text_alone_is_the_one_field_that_an_input_needs(tmp_path: Path) -> None:
    async with house(tmp_path, assistants=ASSISTANTS) as served:
        answer = await served.begin({"assistant": "question", "input": "Why?"})
        ask = (await served.app.runs.opening(answer, "")).ask
        told = (await served.http.get("/v1/assistants")).json()["data"]
    assert ask.messages[-1].content == "question: Why?\ntries: 1"
    fields = {each["name"]: each["text_field"] for each in told}
    assert fields == {"pair": "message", "chat": "message", "place": None, "question": "question"}


@pytest.fixture(name="here")
def _here(tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("serve", "--port", "99999"), "--port 99999 cannot be used: it must be at most 65535"),
        (("serve", "lefresh"), "there is no file lefresh; did you mean leafresh? Else give the"),
        (("serve", "assistant.py"), "did you mean assistants.py? Else give the Python file"),
        (("explain", "chat"), "--prompt NAME what the model reads of it"),
        (("explain", "--assistant", "chit"), "there is no assistant 'chit'; there are: challenges"),
        (("explain", "--conversation", "c"), "--conversation goes with --prompt only"),
        (
            ("ask", "chat", "go", "--url", "localhost:8000"),
            "'localhost:8000' is no URL of a server",
        ),
        (("chat", "--url", "http://[::1"), "give http://host:port as --url or LEAFSTREAM_URL"),
        (("top", "--url", "http://me:sesame@[::1"), "'http://me:***@[::1' is no URL of a server"),
        (("top", "--url", "http://host:99999"), "is no URL of a server"),
        (("ask", "chat", "go", "--url", "http://me:sesame@127.0.0.1:9"), "at http://me:***@127"),
    ],
)
def test_a_command_that_cannot_be_done_is_one_sentence(
    here: Machine, arguments: tuple[str, ...], says: str
) -> None:
    done = here.run(*arguments)
    assert done.code in (1, 2)
    assert says in done.sentence
    assert not FOREIGN.search(done.err), done.err


def test_an_option_that_is_no_number_is_told_in_our_words(here: Machine) -> None:
    done = here.run("serve", "--port", "many")
    assert done.code == 2
    assert "it must be a whole number, not 'many'" in done.err
    assert "Input should" not in done.err


def test_the_version_is_told_by_an_option_as_by_the_command(here: Machine) -> None:
    assert here.run("--version").out == here.run("version").out == "0.1.0\n"


def test_a_text_is_asked_as_it_stands(here: Machine) -> None:
    url = here.up("main", "assistants.py")
    assert (
        here.run("ask", "pair", "Hello there", "--url", url).out == "title: Bring a cup\ncount: 3\n"
    )
    assert "quote a text of several words" in here.run("ask", "pair", "a", "b", "--url", url).err
    slip = here.run("ask", "pair", "--mesage", "x", "--url", url)
    assert "--mesage is no field of this assistant; did you mean --message?" in slip.sentence


async def test_what_is_asked_into_a_pipe_that_closes_ends_quietly(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    engine = ScriptedEngine("word " * 100, Play(delay=0.01))
    try:
        async with house(tmp_path, engine) as served:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "leafstream", "ask", "chat", "go", "--url", served.url),
                stdout=writing,
                stderr=asyncio.subprocess.PIPE,
            )
            _, said = await asyncio.wait_for(process.communicate(), 30)
    finally:
        os.close(writing)
    assert (process.returncode, said.decode()) == (1, "")


@pytest.mark.parametrize("arguments", [("ask", "chat", "go"), ("top", "--once")])
async def test_a_web_page_where_a_server_should_be_is_told(
    here: Machine, arguments: tuple[str, ...]
) -> None:
    page = Answer((b"<html></html>",), kind="text/html")
    server = RudeServer({"/healthz": [page], "/readyz": [page]})
    async with serving(server):
        done = await asyncio.to_thread(here.run, *arguments, "--url", server.url)
    assert re.search("no leafstream server", done.sentence)


def test_a_server_that_is_told_to_stop_says_so(here: Machine) -> None:
    with here.popen("serve", "assistants.py", "--port", "0") as server:
        assert server.stdout is not None
        server.stdout.readline()
        server.send_signal(signal.SIGINT)
        said = server.stdout.read()
    assert "INFO leafstream.server: stopping; no answer is running" in said
