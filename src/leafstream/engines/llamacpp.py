"""llama.cpp in this process, through xllamacpp.

Completions run on threads of their own through the library's callback. Tokenizing goes over the
embedded server's HTTP, which listens on a Unix socket in a private folder and nowhere else.

llama.cpp's threads want every core. What this process does between two of its tokens is done on a
core that one of them waits for, with the caches full of weights: about a millisecond a token. So
tokens that come fast are handed over together, a few of every stream at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from leafstream.engines import thread
from leafstream.engines.base import CLOSED, Chunk, Generation, Prompt, Standing
from leafstream.engines.dry import SETTINGS, sampling_fields
from leafstream.engines.grammars import Grammars
from leafstream.engines.llamacpp_tokens import Tokenizer
from leafstream.engines.llamacpp_wire import (
    Choice,
    Part,
    decode_part,
    engine_errors,
    is_finite,
    is_progress,
    refusal,
    told_usage,
    whole_pieces,
)
from leafstream.engines.memory import check_memory
from leafstream.engines.reading import Templates, served_window
from leafstream.errors import EngineError, EngineUnavailable, SetupError
from leafstream.messages import Messages
from leafstream.models.gguf import Header, read_header, read_pieces
from leafstream.prompt import CHATML, ChatTemplate, ControlTokens
from leafstream.schema import Schema

REST_SECONDS = 0.075
"""Tokens that come within it are handed over together, of all streams; nobody reads that fast."""
EAGER = 5
"""Of JSON whose beginning the model writes itself, so many are not."""


class LlamaCppOptions(msgspec.Struct, frozen=True):
    """`context_window` is per slot, in tokens; None: what the model was trained on, up to 4,096.

    `name` is what answers call the model; None: the file's name.
    """

    name: str | None = None
    context_window: int | None = None
    slots: int = 4
    threads: int | None = None
    chat_template: str | None = None
    # A long prompt is read in pieces of this many tokens, so that other streams go on between them.
    # llama.cpp computes the attention of 64 at once in tiles; of fewer, twice as slowly.
    batch: int = 64
    # Tokens are computed one by one, so that their numbers do not depend on what is beside them.
    repeatable: bool = False
    gpu_layers: int = -1


class Address(msgspec.Struct, frozen=True):
    """Where llama.cpp's server listens: a Unix socket's path, or a host with a port and a key."""

    host: str
    port: int = 0
    key: str | None = None


class Loaded(msgspec.Struct, frozen=True):
    """A model behind llama.cpp's server; `pieces` are ids by text, where they are certain."""

    server: Any
    header: Header
    pieces: dict[str, int]


class Begun(msgspec.Struct, frozen=True):
    """What the model goes on from, and the grammar of what follows.

    `opening` is the text of the tokens where nothing was written and an answer's beginning is
    certain.
    """

    tokens: tuple[int, ...] = ()
    grammar: str | None = None
    opening: str = ""

    @property
    def opened(self) -> int:
        """The number of tokens of the opening."""
        return len(self.tokens) if self.opening else 0


