"""What engines that load a model share of how it reads: its window, and messages as its prompt."""

from __future__ import annotations

from leafstream.errors import SetupError
from leafstream.messages import Messages
from leafstream.models.shape import DEFAULT_WINDOW
from leafstream.prompt import ChatTemplate, ControlTokens


def served_window(trained: int | None, wanted: int | None) -> int:
    """The context window served, in tokens. Raises SetupError beyond what the model knows."""
    trained = trained or DEFAULT_WINDOW
    if wanted is None:
        return min(trained, DEFAULT_WINDOW)
    if not 64 <= wanted <= trained:
        raise SetupError(
            f"a context window of {wanted} tokens does not go with this model: it was trained on "
            f"{trained}; set LEAFSTREAM_CONTEXT_WINDOW between 64 and {trained}"
        )
    return wanted


class Templates:
    """A model's chat template, and those that assistants bring for it, each compiled once."""

    def __init__(self, own: ChatTemplate, control: ControlTokens) -> None:
        self._own = own
        self._control = control
        self._brought: dict[str, ChatTemplate] = {}

    def rendered(self, messages: Messages, source: str | None) -> tuple[Messages, str]:
        """The messages with control tokens made plain text, and the prompt of them.

        `source` is Jinja instead of the model's own template. Raises EngineRefused.
        """
        clean = self._control.cleaned(messages)
        return clean, self._template(source).render(clean)

    def _template(self, source: str | None) -> ChatTemplate:
        if source is None:
            return self._own
        if source not in self._brought:  # as many as there are assistants that bring one
            self._brought[source] = self._own.with_source(source)
        return self._brought[source]
