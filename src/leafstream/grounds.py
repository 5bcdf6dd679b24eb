"""What is found for a question and put before it, so that the model answers from it."""

from __future__ import annotations

import msgspec

from leafstream.messages import Message, Messages
from leafstream.pointer import Json


class Grounds(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an assistant's `retrieve` gives for a question.

    `context` ends the system turn; `examples` are whole turns after it, the first to go where room
    is short; `sources` are shown in `started`.
    """

    context: str = ""
    examples: Messages = ()
    sources: list[Json] = []

    def before(self, turns: Messages) -> Messages:
        """The turns, of which the first may be the system's, with these grounds put to them."""
        has_system = bool(turns) and turns[0].role == "system"
        system = turns[0].content if has_system else ""
        system = "\n\n".join(filter(None, (system, self.context)))
        head = (Message("system", system),) if system else ()
        return (*head, *self.examples, *turns[has_system:])
