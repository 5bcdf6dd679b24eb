"""llama.cpp's tokenizer, which is reached over its HTTP server only; here on a Unix socket."""

from __future__ import annotations

import asyncio
import http.client
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from leafstream.errors import EngineUnavailable

SECONDS = 60.0
MAX_CHARACTERS, MAX_KEPT = 4096, 1024


class _Answer(msgspec.Struct, frozen=True):
    tokens: list[Any]


_decode = msgspec.json.Decoder(_Answer).decode


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("llama", timeout=SECONDS)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self._path)


class Tokenizer:
    """Asks one question after another, on a thread: an answer takes a fraction of a millisecond."""

    def __init__(self, path: Path) -> None:
        self._connection = _Connection(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tokens")
        self._kept: dict[str, tuple[int, ...]] = {}

    async def tokens(self, text: str) -> tuple[int, ...]:
        """The ids of text that the model wrote. Raises EngineUnavailable."""
        if text not in self._kept:
            found = tuple(await self.asked(text, special=False)) if text else ()
            if len(text) > MAX_CHARACTERS:
                return found
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[text] = found
        return self._kept[text]

    async def asked(self, text: str, *, special: bool, **more: bool) -> list[Any]:
        """What llama.cpp says of a text; `special`: control tokens in it are such."""
        body = msgspec.json.encode({"content": text, "parse_special": special, **more})
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._asked, body)

    def _asked(self, body: bytes) -> list[Any]:
        try:
            return self._again(lambda: self._post(body))
        except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
            self._connection.close()
            raise EngineUnavailable(f"llama.cpp does not answer: {error!r}") from None

    def _again(self, ask: Callable[[], list[Any]]) -> list[Any]:
        try:
            return ask()
        except ConnectionError:  # the server closes a connection that was idle for a while
            self._connection.close()
            return ask()

    def _post(self, body: bytes) -> list[Any]:
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", "/tokenize", body, headers)
        response = self._connection.getresponse()
        told = response.read()
        if response.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(f"status {response.status}")
        return _decode(told).tokens

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown)
        self._connection.close()
