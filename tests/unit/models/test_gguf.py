from __future__ import annotations

import contextlib
import struct
import time
import tracemalloc
from pathlib import Path

import platformdirs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leafstream.errors import SetupError
from leafstream.models.catalog import DEFAULT
from leafstream.models.gguf import Header, read_header

from .writer import (
    BYTE,
    CONTROL,
    F32_TENSOR,
    NORMAL,
    USER_DEFINED,
    Gguf,
    boolean,
    llama_keys,
    numbers,
    string,
    strings,
    tensor,
    text,
    u32,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def header_of(path: Path, content: bytes) -> Header:
    path.write_bytes(content)
    return read_header(path)


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(SetupError) as caught:
        read_header(path)
    assert str(path) in caught.value.message
    return caught.value.message.removeprefix(str(path))


def test_a_header_says_what_the_model_is(path: Path) -> None:
    content = Gguf().bytes()
    header = header_of(path, content)
    assert header == Header(
        architecture="llama",
        name="Tiny",
        context_length=2048,
        embedding_length=64,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        key_length=16,
        value_length=16,
        vocab_size=9,
        chat_template="{{ messages }}",
        bos_token="<s>",
        eos_token="</s>",
        add_bos=False,
        control_tokens=("<unk>", "<s>", "</s>", "<|im_start|>", "<tool>", "<|im_end|>"),
        tensor_bytes=64 * 9 // 32 * 20 + 64 * 4,
        num_parameters=64 * 9 + 64,
        quantization="Q4_1",
        file_size=len(content),
    )


def test_version_2_reads_like_version_3(path: Path) -> None:
    assert header_of(path, Gguf(version=2).bytes()) == header_of(path, Gguf().bytes())


def test_a_file_that_says_little_is_still_read(path: Path) -> None:
    header = header_of(path, Gguf({"general.architecture": string("x")}, [], b"").bytes())
    assert (header.name, header.context_length, header.num_kv_heads) == (None, None, None)
    assert (header.vocab_size, header.control_tokens, header.quantization) == (0, (), None)


def test_counts_that_differ_between_layers_are_the_largest(path: Path) -> None:
    keys = llama_keys() | {"llama.attention.head_count_kv": numbers([0, 8, 2])}
    assert header_of(path, Gguf(keys).bytes()).num_kv_heads == 8


def test_lengths_per_head_are_taken_as_given(path: Path) -> None:
    keys = llama_keys() | {
        "llama.attention.key_length": u32(256),
        "llama.attention.value_length": u32(128),
    }
    header = header_of(path, Gguf(keys).bytes())
    assert (header.key_length, header.value_length) == (256, 128)


@pytest.mark.parametrize(
    ("file_type", "quantization"),
    [
        (0, "F32"),
        (15, "Q4_K_M"),
        (1024 + 15, "Q4_K_M"),
        (4, "Q4_1"),
        (9999, "Q4_1"),
        (None, "Q4_1"),
    ],
)
def test_the_quantization_is_the_named_one_or_that_of_most_bytes(
    path: Path, file_type: int | None, quantization: str
) -> None:
    keys = llama_keys()
    del keys["general.file_type"]
    if file_type is not None:
        keys["general.file_type"] = u32(file_type)
    assert header_of(path, Gguf(keys).bytes()).quantization == quantization


@pytest.mark.parametrize(
    ("keys", "adds"),
    [
        ({"tokenizer.ggml.model": string("llama")}, True),
        ({"tokenizer.ggml.pre": string("llama-bpe")}, True),
        ({"tokenizer.ggml.pre": string("smollm")}, False),
        (
            {
                "tokenizer.ggml.model": string("llama"),
                "tokenizer.ggml.add_bos_token": boolean(False),
            },
            False,
        ),
        ({"tokenizer.ggml.add_bos_token": boolean(True)}, True),
    ],
)
def test_a_bos_token_is_added_where_llama_cpp_adds_one(
    path: Path, keys: dict[str, bytes], adds: bool
) -> None:
    assert header_of(path, Gguf(llama_keys() | keys).bytes()).add_bos is adds


@pytest.mark.parametrize(
    ("token", "kind", "is_control"),
    [
        ("<|user|>", CONTROL, True),
        ("anything", CONTROL, True),
        ("", CONTROL, False),
        ("<start_of_image>", USER_DEFINED, True),
        ("<think>", USER_DEFINED, True),
        ("[multimodal]", USER_DEFINED, True),
        ("<｜User｜>", USER_DEFINED, True),
        ("\n\n", USER_DEFINED, False),
        ("   ", USER_DEFINED, False),
        ("<table>", USER_DEFINED, False),
        ("</h3>", USER_DEFINED, False),
        ("[1]", USER_DEFINED, False),
        ("->", USER_DEFINED, False),
        ("<|user|>", NORMAL, False),
        ("<|im_end|>", NORMAL, True),
        ("_<EOT>", NORMAL, True),
        ("[EOS]", NORMAL, True),
        ("x<|im_end|>", NORMAL, False),
        ("<0x0A>", BYTE, False),
    ],
)
def test_control_tokens_are_those_that_an_engine_would_obey(
    path: Path, token: str, kind: int, is_control: bool
) -> None:
    keys = {
        "general.architecture": string("llama"),
        "tokenizer.ggml.tokens": strings(["a", token, "b"]),
        "tokenizer.ggml.token_type": numbers([NORMAL, kind, NORMAL]),
    }
    header = header_of(path, Gguf(keys, [], b"").bytes())
    assert header.control_tokens == ((token,) if is_control else ())


def test_control_tokens_do_not_come_from_the_merges(path: Path) -> None:
    keys = llama_keys() | {
        "tokenizer.ggml.tokens": strings(["a"]),
        "tokenizer.ggml.merges": strings(["<|im_end|>"]),
    }
    assert header_of(path, Gguf(keys).bytes()).control_tokens == ("a",)


def test_tokens_that_are_not_utf_8_are_no_obstacle(path: Path) -> None:
    keys = llama_keys() | {"tokenizer.ggml.tokens": strings([b"\xff\xfe", "<s>"])}
    assert header_of(path, Gguf(keys).bytes()).bos_token == "<s>"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"<!DOCTYPE html><html>", "is not a GGUF file, it looks like a web page"),
        (b"\n <html lang=en>", "is not a GGUF file, it looks like a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
            "is not a GGUF file, it looks like a git-lfs pointer: run git lfs pull",
        ),
        (
            struct.pack("<Q", 20) + b'{"__metadata__":{}}',
            "is not a GGUF file, it looks like a safetensors file: convert it to GGUF",
        ),
        (
            b"PK\x03\x04\x14\0\0\0",
            "is not a GGUF file, it looks like a zip file, a wheel or a PyTorch checkpoint",
        ),
        (b'{"error":"Invalid username"}', "is not a GGUF file, it looks like JSON"),
        (b"Entry not found", "is not a GGUF file"),
        (b"\0" * 4096, "is not a GGUF file, it looks like nothing but zeros"),
        (b"GG", "is not a GGUF file"),
    ],
)
def test_a_file_of_another_kind_is_named(path: Path, content: bytes, sentence: str) -> None:
    assert refusal(path, content) == f" {sentence}"


