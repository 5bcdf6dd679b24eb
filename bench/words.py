"""Text that does not repeat itself, so that no guard takes it for a model that goes in circles."""

from __future__ import annotations

import random

LETTERS = "etaoinshrdlucmfwyp", "가나다라마바사아자차카타파하을를은는"


def prose(num_tokens: int) -> list[str]:
    """Tokens of four characters, English and Korean words."""
    draw = random.Random(1)
    words: list[str] = []
    size = 0
    while size < 4 * num_tokens:
        letters = draw.choice(LETTERS)
        words.append("".join(draw.choices(letters, k=draw.randint(1, 9))))
        size += len(words[-1]) + 1
    text = " ".join(words)
    return [text[at : at + 4] for at in range(0, 4 * num_tokens, 4)]
