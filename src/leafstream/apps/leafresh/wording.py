"""What a message says: another category, back to the first, or nothing for this chatbot."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import msgspec

from leafstream.apps.leafresh.categories import CATEGORIES, Category
from leafstream.apps.leafresh.korean import Korean, Morpheme

GREEN = (
    "환경, 친환경, 지구, 기후, 기후변화, 온난화, 자연 보호, 생태, 생태계, 오염, 미세먼지, 쓰레기, "
    "탄소중립, 지속 가능, 지속가능, 에코, 절약, 미세플라스틱, 해양, 숲, 나무 심기, 북극곰, 멸종, "
    "동물 보호, 음식물, 종이, 태양광, 재생 에너지, 폭염, 가뭄, eco, environment, climate, green"
).split(", ")
BACK = frozenset("원래 처음 이전 기존".split())
ASKING = frozenset(
    "추천 챌린지 미션 도전 알리 바꾸 다르 다른 또 다시 더 쉽 어렵 간단 새 새롭 설명 자세히 고르 "
    "보이 돌아가 부탁 줄이 아끼 덜".split()
)
# Nouns that say what is asked for, when, or with whom, and not what it is about.
NEUTRAL = frozenset(
    "추천 챌린지 미션 도전 활동 실천 방법 걸 것 거 아이디어 목록 종류 카테고리 주제 분야 항목 내용 "
    "설명 이유 예시 하나 부탁 간단 집 아이 아기 가족 친구 동료 혼자 사람 아침 점심 저녁 밤 낮 오늘 "
    "내일 주말 평일 매일 하루 일주일 한달 시간 날 비 눈 봄 여름 가을 겨울 학생 직장인 초보 생활 "
    "일상 출근 퇴근 출퇴근 재택 근무 대신 제외 처음 이전 기존 말 정리 삭제 관리 준비".split()
)
ASIDE = frozenset("말 말고 빼 대신 아니 제외".split())
ABOUT = frozenset("대하 관하".split())
# Between the syllables of a curse stand digits and signs, never spaces: 다시 발견 is none.
_GAP = r"[\d!@#$%^&*._~\-]*"
_CURSES = (
    f"씨{_GAP}발(?!표|전|견|생|행|달|열)|(?<![가-힣])(?:아|야|이런|에이)?시{_GAP}발(?!점|역|택시|한)",
    f"병{_GAP}신(?!경)|개{_GAP}새{_GAP}끼|씹{_GAP}새끼|이{_GAP}새끼(?!손|발|고)|새끼야|지{_GAP}랄",
    f"좆|존{_GAP}나(?!무)|미친{_GAP}(?:놈|년|새끼)|개자식|(?<![가-힣])개같은|엿\\s?먹어|닥쳐(?!오|온|올|왔)",
    r"ㅅㅂ|ㅆㅂ|ㅂㅅ|ㅄ|ㅈㄹ|ㄱㅅㄲ|\bfuck|\bshit\b|\bbitch|\basshole",
)
ABUSE = re.compile("|".join(_CURSES), re.IGNORECASE)

Rank = Literal["green", "hint", "word", "label"]
_WEIGHT: dict[Rank, int] = {"green": 0, "hint": 1, "word": 2, "label": 3}


class Reading(msgspec.Struct, frozen=True):
    """`category` is the one that a message names; `goes_back` asks for the session's first one."""

    on_topic: bool
    category: Category | None = None
    goes_back: bool = False


class _Phrase(msgspec.Struct, frozen=True):
    forms: tuple[str, ...]
    rank: Rank
    category: Category | None = None


class _Mention(msgspec.Struct, frozen=True):
    """A phrase that a message holds; `aside` where it says what is not wanted (비건 말고)."""

    phrase: _Phrase
    places: range
    aside: bool


