"""Small GGUF files, written independently of the reader."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

U32, I32, F32, BOOL, STRING, ARRAY, U64 = 4, 5, 6, 7, 8, 9, 10
F32_TENSOR, Q4_1_TENSOR = 0, 3
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(raw)) + raw


def u32(value: int) -> bytes:
    return struct.pack("<II", U32, value)


def boolean(value: bool) -> bytes:
    return struct.pack("<I?", BOOL, value)


def string(value: str) -> bytes:
    return struct.pack("<I", STRING) + text(value)


def strings(values: Sequence[str | bytes]) -> bytes:
    return struct.pack("<IIQ", ARRAY, STRING, len(values)) + b"".join(map(text, values))


def numbers(values: Sequence[int], kind: int = I32) -> bytes:
    layout = {I32: "i", U32: "I", F32: "f"}[kind]
    return struct.pack(f"<IIQ{len(values)}{layout}", ARRAY, kind, len(values), *values)


def tensor(name: str, shape: Sequence[int], kind: int, offset: int) -> bytes:
    return (
        text(name)
        + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        + struct.pack("<IQ", kind, offset)
    )


TOKENS = ["<unk>", "<s>", "</s>", "hello", "▁world", "<|im_start|>", "<|im_end|>", "<b>", "<tool>"]
TYPES = [UNKNOWN, CONTROL, CONTROL, NORMAL, NORMAL, CONTROL, NORMAL, USER_DEFINED, USER_DEFINED]


def llama_keys() -> dict[str, bytes]:
    return {
        "general.architecture": string("llama"),
        "general.name": string("Tiny"),
        "general.file_type": u32(3),
        "llama.context_length": u32(2048),
        "llama.embedding_length": u32(64),
        "llama.block_count": u32(2),
        "llama.attention.head_count": u32(4),
        "llama.attention.head_count_kv": u32(2),
        "tokenizer.ggml.model": string("gpt2"),
        "tokenizer.ggml.tokens": strings(TOKENS),
        "tokenizer.ggml.token_type": numbers(TYPES),
        "tokenizer.ggml.merges": strings(["h e", "l l"]),
        "tokenizer.ggml.bos_token_id": u32(1),
        "tokenizer.ggml.eos_token_id": u32(2),
        "tokenizer.chat_template": string("{{ messages }}"),
    }


@dataclass
class Gguf:
    """A model of two tensors unless told otherwise; `bytes()` is the file."""

    keys: dict[str, bytes] = field(default_factory=llama_keys)
    tensors: list[bytes] = field(
        default_factory=lambda: [
            tensor("embedding", [64, 9], Q4_1_TENSOR, 0),
            tensor("norm", [64], F32_TENSOR, 384),
        ]
    )
    data: bytes = b"\x07" * (384 + 256)
    version: int = 3
    alignment: int = 32

    def bytes(self) -> bytes:
        head = struct.pack("<4sIQQ", b"GGUF", self.version, len(self.tensors), len(self.keys))
        head += b"".join(text(key) + value for key, value in self.keys.items())
        head += b"".join(self.tensors)
        return head + b"\0" * (-len(head) % self.alignment) + self.data
