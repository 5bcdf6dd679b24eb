"""Everything that can go wrong, as one tree.

LeafstreamError                 code, status, retryable, retry_after, message, param
├── SetupError                  before the port opens: a sentence and an exit code
├── InvalidRequest              the caller can mend it (4xx)
│   ├── UnsupportedSchema       a keyword that leafstream does not serve
│   ├── PromptTooLong           the prompt leaves no room, with the numbers
│   ├── NotFound                no such assistant, answer, conversation, route
│   ├── Unauthorized            no key, or none of ours
│   ├── Forbidden               this key, or this site, may not
│   ├── Conflict                the state of the thing forbids it
│   └── BodyTooLarge
├── Overloaded                  no slot and no place in the queue (503, Retry-After)
├── RateLimited                 this caller has its share already (429, Retry-After)
├── DeadlineExceeded            it took longer than it may
├── LogUnavailable              what keeps the answers cannot be reached or is full
├── Interrupted                 its process stopped, or died too long ago to go on
├── Fenced                      another process writes this answer now
├── StoreUnavailable            the database is not there, or not any more
├── InvalidAnswer               the model's answer is not valid for its type
└── EngineError                 the engine failed
    ├── EngineUnavailable       not there, or not any more; asking again may work
    ├── EngineMisconfigured     its operator has to mend a setting; asking again will not work
    └── EngineRefused           it does not serve this request; asking again will not work
"""

from __future__ import annotations

from typing import ClassVar

from leafstream.pointer import Json


class LeafstreamError(Exception):
    """An error with a stable `code` and the HTTP `status` it has before a stream is open.

    `retry_after` is in seconds, where it is known when to ask again.
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    retry_after: float | None = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        details: dict[str, Json] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.details = details or {}
        if retry_after is not None:
            self.retry_after = retry_after


class SetupError(LeafstreamError):
    code = "setup_error"


class InvalidRequest(LeafstreamError):
    code = "invalid_request"
    status = 422


class MalformedBody(InvalidRequest):
    code = "malformed_body"
    status = 400


class UnsupportedSchema(InvalidRequest):
    code = "unsupported_schema"


class PromptTooLong(InvalidRequest):
    code = "prompt_too_long"


class NotFound(InvalidRequest):
    code = "not_found"
    status = 404


class Unauthorized(InvalidRequest):
    code = "unauthorized"
    status = 401


class Forbidden(InvalidRequest):
    code = "forbidden"
    status = 403


class Conflict(InvalidRequest):
    code = "conflict"
    status = 409


class BodyTooLarge(InvalidRequest):
    code = "body_too_large"
    status = 413


class Overloaded(LeafstreamError):
    """No slot is free and the queue is full."""

    code = "overloaded"
    status = 503
    retryable = True


class StoreUnavailable(LeafstreamError):
    code = "store_unavailable"
    status = 503
    retryable = True


class InvalidAnswer(LeafstreamError):
    code = "invalid_answer"
    status = 502
    retryable = True


class EngineError(LeafstreamError):
    code = "engine_failed"
    status = 502
    retryable = True


class EngineUnavailable(EngineError):
    code = "engine_unavailable"
    status = 503


class EngineMisconfigured(EngineError):
    """`advice` is for the operator's log: which setting to mend."""

    code = "engine_misconfigured"
    retryable = False

    def __init__(self, message: str, *, advice: str) -> None:
        super().__init__(message)
        self.advice = advice

    @property
    def sentence(self) -> str:
        return f"{self.message}; {self.advice}"


class EngineRefused(EngineError):
    code = "engine_refused"
    status = 422
    retryable = False


class Fenced(LeafstreamError):
    """Another process writes this answer now; this one has nothing more to say about it."""

    code = "fenced"


class LogUnavailable(LeafstreamError):
    code = "log_unavailable"
    status = 503
    retryable = True


class RateLimited(LeafstreamError):
    """This key has as many answers running, or asks as often, as it may."""

    code = "rate_limited"
    status = 429
    retryable = True


class DeadlineExceeded(LeafstreamError):
    code = "deadline_exceeded"
    status = 504
    retryable = True


class Interrupted(LeafstreamError):
    code = "interrupted"
    status = 503
    retryable = True
    retry_after = 1.0  # who started this process starts the next one
