"""The HTTP client of upstreams, against real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from leafstream.engine_choice import open_engine
from leafstream.engines.openai.connection import Client, target_of
from leafstream.engines.openai.failures import Source, UpstreamUnavailable, unavailable
from leafstream.engines.upstream import UpstreamEngine
from leafstream.errors import EngineUnavailable
from leafstream.settings import Settings
from tests.contract.upstreams import asked, opened
from tests.rude_server import rude_server

BIG = 3 << 20


@pytest.mark.parametrize(
    ("url", "chat", "own"),
    [
        ("http://h:8000", "/v1/chat/completions", "/health"),
        ("http://h:8000/", "/v1/chat/completions", "/health"),
        ("http://h:8000/v1", "/v1/chat/completions", "/health"),
        ("h:8000/v1/", "/v1/chat/completions", "/health"),
        ("https://h/api/v1", "/api/v1/chat/completions", "/api/health"),
        ("https://h/beta", "/beta/chat/completions", "/beta/health"),
    ],
)
def test_a_base_url_with_and_without_v1_leads_to_the_same_paths(
    url: str, chat: str, own: str
) -> None:
    target = target_of(url)
    assert target.path("/v1/chat/completions") == chat
    assert target.path("/health") == own


@pytest.mark.parametrize("url", ["", "http://", "ftp://h", "http://h?x=1", "http://u:p@h"])
def test_what_is_no_base_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|host"):
        target_of(url)


@asynccontextmanager
async def answering(data: bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that sends these bytes to whoever has asked something, and hangs up."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(data)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def got(url: str, connect_seconds: float = 2.0) -> bytes:
    client = Client(target_of(url), "key", connect_seconds)
    try:
        async with client.request("/v1/models", seconds=2.0) as reply:
            return await reply.body(2.0)
    finally:
        client.close()


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: %d\r\n" % BIG, b""],
    ids=["of a told length", "that ends with the connection"],
)
async def test_a_body_larger_than_any_buffer_arrives_whole(head: bytes) -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + b"x" * BIG) as port:
        assert len(await got(f"http://127.0.0.1:{port}")) == BIG


async def test_a_reader_that_is_slow_stops_the_sender_instead_of_filling_the_memory() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (16 << 20)) as port:
        client = Client(target_of(f"http://127.0.0.1:{port}"), None, 2.0)
        async with client.request("/v1/models", seconds=2.0) as reply:
            await asyncio.sleep(0.5)
            assert len(await reply.read(2.0)) < 4 << 20
            size = 0
            while data := await reply.read(2.0):
                size += len(data)
            assert size > 12 << 20
        client.close()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A key and a certificate for 127.0.0.1, signed by itself."""
    key, signed = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-keyout", key, "-out", signed, "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return key, signed


async def test_tls_is_checked_and_a_trusted_server_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, signed = certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(signed, key)
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", tls) as port:
        with pytest.raises(UpstreamUnavailable, match="TLS failed: CERTIFICATE_VERIFY_FAILED"):
            await got(f"https://127.0.0.1:{port}")
        monkeypatch.setenv("SSL_CERT_FILE", str(signed))
        assert await got(f"https://127.0.0.1:{port}") == b"ok"


async def test_a_host_that_is_not_known_is_told() -> None:
    with pytest.raises(UpstreamUnavailable, match="no host of this name is known"):
        await got("http://no-such-host.invalid:1")


@contextlib.contextmanager
def full(port: int = 0) -> Iterator[int]:
    """A port that listens and takes no connection."""
    with socket.socket() as listening, contextlib.ExitStack() as waiting:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(0)
        for _ in range(3):  # what its queue holds; the next one gets no answer
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


async def test_a_host_that_does_not_take_the_connection_is_given_up() -> None:
    with full() as port, pytest.raises(UpstreamUnavailable, match=r"no connection within 0\.2 s"):
        await got(f"http://127.0.0.1:{port}", connect_seconds=0.2)


async def test_an_upstream_that_takes_no_connection_fails_within_the_seconds_that_are_set() -> None:
    async with rude_server() as server:
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            upstream=server.url,
            upstream_connect_seconds=0.3,
            engine_patience_seconds=0.1,
            context_window=2048,
        )
        engine = await open_engine(settings)
    assert isinstance(engine, UpstreamEngine)
    with full(server.port):
        begun = time.monotonic()
        with pytest.raises(EngineUnavailable, match=r"the upstream: no connection within 0\.3 s"):
            await asked(engine)
        assert 0.3 <= time.monotonic() - begun < 1.5
    await engine.close()


def test_of_a_host_of_several_addresses_none_is_told() -> None:
    tried = "[Errno 111] Connect call failed ('10.0.0.7', 80), [Errno 113] No route to host"
    error = unavailable(Source("http://h"), OSError(f"Multiple exceptions: {tried}"))
    assert error.message == "the upstream: it cannot be reached at any of its addresses"
    one = unavailable(Source("http://h"), OSError(113, "Connect call failed ('10.0.0.7', 80)"))
    assert one.message == "the upstream: No route to host"


async def test_counting_long_texts_keeps_none_of_them() -> None:
    async with rude_server() as server:
        engine = await opened(server.url)
        tracemalloc.start()
        for number in range(300):
            assert await engine.count(f"{number} " + "cup " * 25_000) > 30_000
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        await engine.close()
    assert held < 1 << 20
