"""How many tokens a text has: asked of the server, of a tokenizer file, or estimated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from leafstream.engines.base import Prompt
from leafstream.engines.openai.vendors import Call, Counting, filled
from leafstream.errors import EngineError, SetupError
from leafstream.messages import Message, Messages
from leafstream.pointer import split
from leafstream.prompt import ChatTemplate

# Without a template nobody knows what surrounds a turn; no common one takes more.
TOKENS_PER_TURN = 8
_BYTES_PER_TOKEN = 3


class Counter(Protocol):
    """`name` says where the counts come from, for the log."""

    name: str

    async def prompt(self, messages: Messages) -> Prompt: ...

    async def ids(self, text: str) -> tuple[int, ...]:
        """The ids of a piece of output; () where they cannot be told."""
        ...

    async def count(self, text: str) -> int: ...


Ask = Callable[[str, Any], Awaitable[Any]]
"""POST a body to a path; its JSON. Raises EngineError."""


class Server:
    """The server's own tokenizer: exact, and with the ids where it gives them."""

    name = "the server's tokenizer"

    def __init__(self, counting: Counting, model: str, ask: Ask) -> None:
        self._counting = counting
        self._model = model
        self._ask = ask

    async def prompt(self, messages: Messages) -> Prompt:
        chat, render = self._counting.chat, self._counting.render
        if chat is None:
            counts = [await self.count(message.content) for message in messages]
            total = sum(counts) + TOKENS_PER_TURN * (len(counts) + 1)
            return Prompt(messages, total, estimated=True)
        text = "" if render is None else await self._call(render, messages=turns(messages))
        ids = await self._call(chat, messages=turns(messages), text=text)
        return Prompt(messages, len(ids), _ids(ids))

    async def ids(self, text: str) -> tuple[int, ...]:
        return _ids(await self._call(self._counting.text, text=text)) if text else ()

    async def count(self, text: str) -> int:
        return len(await self._call(self._counting.text, text=text)) if text else 0

    async def _call(self, call: Call, **holes: Any) -> Any:
        answer = await self._ask(call.path, filled(call.body, {"model": self._model, **holes}))
        for token in split(call.pointer):
            answer = answer.get(token) if isinstance(answer, dict) else None
        if not isinstance(answer, list | str):
            raise EngineError(f"the upstream's {call.path} tells nothing at {call.pointer!r}")
        return answer


def _ids(tokens: list[Any]) -> tuple[int, ...]:
    return tuple(tokens) if all(isinstance(token, int) for token in tokens) else ()


class Estimate:
    """A token per three bytes of UTF-8: more than nearly any text needs, so that prompts fit."""

    name = "an estimate, a token per three bytes"

    async def prompt(self, messages: Messages) -> Prompt:
        total = sum([_estimated(message.content) + TOKENS_PER_TURN for message in messages])
        return Prompt(messages, total + TOKENS_PER_TURN, estimated=True)

    async def ids(self, text: str) -> tuple[int, ...]:  # noqa: ARG002
        return ()

    async def count(self, text: str) -> int:
        return _estimated(text)


def _estimated(text: str) -> int:
    return -(-len(text.encode()) // _BYTES_PER_TOKEN)


class TokenizerFile:
    """A `tokenizer.json`; with a chat template beside it the counts of prompts are exact."""

    def __init__(self, path: Path) -> None:
        """Raises SetupError with what to do."""
        file = path / "tokenizer.json" if path.is_dir() else path
        self.name = f"the tokenizer {file}"
        self._tokenizer = _loaded(file)
        self._template = _template(file.parent)
        self.control_tokens: tuple[str, ...] = tuple(
            token.content
            for token in self._tokenizer.get_added_tokens_decoder().values()
            if token.special
        )

    async def prompt(self, messages: Messages) -> Prompt:
        if self._template is not None:
            text = self._template.render(messages)
            ids = self._tokenizer.encode(text, add_special_tokens=False).ids
            return Prompt(messages, len(ids))
        counts = [len(await self.ids(message.content)) + TOKENS_PER_TURN for message in messages]
        return Prompt(messages, sum(counts) + TOKENS_PER_TURN, estimated=True)

    async def ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    async def count(self, text: str) -> int:
        return len(await self.ids(text))


def _loaded(file: Path) -> Any:
    try:
        from tokenizers import Tokenizer  # noqa: PLC0415
    except ImportError:
        raise SetupError(
            "LEAFSTREAM_UPSTREAM_TOKENIZER needs the package tokenizers: "
            "pip install 'leafstream[tokenizer]'"
        ) from None
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:
        raise SetupError(
            f"LEAFSTREAM_UPSTREAM_TOKENIZER={file} cannot be used: {error}; give the model's "
            "tokenizer.json"
        ) from None


class _TokenizerConfig(msgspec.Struct, frozen=True):
    chat_template: str | None = None
    bos_token: Any = None
    eos_token: Any = None


def _template(folder: Path) -> ChatTemplate | None:
    """The chat template beside a tokenizer file, where there is one."""
    file, config = folder / "tokenizer_config.json", _TokenizerConfig()
    if file.is_file():
        try:
            config = msgspec.json.decode(file.read_bytes(), type=_TokenizerConfig)
        except msgspec.MsgspecError as error:
            raise SetupError(f"{file} is not what a tokenizer has beside it: {error}") from None
    source = config.chat_template
    beside = folder / "chat_template.jinja"
    if beside.is_file():
        source = beside.read_text()
    if source is None:
        return None
    return ChatTemplate(source, bos=_spelled(config.bos_token), eos=_spelled(config.eos_token))


def _spelled(token: Any) -> str:
    return str(token["content"]) if isinstance(token, dict) else str(token or "")


def turns(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Messages as they are written to a server."""
    return [{"role": message.role, "content": message.content} for message in messages]
