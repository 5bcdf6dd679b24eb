"""Promises about who may ask, read and listen, against the running server."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from fastapi import APIRouter

from leafstream.engines.scripted import Play, ScriptedEngine
from leafstream.errors import SetupError
from leafstream.faces.parts import Parts
from leafstream.keys import add_key, remove_key
from leafstream.port import check_exposure
from leafstream.served import Served, read_served
from leafstream.settings import Settings
from tests.house import ASK_PAIR, ASSISTANTS, STREAM, House, house


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def status(served: House, method: str, path: str, key: str | None = None) -> int:
    headers = bearer(key) if key else {}
    body = {"assistant": "chat"} if method == "POST" else None
    return (await served.http.request(method, path, headers=headers, json=body)).status_code


async def test_without_a_key_nothing_is_told_and_with_one_only_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    mine, yours = add_key(file, "mine"), add_key(file, "yours")
    assert mine.split("_")[2] not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    async with house(tmp_path, keys_file=file) as served:
        for wrong in (None, "lf_x_y", mine[:-1], mine + "x", "nonsense"):
            refused = await served.http.post(
                "/v1/answers", json=ASK_PAIR, headers=bearer(wrong) if wrong else {}
            )
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
        told = await served.http.post("/v1/answers", json=ASK_PAIR, headers=bearer(mine))
        answer = told.json()["id"]
        made = await served.http.post(
            "/v1/conversations", json={"assistant": "chat"}, headers=bearer(mine)
        )
        conversation = made.json()["id"]
        for path in (f"/v1/answers/{answer}", f"/v1/answers/{answer}/events"):
            assert await status(served, "GET", path, mine) == 200
            assert await status(served, "GET", path, yours) == 404
        for method, path in (
            ("POST", f"/v1/answers/{answer}/cancel"),
            ("GET", f"/v1/conversations/{conversation}"),
            ("GET", f"/v1/conversations/{conversation}/export"),
            ("DELETE", f"/v1/conversations/{conversation}"),
        ):
            assert await status(served, method, path, yours) == 404
        listed = await served.http.get("/v1/conversations", headers=bearer(yours))
        assert listed.json() == {"data": []}
        asked = {"assistant": "chat", "input": "go", "conversation": conversation}
        foreign = await served.http.post("/v1/answers", json=asked, headers=bearer(yours))
        assert foreign.status_code == 404
        assert await status(served, "GET", f"/v1/conversations/{conversation}", mine) == 200
        assert (await served.http.get("/healthz")).status_code == 200


async def test_the_same_idempotency_key_of_two_callers_is_two_answers(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    keys = [add_key(file, name) for name in ("a", "b")]
    async with house(tmp_path, keys_file=file) as served:
        told = [
            await served.http.post(
                "/v1/answers", json=ASK_PAIR, headers={**bearer(key), "Idempotency-Key": "same"}
            )
            for key in (*keys, keys[0])
        ]
    first, second, again = (response.json()["id"] for response in told)
    assert first != second
    assert again == first


async def test_scopes_and_rates_and_a_removed_key_are_heeded(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    watcher = add_key(file, "watcher", ["metrics"])
    slow = add_key(file, "slow", per_minute=2)
    async with house(tmp_path, keys_file=file) as served:
        assert await status(served, "GET", "/v1/assistants", watcher) == 403
        told = [await status(served, "GET", "/v1/assistants", slow) for _ in range(3)]
        assert told == [200, 200, 429]
        remove_key(file, "slow")
        await asyncio.sleep(1.1)
        assert await status(served, "GET", "/v1/assistants", slow) == 401


async def test_a_file_of_keys_that_is_deleted_revokes_them_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys.json"
    key = add_key(file, "somebody")
    async with house(tmp_path, keys_file=file) as served:
        assert await status(served, "GET", "/v1/assistants", key) == 200
        kept = file.read_bytes()
        file.unlink()
        await asyncio.sleep(1.1)
        assert await status(served, "GET", "/v1/assistants", key) == 401
        assert f"there is no file of keys {file}" in caplog.text
        file.write_bytes(kept)
        await asyncio.sleep(1.1)
        assert await status(served, "GET", "/v1/assistants", key) == 200


async def test_a_file_of_keys_that_cannot_be_read_for_a_moment_is_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys.json"
    key, other = add_key(file, "somebody"), add_key(file, "another")
    async with house(tmp_path, keys_file=file) as served:
        remove_key(file, "somebody")
        whole, stamp = file.read_bytes(), file.stat().st_mtime_ns
        file.write_bytes(whole.replace(b"[", b"{", 1))
        os.utime(file, ns=(stamp, stamp))
        await asyncio.sleep(1.1)
        assert await status(served, "GET", "/v1/assistants", other) == 200
        assert "cannot be read" in caplog.text
        # The same size and time: only who tries again notices.
        file.write_bytes(whole)
        os.utime(file, ns=(stamp, stamp))
        await asyncio.sleep(1.1)
        assert await status(served, "GET", "/v1/assistants", key) == 401
        assert await status(served, "GET", "/v1/assistants", other) == 200


async def test_a_caller_with_its_share_of_answers_is_told_to_wait(tmp_path: Path) -> None:
    slow = ScriptedEngine("again and " * 200, Play(delay=0.05))
    async with house(tmp_path, slow, share=1) as served:
        await served.begin({"assistant": "chat", "input": "go"})
        refused = await served.http.post("/v1/answers", json=ASK_PAIR, headers=STREAM)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    # Without keys there are no callers to tell apart: it may have been another's answer.
    assert "1 of all callers' answers" in refused.json()["error"]["message"]


async def test_what_an_app_brings_asks_for_a_key_too_but_for_its_pages(tmp_path: Path) -> None:
    def router(_: Parts) -> APIRouter:
        routes = APIRouter()
        routes.add_api_route("/recommend", lambda: {"secret": 1})
        routes.add_api_route("/hello/page", lambda: {"public": 1})
        return routes

    file = tmp_path / "keys.json"
    key = add_key(file, "me")
    served_by = Served(ASSISTANTS, (router,), ("/hello",))
    async with house(tmp_path, served=served_by, keys_file=file) as served:
        assert await status(served, "GET", "/recommend") == 401
        assert await status(served, "GET", "/recommend", key) == 200
        assert await status(served, "GET", "/hello/page") == 200
        assert await status(served, "GET", "/metrics") == 401
        assert await status(served, "GET", "/") == 200


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost:8000"}, 200),
        ({"Origin": "http://["}, 403),
        ({"Host": "["}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
    ],
)
async def test_a_page_of_another_site_cannot_use_a_browser_to_ask(
    tmp_path: Path, headers: dict[str, str], expected: int
) -> None:
    async with house(tmp_path) as served:
        told = await served.http.get("/v1/assistants", headers=headers)
        own = await served.http.get("/v1/assistants", headers={"Origin": served.url})
    assert told.status_code == expected
    assert own.status_code == 200
    assert "access-control-allow-origin" not in told.headers


async def test_a_picture_on_another_sites_page_starts_no_answer(tmp_path: Path) -> None:
    engine = ScriptedEngine("{}")
    sent = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    async with house(tmp_path, engine, served=read_served("leafresh")) as served:
        asked = "/ai/chatbot/recommendation/free-text?sessionId=s&message=텀블러를 쓰고 싶어요"
        told = await served.http.get(asked, headers=sent)
        link = await served.http.get("/leafresh", headers=sent)
    assert (told.status_code, told.json()["error"]["code"]) == (403, "forbidden")
    assert link.status_code == 200  # a page holds nobody's data and starts nothing
    assert engine.generations == []


async def test_a_path_that_is_none_is_404_whatever_host_it_is_asked_of(tmp_path: Path) -> None:
    async with house(tmp_path) as served:
        told = await served.http.get("/nowhere", headers={"Host": "["})
    assert (told.status_code, told.json()["error"]["code"]) == (404, "not_found")


async def test_a_site_that_is_named_may_call_and_no_other(tmp_path: Path) -> None:
    site = "https://leaf.example"
    async with house(tmp_path, cors_origins=site) as served:
        told = await served.http.get("/v1/assistants", headers={"Origin": site})
        other = await served.http.get("/v1/assistants", headers={"Origin": "https://b.example"})
    assert told.headers["access-control-allow-origin"] == site
    assert other.status_code == 403


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "x-stainless-lang"])
async def test_a_site_that_is_named_may_send_a_key_and_what_its_client_sends_besides(
    tmp_path: Path, header: str
) -> None:
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": header}
    async with house(tmp_path, cors_origins="https://leaf.example") as served:
        path = "/v1/chat/completions"
        told, other = [
            await served.http.options(path, headers={"Origin": site, **asks})
            for site in ("https://leaf.example", "https://b.example")
        ]
    assert told.status_code == 200
    assert header in told.headers["access-control-allow-headers"].lower()
    assert other.status_code == 400


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ({"host": "0.0.0.0"}, True),
        ({"host": "192.0.2.7"}, True),
        ({"host": "0.0.0.0", "open": True}, False),
        ({"host": "127.0.0.1"}, False),
        ({"host": "::1"}, False),
    ],
)
def test_listening_beyond_loopback_without_keys_is_refused(
    given: dict[str, object], refused: bool
) -> None:
    settings = Settings(_env_file=None, **given)  # type: ignore[call-arg,arg-type]
    if refused:
        with pytest.raises(SetupError, match="leafstream keys add"):
            check_exposure(settings)
    else:
        check_exposure(settings)
