"""What a client of the chatbot is told when there is no answer: its envelope and its sentences."""

from __future__ import annotations

import msgspec

from leafstream.errors import LeafstreamError
from leafstream.events import Cancelled, Failed
from leafstream.pointer import Json

ENGINE = "AI 서버로부터 추천 결과를 받아오는 데 실패했습니다."
SHORT = "message는 문자열이어야 하며, 최소 5자 이상의 문자열이어야 합니다."
INVALID = "유효하지 않은 선택 항목이 포함되어 있습니다."
UNKNOWN = "서버에서 문제가 발생했습니다. 잠시 후 다시 시도해 주세요."

_SAID = {
    "engine_failed": (502, ENGINE),
    "engine_unavailable": (502, ENGINE),
    "engine_misconfigured": (502, ENGINE),
    "engine_refused": (502, ENGINE),
    "invalid_answer": (502, "AI가 추천을 완성하지 못했습니다. 다시 시도해 주세요."),
    "overloaded": (503, "지금은 요청이 많습니다. 잠시 후 다시 시도해 주세요."),
    "prompt_too_long": (422, "메시지가 너무 깁니다. 더 짧게 적어 주세요."),
    "not_found": (404, "이어서 받을 추천이 없습니다. 다시 시도해 주세요."),
    "cancelled": (503, "추천이 중단되었습니다. 잠시 후 다시 시도해 주세요."),
}


class Envelope(msgspec.Struct, frozen=True):
    """Every body and every event's data: {"status", "message", "data"}."""

    status: int
    message: str
    data: Json = None

    def encode(self) -> bytes:
        return msgspec.json.encode(self)


class Refused(LeafstreamError):
    """A request that this face refuses in its client's own words."""

    code = "refused"

    def __init__(self, status: int, message: str, data: Json = None) -> None:
        super().__init__(message)
        self.envelope = Envelope(status, message, data)


def refused(error: LeafstreamError) -> Envelope:
    """What is said of an error before the stream opens."""
    return error.envelope if isinstance(error, Refused) else _said(error.code, error.status)


def ending(event: Failed | Cancelled) -> Envelope:
    """What is said of an answer that ended without one."""
    if isinstance(event, Cancelled):
        return _said("cancelled", 503)
    return _said(event.code, event.status)


def missing(names: list[str]) -> Refused:
    return Refused(400, f"{', '.join(names)}은 필수입니다.")


def invalid(names: list[str]) -> Refused:
    return Refused(400, INVALID, {"invalidFields": list(names)})


def too_short() -> Refused:
    return Refused(422, SHORT)


def _said(code: str, status: int) -> Envelope:
    known, sentence = _SAID.get(code, (status, UNKNOWN))
    return Envelope(known, sentence)
