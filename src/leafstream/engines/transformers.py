"""A model in this process through Hugging Face transformers: safetensors folders, GGUF files, hub
repositories; in bf16, fp16 and fp32, or in 8 and 4 bits through bitsandbytes.

Its libraries are an extra and are imported when an engine is opened. The batching is our own
(`batch`): transformers' continuous batching knows no grammars and no cancelled request's end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from leafstream.engines import thread
from leafstream.engines.base import CLOSED, Chunk, Generation, Prompt, Standing
from leafstream.engines.device import give_back
from leafstream.engines.grammar import limits
from leafstream.engines.grammars import Grammars
from leafstream.engines.reading import Templates, served_window
from leafstream.engines.weights import WeightOptions, Weights, load, require_extra
from leafstream.errors import EngineError, EngineRefused, SetupError
from leafstream.events import Usage
from leafstream.messages import Messages
from leafstream.models.gguf import FORCED_CONTROL, is_markup
from leafstream.models.shape import Shape, read_shape
from leafstream.prompt import CHATML, ChatTemplate, ControlTokens
from leafstream.sampling import Sampling
from leafstream.schema import Schema
from leafstream.sizing import Use

if TYPE_CHECKING:
    from leafstream.engines.batch import Sequence

# llama.cpp's own, so that an assistant behaves alike on both where a model says nothing.
SETTINGS = {name: name for name in Sampling.__struct_fields__}
DEFAULT_SAMPLING = Sampling(temperature=0.8, top_p=0.95, top_k=40, min_p=0.05)


class TransformersOptions(msgspec.Struct, frozen=True):
    """`context_window` is per slot, in tokens; None: what the model was trained on, up to 4,096."""

    name: str | None = None
    context_window: int | None = None
    slots: int = 4
    threads: int | None = None
    chat_template: str | None = None
    # A long prompt is read in pieces of this many tokens, so that other streams go on between them.
    piece: int = 128
    weights: WeightOptions = WeightOptions()


class TransformersEngine:
    """One model in this process. Made by `open`."""

    standings: tuple[Standing, ...] = ()

    def __init__(self, weights: Weights, options: TransformersOptions) -> None:
        from leafstream.engines.batch import Batch, Limits  # noqa: PLC0415

        self._model = options.name or "transformers"
        self._slots = options.slots
        self._window = window_of(weights.shape, options)
        self._device = weights.device
        self._hf = weights.tokenizer
        # The one in Rust, which threads may share as long as nobody changes it.
        self._tokenizer = self._hf.backend_tokenizer
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._templates = Templates(
            template_of(self._hf, options), ControlTokens(_control_tokens(self._hf))
        )
        self._bos = _bos(self._hf)
        stops = _stops(weights.model, self._hf)
        self._vocabulary = _vocabulary(self._hf, weights.model, stops)
        self._special = frozenset(self._hf.all_special_ids) | stops
        self._defaults = _sampling_of(weights.model.generation_config)
        self._grammars = Grammars()
        limits = Limits(options.piece, options.slots, stops)
        self._batch = Batch(weights.model, weights.device, limits)

    @classmethod
    async def open(
        cls, path: Path, options: TransformersOptions | None = None
    ) -> TransformersEngine:
        """Load the model. Raises SetupError with what to do where it cannot be served."""
        options = options or TransformersOptions()
        if options.name is None:
            options = msgspec.structs.replace(options, name=path.stem)
        require_extra()
        window = window_of(read_shape(path), options)
        use = Use(window, options.slots)
        _set_threads(options.threads)
        weights = await asyncio.to_thread(load, path, options.weights, use, options.piece)
        engine = await asyncio.to_thread(cls, weights, options)
        try:
            await _write_one(engine, path)
        except BaseException:
            await engine.close()
            raise
        give_back()
        return engine

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
        return CLOSED if self._batch.is_closed else ""

    async def prompt(self, messages: Messages, template: str | None = None) -> Prompt:
        clean, text = self._templates.rendered(messages, template)
        tokens = await asyncio.to_thread(self._tokenize, text)
        if self._bos is not None and not text.startswith(self._bos[0]):
            tokens = (self._bos[1], *tokens)
        return Prompt(messages=clean, num_tokens=len(tokens), tokens=tokens)

    async def count(self, text: str) -> int:
        return len(await asyncio.to_thread(self._tokenize, text))

    def _tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    async def constrains(self, schema: Schema) -> bool:
        return (await self._grammars.whole(schema)).exact

    async def generate(self, generation: Generation) -> AsyncGenerator[Chunk, None]:
        prompt, prefix = generation.prompt, generation.prefix
        written = prefix.tokens or await asyncio.to_thread(self._tokenize, prefix.text)
        ids = [*prompt.tokens, *written]
        if len(ids) >= self._window:
            raise EngineRefused(
                f"the prompt takes {len(ids)} tokens and the context window is {self._window}"
            )
        limit = min(generation.max_tokens, self._window - len(ids))
        if limit <= 0:
            yield Chunk("", finish="length", usage=Usage(prompt.num_tokens, 0))
            return
        matcher = await self._matcher(generation, written)

        def begin(mailbox: thread.Mailbox[Chunk]) -> None:
            self._batch.begin(self._sequence(generation, ids, limit, matcher, mailbox))

        async with contextlib.aclosing(thread.hear(begin)) as chunks:
            async for chunk in chunks:
                yield chunk

    def _sequence(
        self,
        generation: Generation,
        ids: list[int],
        limit: int,
        matcher: Any,
        mailbox: thread.Mailbox[Chunk],
    ) -> Sequence:
        from leafstream.engines.batch import Sequence  # noqa: PLC0415
        from leafstream.engines.sampler import Sampler, with_defaults  # noqa: PLC0415
        from leafstream.engines.spelling import Spelling  # noqa: PLC0415

        sampling = with_defaults(generation.sampling, self._defaults)
        num_prompt = len(generation.prompt.tokens)
        spelling = Spelling(self._bytes_of, sampling.stop)
        spelling.resume(tuple(ids[num_prompt:]))
        return Sequence(
            ids=ids,
            num_prompt=num_prompt,
            start=len(ids),
            limit=limit,
            sampler=Sampler(sampling, self._device, matcher),
            spelling=spelling,
            mailbox=mailbox,
            key=generation.key,
        )

    def _bytes_of(self, token: int) -> bytes:
        if token in self._special:
            return b""
        raw: bytes = self._vocabulary.decode_bytes([token])
        return raw

    async def _matcher(self, generation: Generation, written: tuple[int, ...]) -> Any:
        """The grammar of what is still to be written, advanced over the prefix; None: free text."""
        if generation.schema is None:
            return None
        text = (await self._grammars.whole(generation.schema)).text
        matcher = await self._grammars.run(partial(self._advanced, text, written))
        if matcher is not None or not written:
            return matcher
        # The prefix holds what the compact grammar does not allow, such as white space.
        rest = await self._grammars.following(generation.prefix.text, generation.schema)
        return await self._grammars.run(partial(self._advanced, rest, ()))

    def _advanced(self, grammar: str | None, written: tuple[int, ...]) -> Any:
        """The grammar after these tokens; None where it does not allow them."""
        if grammar is None:
            return None
        from llguidance import LLMatcher  # noqa: PLC0415

        matcher = LLMatcher(self._vocabulary, grammar, log_level=0, limits=limits())
        return matcher if not written or matcher.consume_tokens(list(written)) else None

    async def close(self) -> None:
        self._grammars.close()
        await asyncio.to_thread(self._batch.close)


async def _write_one(engine: TransformersEngine, path: Path) -> None:
    """Warm up, and see that the model's code takes what is asked of it."""
    asked = Generation(Prompt((), 1, (0,)), 1, Sampling(temperature=0.0))
    try:
        async with contextlib.aclosing(engine.generate(asked)) as chunks:
            async for _ in chunks:
                pass
    except EngineError as error:
        raise SetupError(f"{path} was loaded but does not write: {error.message}") from None


