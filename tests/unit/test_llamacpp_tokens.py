"""llama.cpp's tokenizer over a Unix socket, with a server that hangs up as llama.cpp's does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leafstream.engines.llamacpp_tokens import Tokenizer
from leafstream.errors import EngineUnavailable


class Closing:
    """Answers the first request of each connection, and closes it without a word."""

    def __init__(self) -> None:
        self.num_answered = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
        body = b'{"tokens":[7,8]}'
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        self.num_answered += 1
        writer.close()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Closing]:
    closing = Closing()
    async with await asyncio.start_unix_server(closing.answer, tmp_path / "llama.sock"):
        yield closing


@pytest.fixture
async def tokenizer(tmp_path: Path) -> AsyncIterator[Tokenizer]:
    tokenizer = Tokenizer(tmp_path / "llama.sock")
    yield tokenizer
    await tokenizer.close()


async def test_a_connection_that_was_closed_meanwhile_is_opened_again(
    server: Closing, tokenizer: Tokenizer
) -> None:
    for text in "abc":
        assert await tokenizer.asked(text, special=True) == [7, 8]
    assert server.num_answered == 3


async def test_a_short_text_is_asked_for_once(server: Closing, tokenizer: Tokenizer) -> None:
    assert [await tokenizer.tokens("a") for _ in range(3)] == [(7, 8)] * 3
    assert await tokenizer.tokens("") == ()
    assert server.num_answered == 1


async def test_a_server_that_is_gone_is_told(tokenizer: Tokenizer) -> None:
    with pytest.raises(EngineUnavailable, match="does not answer"):
        await tokenizer.tokens("a")