class LlamaCppEngine:
    """One GGUF model in this process. Made by `open`."""

    standings: tuple[Standing, ...] = ()

    def __init__(self, loaded: Loaded, folder: Path, options: LlamaCppOptions) -> None:
        header = loaded.header
        self._server = loaded.server
        self._pieces = loaded.pieces
        self._folder = folder
        self._slots = options.slots
        self._window = window_of(header, options)
        self._model = options.name or "llama.cpp"
        self._templates = Templates(
            template_of(header, options), ControlTokens(header.control_tokens)
        )
        self._bos = header.bos_token if header.add_bos else None
        self._grammars = Grammars()
        self._threads = ThreadPoolExecutor(options.slots, thread_name_prefix="llama")
        self._tokenizer = Tokenizer(folder / "llama.sock")
        self._beat = thread.Beat(asyncio.get_running_loop(), REST_SECONDS)
        self._closing = False

    @classmethod
    async def open(cls, path: Path, options: LlamaCppOptions | None = None) -> LlamaCppEngine:
        """Load the model. Raises SetupError with what to do where it cannot be served."""
        options = options or LlamaCppOptions()
        if options.name is None:
            options = msgspec.structs.replace(options, name=path.stem)
        header = read_header(path)
        window_of(header, options)
        template_of(header, options)
        folder = Path(tempfile.mkdtemp(prefix="leafstream-"))
        try:
            address = Address(str(folder / "llama.sock"))
            server, pieces = await asyncio.gather(
                asyncio.to_thread(_warm_server, path, header, address, options),
                asyncio.to_thread(read_pieces, path),
            )
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return cls(Loaded(server, header, pieces), folder, options)

    @property
    def model(self) -> str:
        return self._model

    @property
    def context_window(self) -> int:
        return self._window

    @property
    def slots(self) -> int:
        return self._slots

    @property
    def settings(self) -> Mapping[str, str]:
        return SETTINGS

    @property
    def outage(self) -> str:
        return CLOSED if self._closing else ""

    async def prompt(self, messages: Messages, template: str | None = None) -> Prompt:
        clean, text = self._templates.rendered(messages, template)
        tokens = tuple(await self._read(text)) if text else ()
        return Prompt(messages=clean, num_tokens=len(tokens), tokens=tokens)

    async def legible(self, messages: Messages, template: str | None = None) -> list[str]:
        _, text = self._templates.rendered(messages, template)
        found = await self._read(text, with_pieces=True)
        return whole_pieces([token["piece"] for token in found])

    async def _read(self, text: str, **more: bool) -> list[Any]:
        # The template writes its own BOS; a model that wants one gets it where it did not.
        add_bos = self._bos is not None and not text.startswith(self._bos)
        return await self._tokenizer.asked(text, special=True, add_special=add_bos, **more)

    async def count(self, text: str) -> int:
        return len(await self._tokenizer.tokens(text))

    async def constrains(self, schema: Schema) -> bool:
        return (await self._grammars.whole(schema)).exact

    async def generate(self, generation: Generation) -> AsyncGenerator[Chunk, None]:
        begun = await self._begun(generation)
        payload = msgspec.json.encode(self._payload(generation, begun)).decode()
        call, eager = self._completion(payload), _eager(generation, begun)
        finish, told, is_opened = None, 0, not begun.opening
        streamed = thread.stream(self._threads, call, self._beat, eager)
        async with contextlib.aclosing(streamed) as answers:
            async for raw in answers:
                answer = decode_part(raw)
                num_tokens = answer.timings.predicted_n - told
                chunk = await self._chunk(answer, num_tokens, begun.opened)
                told = max(told, answer.timings.predicted_n)
                finish = chunk.finish or finish
                if not is_opened and chunk.text:
                    yield Chunk(begun.opening, begun.opened, begun.tokens)
                    is_opened = True
                if chunk.text or chunk.finish:
                    yield chunk
        if finish is None:
            raise EngineUnavailable("llama.cpp ended a stream before its finish reason")

    async def _chunk(self, answer: Part, num_tokens: int, opened: int) -> Chunk:
        if answer.error is not None:
            raise refusal(answer.error)
        if not is_finite(answer):
            raise EngineError("the model's probabilities are no numbers any more")
        if not answer.choices:
            return Chunk("")
        choice = answer.choices[0]
        tokens = self._ids(choice, num_tokens)
        if len(tokens) != num_tokens:
            tokens = await self._spelled(choice.text, num_tokens, tokens)
        usage, cached = told_usage(answer.usage, opened), answer.timings.cache_n
        return Chunk(choice.text, num_tokens, tokens, choice.finish_reason, usage, cached)

    def _ids(self, choice: Choice, num_tokens: int) -> tuple[int, ...]:
        if choice.logprobs is not None:
            return tuple(item.id for item in choice.logprobs.content)
        piece = self._pieces.get(choice.text) if num_tokens == 1 else None
        return () if piece is None else (piece,)

    async def _spelled(self, text: str, num_tokens: int, last: tuple[int, ...]) -> tuple[int, ...]:
        """The ids of a character of several tokens, of which `last` are known."""
        tokens = await self._tokenizer.tokens(text)
        return tokens if len(tokens) == num_tokens and (not last or tokens[-1] == last[-1]) else ()

    def _completion(self, payload: str) -> thread.Blocking[str]:
        def call(mailbox: thread.Mailbox[str]) -> None:
            def heard(raw: str) -> bool:
                over = mailbox.cancelled.is_set() if is_progress(raw) else mailbox.put(raw)
                return over or self._closing

            # A callback's exceptions are lost in C++; a truthy return cancels.
            with engine_errors():
                self._server.handle_completions(payload, heard)

        return call

    async def _begun(self, generation: Generation) -> Begun:
        prefix, schema = generation.prefix, generation.schema
        if schema is not None and not prefix.text and self._pieces:
            opening = await self._grammars.opening(schema)
            tokens = await self._tokenizer.tokens(opening.text)
            if 0 < len(tokens) < generation.max_tokens:
                return Begun(tokens, opening.grammar, opening.text)
        tokens = prefix.tokens or await self._tokenizer.tokens(prefix.text)
        if schema is None:
            return Begun(tokens)
        return Begun(tokens, await self._grammars.following(prefix.text, schema))

    def _payload(self, generation: Generation, begun: Begun) -> dict[str, Any]:
        payload: dict[str, Any] = {
            "prompt": [*generation.prompt.tokens, *begun.tokens],
            "n_predict": generation.max_tokens - begun.opened,
            "stream": True,
            "cache_prompt": True,
            "timings_per_token": True,
            # Calls back while a prompt is read, so that it can be cancelled then.
            "return_progress": True,
            **sampling_fields(generation.sampling),
        }
        if not self._pieces:
            # Continuing at a token's border needs ids. They come with these only, at 0.3 ms each.
            payload["logprobs"] = 1
        if begun.grammar is not None:
            payload["grammar"] = begun.grammar  # it begins with the first new token
        return payload

    async def close(self) -> None:
        self._closing = True
        await self._tokenizer.close()
        self._grammars.close()
        await asyncio.to_thread(self._threads.shutdown)
        self._server = None
        shutil.rmtree(self._folder, ignore_errors=True)