def test_a_missing_file_a_folder_and_an_empty_file_are_told_apart(tmp_path: Path) -> None:
    empty = tmp_path / "empty.gguf"
    empty.touch()
    for path, sentence in (
        (tmp_path / "none.gguf", "there is no model file"),
        (empty / "below.gguf", "there is no model file"),
        (tmp_path, "is a folder"),
        (empty, "is empty"),
        (Path("/dev/null"), "is not a regular file"),
        (Path("a\0b.gguf"), "is not a path"),
    ):
        with pytest.raises(SetupError, match=sentence):
            read_header(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (struct.pack("<4sI", b"GGUF", 1) + bytes(64), "GGUF version 1"),
        (struct.pack("<4sI", b"GGUF", 9) + bytes(64), "GGUF version 9"),
        (struct.pack(">4sI", b"GGUF", 3) + bytes(64), "big-endian"),
    ],
)
def test_versions_and_byte_orders_that_are_not_read_are_named(
    path: Path, content: bytes, sentence: str
) -> None:
    assert sentence in refusal(path, content)


def test_a_file_cut_in_its_tensors_says_how_much_is_missing(path: Path) -> None:
    content = Gguf().bytes()
    sentence = refusal(path, content[:-100])
    assert f"{len(content) - 100:,} bytes are there" in sentence
    assert f"promises {len(content):,}" in sentence


@pytest.mark.parametrize("alignment", [64, 4096])
def test_the_alignment_of_the_file_counts(path: Path, alignment: int) -> None:
    keys = llama_keys() | {"general.alignment": u32(alignment)}
    content = Gguf(keys, alignment=alignment).bytes()
    assert header_of(path, content).file_size == len(content)
    assert "is cut short" in refusal(path, content[:-1])


