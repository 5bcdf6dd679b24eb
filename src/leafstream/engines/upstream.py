"""The engine that is somebody else's server: vLLM, SGLang, llama-server, Ollama, a hosted one.

A request is tried again, elsewhere where there is an elsewhere, until its first token; what breaks
later is EngineUnavailable, and whoever asked goes on from the text that he has. Where the server
takes and gives token ids, that continuation is exact.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from leafstream.engines.base import CLOSED, Chunk, Generation, Prompt, Standing
from leafstream.engines.grammars import Grammars
from leafstream.engines.openai.bodies import Asked, Writer
from leafstream.engines.openai.connection import Client, Reply, Target, target_of
from leafstream.engines.openai.controls import known_controls
from leafstream.engines.openai.counting import Counter, Estimate, Server, TokenizerFile
from leafstream.engines.openai.failures import Source, UpstreamUnavailable, status_error
from leafstream.engines.openai.pool import FAILURES, Pool, Upstream
from leafstream.engines.openai.probe import Found, Probe, call, common
from leafstream.engines.openai.wire import Stream
from leafstream.errors import (
    EngineError,
    EngineMisconfigured,
    EngineRefused,
    SetupError,
)
from leafstream.messages import Message, Messages
from leafstream.sampling import Sampling
from leafstream.schema import Schema

logger = logging.getLogger("leafstream.engines.openai")

DEFAULT_SLOTS = 64
_FIRST_BACKOFF, _LONGEST_BACKOFF = 0.1, 5.0
_WORD = "leafstream"


class Timeouts(msgspec.Struct, frozen=True):
    """Seconds. `patience` is how long a request is tried again before its first token."""

    connect: float = 5.0
    first_token: float = 120.0
    between_tokens: float = 30.0
    patience: float = 30.0


class UpstreamOptions(msgspec.Struct, frozen=True):
    """`urls` are of servers of the same model. None: what the first of them says."""

    urls: tuple[str, ...]
    key: str | None = None
    model: str | None = None
    vendor: str = "auto"
    context_window: int | None = None
    slots: int | None = None
    tokenizer: Path | None = None
    ignored: frozenset[str] = frozenset()
    timeouts: Timeouts = Timeouts()


class UpstreamEngine:
    """One model on one or several servers. Made by `open`."""

    def __init__(self, found: Found, upstreams: list[Upstream], options: UpstreamOptions) -> None:
        self._options = options
        self._vendor = found.vendor
        self._served = found.model
        self._window = found.window_for(options.context_window)
        self._slots = options.slots or (found.slots or DEFAULT_SLOTS) * len(upstreams)
        self._pool = Pool(upstreams, found.vendor.health, self._trial)
        self._writer = Writer(found.vendor, found.model, options.ignored)
        self._counter: Counter = Estimate()
        self._control = known_controls()
        self._takes_grammars = False
        self._smallest: Asked | None = None
        self._overhead = 0
        self._grammars = Grammars()
        self._counts: dict[bytes, int] = {}
        self._closing = False

    @classmethod
    async def open(cls, options: UpstreamOptions) -> UpstreamEngine:
        """Look at the upstreams. Raises SetupError with what to do where none can be used."""
        upstreams = [Upstream(client) for client in _clients(options)]
        try:
            found = await _look(upstreams, options)
            engine = cls(found, upstreams, options)
            await engine._settle()
        except BaseException:
            for upstream in upstreams:
                upstream.client.close()
            raise
        return engine

    @property
    def model(self) -> str:
        # A path is nobody's business but the server's.
        return Path(self._served).name if self._served.startswith("/") else self._served

    @property
    def context_window(self) -> int:
        return self._window

    @property
    def slots(self) -> int:
        return self._slots

    @property
    def standings(self) -> tuple[Standing, ...]:
        """How each upstream stands, in the order of the URLs."""
        return self._pool.standings()

    @property
    def outage(self) -> str:
        if self._closing:
            return CLOSED
        standings = self.standings
        if not all(standing.out for standing in standings):
            return ""
        # Anybody may ask whether a server is ready: addresses are for the log and the metrics.
        return f"none of {len(standings)} upstreams is in; the log says why"

    async def _settle(self) -> None:
        """Find out how tokens are counted and whether grammars are taken; begin to watch."""
        self._counter = await self._found_counter()
        if isinstance(self._counter, TokenizerFile):
            self._control = known_controls(self._counter.control_tokens)
        await self._try()
        self._takes_grammars = bool(self._vendor.grammar) and await self._keeps_a_grammar()
        logger.info(
            "%s is %s with %s; tokens are counted by %s; %s",
            ", ".join(self._options.urls),
            self._vendor.name,
            self.model,
            self._counter.name,
            "grammars can start mid-way" if self._takes_grammars else "grammars start afresh",
        )
        self._pool.watch()

    async def _try(self) -> None:
        """Have one token written. Shows what a template adds to a prompt that is not counted."""
        prompt = await self.prompt((Message("user", "a"),))
        self._smallest = self._asked(Generation(prompt, 1), None)
        try:
            last = [chunk async for chunk in self._attempts(self._smallest, None)][-1]
        except EngineError as error:
            said = error.sentence if isinstance(error, EngineMisconfigured) else error.message
            places = ", ".join(self._options.urls)
            raise SetupError(f"{places} writes nothing: {said}") from None
        if prompt.estimated and last.usage is not None:
            self._overhead = max(0, last.usage.prompt_tokens - prompt.num_tokens)

    async def _found_counter(self) -> Counter:
        counting = self._vendor.counting
        if counting is not None:
            upstream = await self._pool.choose(None, 0.0)
            try:
                # Not through the pool: a server without this path is none that is out.
                trial = Server(counting, self._served, partial(call, upstream.client))
                await trial.prompt((Message("user", "a"),))
            except EngineError as error:
                said = upstream.located(error.message)
                logger.warning("the upstream does not count tokens: %s", said)
            else:
                return Server(counting, self._served, self._call)
        return TokenizerFile(self._options.tokenizer) if self._options.tokenizer else Estimate()

    async def _keeps_a_grammar(self) -> bool:
        """Ask for a word that no model would write: servers ignore what they do not know."""
        prompt = await self.prompt((Message("user", "What is your name?"),))
        asked = Generation(prompt, 16, Sampling(temperature=0.0))
        grammar = f'%llguidance {{}}\nstart: "{_WORD}"'
        try:
            chunks = self._attempts(self._asked(asked, grammar), None)
            text = "".join([chunk.text async for chunk in chunks])
        except EngineError:
            return False
        return text == _WORD

    @property
    def settings(self) -> Mapping[str, str]:
        return self._writer.settings

    async def prompt(self, messages: Messages, template: str | None = None) -> Prompt:
        if template is not None:
            raise EngineRefused(
                f"the upstream ({self._vendor.name}) applies its own chat template; start it with "
                "the assistant's, and leave chat_template out"
            )
        clean = self._control.cleaned(messages)
        prompt = await self._counter.prompt(clean)
        if not prompt.estimated:
            return prompt
        return msgspec.structs.replace(prompt, num_tokens=prompt.num_tokens + self._overhead)

    async def count(self, text: str) -> int:
        # Kept by its digest: a caller's schema may have a text of megabytes as its shortest answer.
        name = blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
        if name not in self._counts:
            if len(self._counts) > 1024:
                self._counts.clear()
            self._counts[name] = await self._counter.count(text)
        return self._counts[name]

    async def constrains(self, schema: Schema) -> bool:
        # Another grammar than ours may leave out what it does not know, and does not say so.
        return self._takes_grammars and (await self._grammars.whole(schema)).exact

    async def generate(self, generation: Generation) -> AsyncGenerator[Chunk, None]:
        prefix = generation.prefix
        if prefix.text and not prefix.tokens and self._vendor.exact and generation.prompt.tokens:
            prefix = msgspec.structs.replace(prefix, tokens=await self._counter.ids(prefix.text))
            generation = msgspec.structs.replace(generation, prefix=prefix)
        grammar = None
        if generation.schema is not None and self._takes_grammars:
            grammar = await self._grammars.following(prefix.text, generation.schema)
        asked = self._asked(generation, grammar)
        async with aclosing(self._attempts(asked, generation.key)) as chunks:
            async for chunk in chunks:
                yield chunk

    def _asked(self, generation: Generation, grammar: str | None) -> Asked:
        prompt, prefix = generation.prompt, generation.prefix
        by_ids = self._vendor.exact and prompt.tokens and bool(prefix.tokens) == bool(prefix.text)
        # Without our grammar the server's own is needed, which the protocol has for chats only.
        if by_ids and (grammar is not None or generation.schema is None):
            return self._writer.exact(generation, [*prompt.tokens, *prefix.tokens], grammar)
        return self._writer.chat(generation, grammar)

    async def _attempts(self, asked: Asked, key: str | None) -> AsyncGenerator[Chunk, None]:
        """The chunks of the first attempt that has a first token."""
        deadline = time.monotonic() + self._options.timeouts.patience
        backoff = _FIRST_BACKOFF
        begun = False
        tried: set[Upstream] = set()
        while True:
            upstream = await self._pool.choose(key, deadline - time.monotonic(), tried)
            try:
                with self._pool.asking(upstream):
                    async with aclosing(self._chunks(upstream, asked)) as chunks:
                        async for chunk in chunks:
                            if not begun:
                                begun = True
                                upstream.succeeded()
                            yield chunk
            except EngineMisconfigured:
                if begun:
                    raise
                tried.add(upstream)
                continue
            except UpstreamUnavailable as error:
                tried.add(upstream)
                pause = backoff if error.retry_after is None else error.retry_after
                if self._pool.has_other(tried):
                    pause = 0.0
                if begun or self._closing or time.monotonic() + pause > deadline:
                    raise
                logger.info("%s; trying again in %.1f s", upstream.located(error.message), pause)
            else:
                return
            await asyncio.sleep(pause)
            backoff = min(2 * backoff, _LONGEST_BACKOFF)

    async def _trial(self, upstream: Upstream) -> None:
        assert self._smallest is not None
        async with aclosing(self._chunks(upstream, self._smallest)) as chunks:
            async for _ in chunks:
                pass

    async def _chunks(self, upstream: Upstream, asked: Asked) -> AsyncGenerator[Chunk, None]:
        limits = self._options.timeouts
        stream = Stream(upstream.client.source)
        seconds, waiting, since = limits.first_token, "first token", time.monotonic()
        async with upstream.client.request(asked.path, asked.body, seconds) as reply:
            await self._check(reply, upstream.client.source)
            while not stream.over:
                # Comments and empty chunks show that somebody is there, not that anyone writes.
                data = await reply.read(max(0.01, since + seconds - time.monotonic()), waiting)
                if not data:
                    break
                told = stream.num_tokens
                if (chunk := stream.feed(data)) is not None:
                    yield chunk
                if chunk is not None or stream.num_tokens > told:
                    seconds, waiting = limits.between_tokens, "token"
                    since = time.monotonic()
            last = stream.end()
            await reply.ended()
        yield last

    async def _check(self, reply: Reply, source: Source) -> None:
        kind = reply.headers.get("content-type", "")
        if reply.status == 200 and "event-stream" in kind:
            return
        body = await reply.body(self._options.timeouts.connect)
        if reply.status != 200:
            raise status_error(source, reply.status, reply.headers, body)
        what = "a web page" if "html" in kind else kind or "something without a type"
        shown = source.quoted(body, 120)
        raise UpstreamUnavailable(
            f"{source.name} answers with {what} instead of a stream: {shown!r}"
        )

    async def _call(self, path: str, body: Any) -> Any:
        """POST to whichever upstream is in; tried once more on another. Raises EngineError."""
        tried: set[Upstream] = set()
        while True:
            upstream = await self._pool.choose(None, 0.0, tried)
            try:
                with self._pool.asking(upstream):
                    answer = await call(upstream.client, path, body)
            except FAILURES:
                if tried:
                    raise
                tried.add(upstream)
            else:
                upstream.succeeded()
                return answer

    async def close(self) -> None:
        self._closing = True
        self._grammars.close()
        await self._pool.close()


def _clients(options: UpstreamOptions) -> list[Client]:
    """Of several, each is known to clients by its place in LEAFSTREAM_UPSTREAM."""
    targets = [_target(url) for url in options.urls]
    total, key, seconds = len(targets), options.key, options.timeouts.connect
    if total == 1:
        return [Client(targets[0], key, seconds)]
    return [
        Client(target, key, seconds, f"upstream {place} of {total}")
        for place, target in enumerate(targets, 1)
    ]


def _target(url: str) -> Target:
    try:
        return target_of(url)
    except ValueError as error:
        raise SetupError(
            f"LEAFSTREAM_UPSTREAM: {error}; give http://host:port or http://host:port/v1"
        ) from None


async def look_at_each(options: UpstreamOptions) -> dict[str, Found | SetupError]:
    """What is at each URL, or why it cannot be used. Raises SetupError for what is no URL."""
    found: dict[str, Found | SetupError] = {}
    for client in _clients(options):
        try:
            found[client.target.url] = await Probe(client).look(options.model, options.vendor)
        except UpstreamUnavailable as error:
            found[client.target.url] = SetupError(client.source.located(error.message))
        except SetupError as error:
            found[client.target.url] = error
        finally:
            client.close()
    return found


async def _look(upstreams: list[Upstream], options: UpstreamOptions) -> Found:
    """What the upstreams are, all of one kind; those that are down are passed over for now."""
    found: dict[str, Found] = {}
    down: dict[Upstream, UpstreamUnavailable] = {}
    for upstream in upstreams:
        try:
            probe = Probe(upstream.client)
            found[upstream.url] = await probe.look(options.model, options.vendor)
        except UpstreamUnavailable as error:
            down[upstream] = error
    if not found:
        reasons = "; ".join(up.located(told.message) for up, told in down.items())
        raise SetupError(f"{reasons}; start the server or mend LEAFSTREAM_UPSTREAM")
    for upstream, told in down.items():
        upstream.failed(told, at_once=True)
    return common(found)
