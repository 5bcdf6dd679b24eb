"""What is asked, as a value that is kept with the answer: enough to write it in another process."""

from __future__ import annotations

import hashlib

import msgspec

from leafstream.canonical import RawSchema
from leafstream.decoder.pace import Pace
from leafstream.grounds import Grounds
from leafstream.messages import Messages
from leafstream.pointer import Json
from leafstream.sampling import Sampling


class Ask(msgspec.Struct, frozen=True, omit_defaults=True):
    """One answer that is wanted, whichever face it came through.

    The type is the caller's own `schema`, or that of the declared `assistant`, or plain text where
    neither is given. `owner` is the key that asked (promise: nobody else reads the answer).
    `grounds` are what was found for the question, None where nobody has looked yet; `face` is what
    a face needs to know again when it is read.
    Without `trim` no turn is dropped: a prompt that does not fit is refused. Without `rewrite` an
    invalid part is not written again, for readers from whom text cannot be taken back.
    """

    messages: Messages
    assistant: str | None = None
    schema: RawSchema | None = None
    max_tokens: int | None = None
    sampling: Sampling = Sampling()
    pace: Pace = Pace("token")
    conversation: str | None = None
    soft_landing: bool = True
    background: bool = False
    trim: bool = True
    rewrite: bool = True
    owner: str = ""
    grounds: Grounds | None = None
    face: dict[str, Json] = {}

    def fingerprint(self) -> str:
        """Equal for equal requests: what an idempotency key is held against."""
        # What is found may be something else when the same is asked again.
        asked = msgspec.structs.replace(self, grounds=None)
        return hashlib.sha256(msgspec.json.encode(asked)).hexdigest()