def _eager(generation: Generation, begun: Begun) -> int:
    """So many tokens are handed over as they come: of JSON, text begins behind some marks."""
    return EAGER if generation.schema is not None and not begun.opening else 1


def window_of(header: Header, options: LlamaCppOptions) -> int:
    return served_window(header.context_length, options.context_window)


def template_of(header: Header, options: LlamaCppOptions) -> ChatTemplate:
    source = options.chat_template or header.chat_template or CHATML
    return ChatTemplate(source, bos=header.bos_token or "", eos=header.eos_token or "")


def _warm_server(path: Path, header: Header, address: Address, options: LlamaCppOptions) -> Any:
    # One piece: nobody can give up between the two, where closing the server would hang.
    server = load_server(path, header, address, options)
    warm_up(server, path)
    return server


def load_server(path: Path, header: Header, address: Address, options: LlamaCppOptions) -> Any:
    """The model behind llama.cpp's own server. Raises SetupError."""
    window = window_of(header, options)
    check_memory(header, window, options.slots)
    # Set before the library is loaded: OpenMP's spinning starves the event loop on few cores.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    import xllamacpp  # noqa: PLC0415

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {options.name}
    params.n_ctx = window * options.slots
    params.n_parallel = options.slots
    params.kv_unified = False
    params.n_batch = options.batch + options.slots  # beside a token of each other stream
    params.n_ubatch = 1 if options.repeatable else params.n_batch
    params.n_gpu_layers = options.gpu_layers
    params.cpuparams.n_threads = options.threads or len(os.sched_getaffinity(0))
    params.hostnames = [address.host]
    params.port = address.port
    if address.key is not None:
        params.api_keys = [address.key]
    params.n_threads_http = 2
    params.slot_prompt_similarity = 0.5
    params.cache_ram_mib = 512
    # A slot keeps what it has read until another prompt takes it; it was copied out at every start.
    params.cache_idle_slots = False
    params.ctx_shift = False
    params.fit_params = False
    params.check_tensors = True
    params.warmup = False
    params.verbosity = 1
    params.ui = False
    params.endpoint_slots = False
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        raise SetupError(
            f"llama.cpp could not load {path}: {error} The file's header is sound, so its tensors "
            "may be damaged or of a kind this llama.cpp does not know; fetch it again"
        ) from None


def warm_up(server: Any, path: Path) -> None:
    """Have one token written. Raises SetupError where its probabilities are no numbers."""
    # Also avoids a hang in the library when a server is closed before its first request.
    heard: list[str] = []
    payload = '{"prompt": "a", "n_predict": 1, "logprobs": 1}'
    server.handle_completions(payload, heard.append)  # None goes on
    if not all(is_finite(decode_part(raw)) for raw in heard):
        raise SetupError(
            f"{path} writes with probabilities that are no numbers: its tensors are damaged or "
            "overflow; fetch it again, or take another quantization of the model"
        )
