"""The challenges that people wrote, found for a question by BM25 over Korean morphemes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib import resources
from math import log

import msgspec

from leafstream.apps.leafresh.categories import CATEGORIES, Category
from leafstream.apps.leafresh.korean import Korean

K1 = 1.2
B = 0.75


class Challenge(msgspec.Struct, frozen=True):
    title: str
    description: str


class Found(msgspec.Struct, frozen=True):
    """A challenge of the library, as `started` shows it; a higher `score` fits better."""

    title: str
    description: str
    category: str
    label: str
    score: float


class Index:
    """Okapi BM25 (Robertson and Zaragoza 2009), with the idf that is never negative."""

    def __init__(self, documents: Sequence[Sequence[str]]) -> None:
        self._counts = [Counter(document) for document in documents]
        self._lengths = [len(document) for document in documents]
        self._mean = sum(self._lengths) / max(len(documents), 1)
        holding = Counter(word for counts in self._counts for word in counts)
        self._idf = {
            word: log(1 + (len(documents) - n + 0.5) / (n + 0.5)) for word, n in holding.items()
        }

    def score(self, document: int, query: Sequence[str]) -> float:
        counts = self._counts[document]
        norm = K1 * (1 - B + B * self._lengths[document] / self._mean)
        return sum(
            self._idf[word] * counts[word] * (K1 + 1) / (counts[word] + norm)
            for word in set(query)
            if counts[word]
        )


class Library:
    """Every challenge, searched within one category."""

    def __init__(self, korean: Korean) -> None:
        self._korean = korean
        self._texts = [(category, text) for category in CATEGORIES for text in texts(category)]
        self._index = Index(
            [korean.content(f"{text.title}. {text.description}") for _, text in self._texts]
        )

    def find(self, question: str, category: Category, count: int = 5) -> list[Found]:
        """The best `count` of a category, best first; where nothing fits, the first ones."""
        words = self._korean.content(question)
        found = [
            Found(
                text.title,
                text.description,
                category.code,
                category.label,
                round(self._index.score(number, words), 3),
            )
            for number, (of, text) in enumerate(self._texts)
            if of is category
        ]
        return sorted(found, key=lambda text: -text.score)[:count]


def texts(category: Category) -> list[Challenge]:
    """The challenges of a category, from its file in the folder `challenges`."""
    name = f"challenges/{category.code.lower()}.jsonl"
    data = resources.files(__package__).joinpath(name).read_bytes()
    return msgspec.json.decode(b"[" + b",".join(data.splitlines()) + b"]", type=list[Challenge])
