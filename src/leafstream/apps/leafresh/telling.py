"""From an answer's events to what the chatbot's clients read: the whole mapping, sans-I/O.

Theory of operation. A client appends the `data` of each `challenge` to what it shows, and can take
nothing back. So what it holds is always the beginning of one text: the fields in reading order, a
line each. A field is told when the fields before it are whole; one that the model wrote anew is
told again on a line of its own. A frame's id is the answer's id and how many characters of that
text a client holds after it, so that a client can come back between any two frames, wherever the
events between them lay and however the log had merged them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from leafstream.apps.leafresh.categories import Category
from leafstream.apps.leafresh.refusals import Envelope, ending
from leafstream.decoder.value import Fold
from leafstream.events import Cancelled, Event, Failed, Finished, TextAppended, ValueSet
from leafstream.pointer import Json

PIECE = "토큰 생성"
DONE = "모든 챌린지 추천 완료"
OFF_TOPIC = (
    "저는 친환경 챌린지를 추천해드리는 Leafresh 챗봇이에요! "
    "환경 관련 질문을 해주시면 더 잘 도와드릴 수 있어요."
)
OFF_TOPIC_ID = "off-topic"
END = "end"
MAX_DIGITS = 9


class Frame(msgspec.Struct, frozen=True):
    """One event of a client: its `id`, its name, and its data."""

    id: str
    event: Literal["challenge", "close", "error"]
    data: Envelope


class Place(msgspec.Struct, frozen=True):
    """Where a client is: it holds `told` characters of an answer; None: all, and its end."""

    answer: str
    told: int | None

    @classmethod
    def parse(cls, last_event_id: str) -> Place | None:
        """The place that a frame's id names; None where it is no frame's id."""
        answer, _, told = last_event_id.rpartition(".")
        if answer and told == END:
            return cls(answer, None)
        if answer and told.isascii() and told.isdigit() and len(told) <= MAX_DIGITS:
            return cls(answer, int(told))
        return None

    def __str__(self) -> str:
        return f"{self.answer}.{END if self.told is None else self.told}"


class Subject(msgspec.Struct, frozen=True):
    """What the server adds to an answer: its category, and the texts found for the question."""

    category: Category
    sources: list[Json] = []


class Telling:
    """Tells one client one answer, of which it holds `told` characters already."""

    def __init__(self, answer: str, subject: Subject, told: int = 0) -> None:
        self._answer = answer
        self._subject = subject
        self._told = told
        self._fold = Fold()
        self._growing: str | None = None
        self._text = ""
        self._before = ""
        self._start = 0

    def feed(self, event: Event) -> list[Frame]:
        """The frames that an event leads to, in order."""
        if isinstance(event, TextAppended | ValueSet):
            self._fold.apply(event)
            self._growing = event.path if isinstance(event, TextAppended) else None
            return self._grown(reading(self._fold.value, self._growing))
        if isinstance(event, Finished):
            value = completed(event.value, self._subject)
            return [*self._grown(reading(value)), self._close(value)]
        if isinstance(event, Failed | Cancelled):
            return [Frame(str(Place(self._answer, None)), "error", ending(event))]
        return []

    def _grown(self, text: str) -> list[Frame]:
        """What `text`, all that can be read so far, says beyond what was told."""
        now = self._before + text[self._start :]
        if self._text.startswith(now):
            return []
        if not now.startswith(self._text):
            now = self._anew(text)
        news = now[max(len(self._text), self._told) :]
        self._text = now
        return [self._piece(news)] if news else []

    def _anew(self, text: str) -> str:
        """The model wrote again what was told: go on with the first line that is different."""
        same = self._start + _num_equal(self._text[len(self._before) :], text[self._start :])
        self._before = self._text + "\n"
        self._start = text.rfind("\n", 0, same) + 1
        return self._before + text[self._start :]

    def _piece(self, text: str) -> Frame:
        place = Place(self._answer, len(self._text))
        return Frame(str(place), "challenge", Envelope(200, PIECE, text))

    def _close(self, value: dict[str, Any]) -> Frame:
        category = self._subject.category
        labels = {"category": category.code, "label": category.label}
        challenges = [{**challenge, **labels} for challenge in value["challenges"]]
        data = {"recommend": value["recommend"], "challenges": challenges}
        return Frame(str(Place(self._answer, None)), "close", Envelope(200, DONE, data))


def _num_equal(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def reading(value: Json, growing: str | None = None) -> str:
    """The fields in reading order, a line each, as far as they are whole; the last may grow."""
    lines = []
    for path, text in _fields(value):
        if not isinstance(text, str):
            break
        if text.strip():
            lines.append(text)
        if path == growing:
            break
    return "\n".join(lines)


def _fields(value: Any) -> Iterator[tuple[str, Json]]:
    value = value or {}
    yield "/recommend", value.get("recommend")
    for number, challenge in enumerate(value.get("challenges") or []):
        for name in ("title", "description"):
            yield f"/challenges/{number}/{name}", challenge.get(name)


def completed(value: Any, subject: Subject) -> dict[str, Any]:
    """The answer without blanks, which stand where the model had no room left to write.

    A challenge without a title becomes one of those found for the question.
    """
    titles = {challenge["title"] for challenge in value["challenges"]}
    spare = (dict(found) for found in _dicts(subject.sources) if found["title"] not in titles)
    challenges = []
    for challenge in value["challenges"]:
        title, description = challenge["title"], challenge["description"]
        if not title.strip():
            found = next(spare, {"title": subject.category.label, "description": ""})
            title, description = found["title"], found["description"]
        described = description if description.strip() else "오늘 한 번 실천해 보세요."
        challenges.append({"title": title, "description": described})
    recommend = value["recommend"]
    if not recommend.strip():
        recommend = f"{subject.category.label} 챌린지를 추천해 드려요."
    return {"recommend": recommend, "challenges": challenges}


def _dicts(sources: list[Json]) -> Iterator[dict[str, Any]]:
    return (source for source in sources if isinstance(source, dict))


def off_topic(told: int = 0) -> list[Frame]:
    """The answer to a message about something else, of which a client holds `told` characters."""
    frames = []
    if rest := OFF_TOPIC[told:]:
        place = Place(OFF_TOPIC_ID, len(OFF_TOPIC))
        frames.append(Frame(str(place), "challenge", Envelope(200, PIECE, rest)))
    data: Json = {"recommend": OFF_TOPIC, "challenges": None}
    close = Frame(str(Place(OFF_TOPIC_ID, None)), "close", Envelope(200, DONE, data))
    return [*frames, close]