@pytest.mark.parametrize(
    ("gguf", "sentence"),
    [
        (Gguf(llama_keys() | {"general.name": u32(1)}), "'general.name' is not a text"),
        (
            Gguf(llama_keys() | {"llama.block_count": string("2")}),
            "'llama.block_count' is not a count",
        ),
        (
            Gguf(llama_keys() | {"tokenizer.ggml.tokens": numbers([1])}),
            "is not a list of texts",
        ),
        (Gguf(llama_keys() | {"x": struct.pack("<I", 77)}), "'x' has the unknown type 77"),
        (Gguf(llama_keys() | {"x": struct.pack("<IIQ", 9, 9, 1)}), "array of the unknown type 9"),
        (
            Gguf(tensors=[tensor("t", [32], 55, 0)]),
            "the tensor 't' has type 55, which is not known",
        ),
        (Gguf(tensors=[tensor("t", [1] * 5, F32_TENSOR, 0)]), "5 dimensions"),
        (Gguf(tensors=[tensor("t", [33], 3, 0)]), "do not fill its blocks"),
        (Gguf({"general.name": string("x")}), "does not name its architecture"),
    ],
)
def test_what_is_wrong_with_a_header_is_said(path: Path, gguf: Gguf, sentence: str) -> None:
    assert sentence in refusal(path, gguf.bytes())


def test_a_key_that_is_there_twice_is_damage(path: Path) -> None:
    pair = text("general.architecture") + string("llama")
    content = struct.pack("<4sIQQ", b"GGUF", 3, 0, 2) + pair + pair
    assert "is there twice" in refusal(path, content)


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<4sIQQ", b"GGUF", 3, 1 << 60, 0),
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1 << 60),
        struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, (1 << 64) - 1),
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 8, 1 << 62),
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 8, 1 << 22),
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 4, 1 << 22),
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1)
        + text("k")
        + struct.pack("<IIQQ", 9, 8, 2, (1 << 64) - 8),
        Gguf(tensors=[tensor("t", [1 << 63] * 4, F32_TENSOR, (1 << 64) - 1)]).bytes(),
    ],
)
def test_a_hostile_header_costs_neither_memory_nor_time(path: Path, content: bytes) -> None:
    tracemalloc.start()
    began = time.monotonic()
    try:
        refusal(path, content + bytes(4096))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20
    assert time.monotonic() - began < 2


def test_every_truncation_is_refused(path: Path) -> None:
    content = Gguf().bytes()
    for length in range(len(content)):
        refusal(path, content[:length])


def test_every_flipped_byte_of_a_header_is_read_or_refused(path: Path) -> None:
    content = Gguf().bytes()
    for at in range(len(content) - 640):
        for change in (0x01, 0x80, 0xFF):
            damaged = bytearray(content)
            damaged[at] ^= change
            read_or_refuse(path, bytes(damaged))


@settings(max_examples=150, deadline=None)
@given(
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=9)), max_size=4),
    cut=st.floats(0.2, 1),
)
def test_any_damage_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[float, bytes]], cut: float
) -> None:
    content = bytearray(Gguf().bytes())
    for place, piece in edits:
        at = int(place * len(content))
        content[at : at + len(piece)] = piece
    path = tmp_path_factory.getbasetemp() / "damaged.gguf"
    read_or_refuse(path, bytes(content[: int(cut * len(content))]))


def read_or_refuse(path: Path, content: bytes) -> None:
    """Any other exception than SetupError fails the test."""
    with contextlib.suppress(SetupError):
        assert header_of(path, content).file_size == len(content)


def test_a_large_vocabulary_is_read_whole(path: Path) -> None:
    tokens = [f"token{number}" for number in range(262_144)]
    keys = llama_keys() | {
        "tokenizer.ggml.tokens": strings(tokens),
        "tokenizer.ggml.token_type": numbers([NORMAL] * 262_143 + [CONTROL]),
        "tokenizer.ggml.scores": numbers([0] * 262_144, kind=6),
        "tokenizer.ggml.eos_token_id": u32(262_143),
    }
    header = header_of(path, Gguf(keys).bytes())
    assert header.vocab_size == 262_144
    assert header.eos_token == "token262143"
    assert header.control_tokens == ("token262143",)


def test_the_default_model_is_what_the_catalog_says() -> None:
    cache = platformdirs.user_cache_path("leafstream") / "models"
    path = cache / DEFAULT.name / DEFAULT.file
    if not path.exists():
        pytest.skip(f"the default model is not at {path}")
    header = read_header(path)
    assert header.file_size == DEFAULT.size
    assert (header.architecture, header.quantization) == ("llama", "Q4_1")
    assert (header.context_length, header.vocab_size) == (8192, 49_152)
    assert (header.num_layers, header.num_heads, header.num_kv_heads) == (30, 9, 3)
    assert (header.bos_token, header.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert {"<|im_start|>", "<|im_end|>", "<|endoftext|>"} <= set(header.control_tokens)
    assert header.num_parameters == 134_515_008