class Wording:
    """Reads messages by the words they hold; nothing here asks a model."""

    def __init__(self, korean: Korean) -> None:
        self._korean = korean
        self._phrases: dict[str, list[_Phrase]] = {}
        for phrase in self._compiled():
            self._phrases.setdefault(phrase.forms[0], []).append(phrase)
        for phrases in self._phrases.values():
            phrases.sort(key=lambda phrase: (-len(phrase.forms), -_WEIGHT[phrase.rank]))

    def read(self, message: str) -> Reading:
        if ABUSE.search(message):
            return Reading(on_topic=False)
        morphemes = self._korean.read(message)
        content = [place for place, morpheme in enumerate(morphemes) if morpheme.is_content]
        mentions = list(self._mentions(morphemes, content))
        if not _is_on_topic(morphemes, mentions):
            return Reading(on_topic=False)
        category = _wanted(mentions)
        back = category is None and any(
            morphemes[place].form in BACK and not _is_aside(morphemes, place) for place in content
        )
        return Reading(on_topic=True, category=category, goes_back=back)

    def _compiled(self) -> Iterator[_Phrase]:
        yield from (_Phrase(self._forms(word), "green") for word in GREEN)
        for category in CATEGORIES:
            yield _Phrase(self._forms(category.label), "label", category)
            yield from (_Phrase(self._forms(word), "word", category) for word in category.words)
            yield from (_Phrase(self._forms(word), "hint", category) for word in category.hints)

    def _forms(self, word: str) -> tuple[str, ...]:
        return self._korean.content(word)

    def _mentions(self, morphemes: tuple[Morpheme, ...], content: list[int]) -> Iterator[_Mention]:
        """The longest phrases, from left to right, none inside another."""
        forms = [morphemes[place].form for place in content]
        at = 0
        while at < len(forms):
            phrase = self._phrase_at(forms, at)
            if phrase is None:
                at += 1
                continue
            end = at + len(phrase.forms)
            places = range(content[at], content[end - 1] + 1)
            yield _Mention(phrase, places, _is_aside(morphemes, places[-1]))
            at = end

    def _phrase_at(self, forms: list[str], at: int) -> _Phrase | None:
        for phrase in self._phrases.get(forms[at], ()):
            if tuple(forms[at : at + len(phrase.forms)]) == phrase.forms:
                return phrase
        return None


def _wanted(mentions: list[_Mention]) -> Category | None:
    """The category that weighs most; the last one named where several do."""
    named = [mention for mention in mentions if mention.phrase.category and not mention.aside]
    if not named:
        return None
    return max(reversed(named), key=lambda mention: _WEIGHT[mention.phrase.rank]).phrase.category


def _is_on_topic(morphemes: tuple[Morpheme, ...], mentions: list[_Mention]) -> bool:
    """It speaks of the environment; or it asks the chatbot for something, and names no other."""
    if any(mention.phrase.rank != "hint" for mention in mentions):
        return True
    named = {place for mention in mentions for place in mention.places}
    return _asks(morphemes) and not any(
        morpheme.is_noun
        and place not in named
        and morpheme.form not in NEUTRAL
        and not _is_circumstance(morphemes, place)
        for place, morpheme in enumerate(morphemes)
    )


def _asks(morphemes: tuple[Morpheme, ...]) -> bool:
    forms = {morpheme.form for morpheme in morphemes}
    is_there_any = bool(forms & {"거", "것"}) and bool(forms & {"있", "없"})
    return bool(forms & ASKING) or bool(forms & BACK) or is_there_any


def _is_circumstance(morphemes: tuple[Morpheme, ...], place: int) -> bool:
    """Whether a noun says where, when or with whom (회사에서, 아이와), and not what about."""
    rest = iter(morphemes[place + 1 :])
    after = next((m for m in rest if not m.is_noun and m.tag not in ("NNB", "XSN")), None)
    if after is None or after.tag not in ("JKB", "JC"):
        return False
    following = next(rest, None)
    return following is None or following.form not in ABOUT


def _is_aside(morphemes: tuple[Morpheme, ...], place: int) -> bool:
    rest = (m for m in morphemes[place + 1 : place + 4] if not m.tag.startswith(("J", "XS")))
    after = next(rest, None)
    return after is not None and after.form in ASIDE
