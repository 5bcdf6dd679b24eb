"""Chat templates: from messages to the text a model was trained on."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NoReturn

import jinja2
import jinja2.sandbox
import msgspec

from leafstream.errors import EngineRefused, SetupError
from leafstream.messages import Message, Messages

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content']"
    " + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
ZERO_WIDTH_SPACE = "\u200b"


class ControlTokens:
    """The model's control tokens, which nobody but the template may write (promise B13).

    `patterns` are regular expressions of more of them, for a vocabulary that is not known.
    """

    def __init__(self, tokens: tuple[str, ...], patterns: tuple[str, ...] = ()) -> None:
        # Longest first, so that a token that begins another does not hide it.
        ordered = sorted({token for token in tokens if len(token) > 1}, key=len, reverse=True)
        ways = [*map(re.escape, ordered), *patterns]
        self._pattern = re.compile("|".join(ways)) if ways else None

    def neutralized(self, text: str) -> str:
        """`text` with every control token broken by a zero-width space: it reads as text."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: _broken(match[0]), text)

    def cleaned(self, messages: Messages) -> Messages:
        """The messages, neutralized."""
        return tuple(Message(m.role, self.neutralized(m.content)) for m in messages)


def _broken(token: str) -> str:
    return token[0] + ZERO_WIDTH_SPACE + token[1:]


class ChatTemplate:
    """A model's Jinja template, run in a sandbox as transformers runs it."""

    def __init__(self, source: str, *, bos: str = "", eos: str = "") -> None:
        """Raises SetupError where the template is no Jinja or drops a turn (promise A18)."""
        environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = _now
        self.source = source
        self._special = {"bos_token": bos, "eos_token": eos}
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateError as error:
            raise SetupError(f"the chat template is not valid Jinja: {error}") from None
        self._check()

    def with_source(self, source: str) -> ChatTemplate:
        """Another template for the same model. Raises SetupError as the constructor does."""
        return ChatTemplate(source, bos=self._special["bos_token"], eos=self._special["eos_token"])

    @cached_property
    def takes_system(self) -> bool:
        """Whether the template has a place for a system turn; else it joins the first user turn."""
        probe = (Message("system", "<system probe>"), Message("user", "<user probe>"))
        try:
            return "<system probe>" in self._render(probe)
        except jinja2.TemplateError:
            return False

    def render(self, messages: Messages) -> str:
        """The prompt text up to where the assistant's turn begins. Raises EngineRefused."""
        try:
            return self._render(messages if self.takes_system else _system_in_user(messages))
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise EngineRefused(f"the model's chat template refuses these turns: {error}") from None

    def _render(self, messages: Messages) -> str:
        return self._template.render(
            messages=msgspec.to_builtins(messages), add_generation_prompt=True, **self._special
        )

    def _check(self) -> None:
        turns = (
            Message("system", "<system probe>"),
            Message("user", "<first probe>"),
            Message("assistant", "<reply probe>"),
            Message("user", "<second probe>"),
        )
        try:
            text = self.render(turns)
        except EngineRefused as error:
            raise SetupError(f"the chat template cannot be used: {error}") from None
        for turn in turns:
            if turn.content not in text:
                raise SetupError(
                    f"the chat template drops the {turn.role} turn; give one that keeps it "
                    "with LEAFSTREAM_CHAT_TEMPLATE=/path/to/template.jinja or "
                    "Assistant(chat_template=…)"
                )


def _system_in_user(messages: Messages) -> Messages:
    if len(messages) < 2 or messages[0].role != "system":
        return messages
    first = Message("user", f"{messages[0].content}\n\n{messages[1].content}")
    return (first, *messages[2:])


def _to_json(value: Any, indent: int | None = None) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=indent or -1).decode()


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _now(pattern: str) -> str:
    return datetime.now(UTC).strftime(pattern)
