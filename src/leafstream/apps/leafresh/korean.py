"""Korean text as the morphemes it is made of, so that 텀블러를 and 텀블러 are one word."""

from __future__ import annotations

import unicodedata
from functools import cache

import msgspec

from leafstream.errors import SetupError

try:
    from kiwipiepy import Kiwi
except ImportError:
    raise SetupError(
        "the Leafresh app reads Korean with kiwipiepy; pip install 'leafstream[leafresh]'"
    ) from None

MAX_CHARS = 1000
NOUNS = ("NNG", "NNP", "SL", "XR")
CONTENT = (*NOUNS, "NR", "VV", "VA", "MM", "MAG")
# Words that the analyzer would take apart, or take for something else.
OWN_WORDS = (
    "비건 줍깅 걷기 다회용기 일회용 물티슈 재활용 친환경 온실가스 배기가스 저탄소 소등 멀티탭 "
    "업사이클 새활용 양말목 폐현수막 대체육 식물성 클린하이킹"
).split()


class Morpheme(msgspec.Struct, frozen=True):
    """`tag` is of the Sejong tag set: NNG a noun, VV a verb, JKB an adverbial particle …"""

    form: str
    tag: str

    @property
    def is_content(self) -> bool:
        return self.tag in CONTENT

    @property
    def is_noun(self) -> bool:
        return self.tag in NOUNS


class Korean:
    """An analyzer of Korean. Loading it takes about a second and 260 MB."""

    def __init__(self) -> None:
        # The other dictionaries hold names and typing slips; they would double the memory.
        self._kiwi = Kiwi(load_default_dict=False, load_typo_dict=False, load_multi_dict=False)
        for word in OWN_WORDS:
            self._kiwi.add_user_word(word, "NNG")

    def read(self, text: str) -> tuple[Morpheme, ...]:
        """The morphemes of the first thousand characters; verbs by their stem."""
        tokens = self._kiwi.tokenize(unicodedata.normalize("NFC", text[:MAX_CHARS]))
        return tuple(
            Morpheme(token.form.casefold(), token.tag.partition("-")[0]) for token in tokens
        )

    def content(self, text: str) -> tuple[str, ...]:
        """The words that carry meaning, without particles and endings."""
        return tuple(morpheme.form for morpheme in self.read(text) if morpheme.is_content)


@cache
def korean() -> Korean:
    """The analyzer of this process: it is never changed, and one is enough."""
    return Korean()