def window_of(shape: Shape, options: TransformersOptions) -> int:
    return served_window(shape.context_length, options.context_window)


def template_of(tokenizer: Any, options: TransformersOptions) -> ChatTemplate:
    source = options.chat_template or tokenizer.chat_template or CHATML
    if isinstance(source, dict):
        source = source.get("default") or next(iter(source.values()))
    bos, eos = tokenizer.bos_token or "", tokenizer.eos_token or ""
    return ChatTemplate(source, bos=bos, eos=eos)


def _set_threads(threads: int | None) -> None:
    import torch  # noqa: PLC0415

    if threads is not None:
        torch.set_num_threads(threads)


def _control_tokens(tokenizer: Any) -> tuple[str, ...]:
    """The texts that the tokenizer reads as one token, unless they are plain text to a reader."""
    added = tokenizer.added_tokens_decoder.values()
    return tuple(token.content for token in added if token.special or is_markup(token.content))


def _bos(tokenizer: Any) -> tuple[str, int] | None:
    """The token that the tokenizer puts before every text, if it puts one."""
    lead = tokenizer("").input_ids
    if not lead or lead[0] != tokenizer.bos_token_id:
        return None
    return tokenizer.bos_token, tokenizer.bos_token_id


def _stops(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a turn: the model's own, and those that llama.cpp knows by their text."""
    given = model.generation_config.eos_token_id
    own = given if isinstance(given, list) else [given, tokenizer.eos_token_id]
    known = [
        number
        for number, token in tokenizer.added_tokens_decoder.items()
        if token.content in FORCED_CONTROL
    ]
    return frozenset(number for number in [*own, *known] if number is not None)


def _vocabulary(tokenizer: Any, model: Any, stops: frozenset[int]) -> Any:
    """llguidance's table of the bytes of each token."""
    import llguidance.hf  # noqa: PLC0415

    size = model.get_output_embeddings().weight.shape[0]
    try:
        return llguidance.hf.from_tokenizer(tokenizer, n_vocab=size, eos_token=sorted(stops))
    except ValueError as error:
        raise SetupError(f"llguidance does not know this model's tokenizer: {error}") from None


def _sampling_of(config: Any) -> Sampling:
    """The defaults of generation_config.json over ours."""
    if not getattr(config, "do_sample", False):
        return DEFAULT_SAMPLING
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
    given = {name: getattr(config, name, None) for name in names}
    own = {name: value for name, value in given.items() if value is not None}
    return msgspec.structs.replace(DEFAULT_SAMPLING, **own)
