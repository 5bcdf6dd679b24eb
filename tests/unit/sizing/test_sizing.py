"""The arithmetic of memory, against models whose numbers are known."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leafstream.errors import SetupError
from leafstream.models.shape import Shape, read_shape
from leafstream.sizing import (
    Choice,
    Use,
    check_fits,
    estimate,
    kv_per_token,
    kv_per_user,
    largest_window,
    offloaded,
    read_size,
    tokens_per_second,
    weight_bytes,
)

GIB = 1 << 30
BF16 = Choice("transformers")
MISTRAL = Shape(
    kind="safetensors",
    architecture="mistral",
    storage="BF16",
    stored=14_483_464_192,
    num_parameters=7_241_732_096,
    num_linear=6_979_321_856,
    num_table=131_072_000,
    is_tied=False,
    num_layers=32,
    width=4096,
    inner=14336,
    num_heads=32,
    num_kv_heads=8,
    key_length=128,
    value_length=128,
    vocab_size=32000,
    context_length=32768,
)


def folder(tmp_path: Path, *, length: int | None = None, **config: Any) -> Path:
    """A model of two tensors as the hub lays it out; `length` cuts the file or leaves a hole."""
    tensors = {
        "model.embed_tokens.weight": {
            "dtype": "BF16",
            "shape": [100, 8],
            "data_offsets": [0, 1600],
        },
        "model.layers.0.mlp.up_proj.weight": {
            "dtype": "BF16",
            "shape": [16, 8],
            "data_offsets": [1600, 1856],
        },
    }
    header = json.dumps(tensors).encode()
    raw = struct.pack("<Q", len(header)) + header + b"\0" * 1856
    (tmp_path / "model.safetensors").write_bytes(raw[:length])
    told = {
        "model_type": "llama",
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 16,
        "vocab_size": 100,
        "max_position_embeddings": 512,
        **config,
    }
    (tmp_path / "config.json").write_text(json.dumps(told))
    return tmp_path


def test_the_weights_of_a_known_model_take_what_is_known_of_them() -> None:
    assert weight_bytes(MISTRAL, BF16) == 14_483_464_192
    assert weight_bytes(MISTRAL, Choice("transformers", "fp32")) == 2 * 14_483_464_192
    # 4.5 bits for each weight with its share of a scale; the tables stay as they were.
    nf4 = weight_bytes(MISTRAL, Choice("transformers", quant="nf4"))
    assert nf4 == 6_979_321_856 * 9 // 16 + 2 * (7_241_732_096 - 6_979_321_856)
    double = weight_bytes(MISTRAL, Choice("transformers", quant="nf4", double_quant=True))
    assert nf4 - double == pytest.approx(6_979_321_856 * 0.373 / 8, rel=0.01)


def test_the_keys_and_values_of_a_known_model_take_what_is_known_of_them() -> None:
    assert kv_per_token(MISTRAL, BF16) == 128 * 1024
    assert kv_per_user(MISTRAL, BF16, 32768) == 4 * GIB


def test_the_largest_context_is_the_last_that_fits() -> None:
    window = largest_window(MISTRAL, BF16, 1, 16 * GIB)
    assert 0 < window < MISTRAL.context_length
    assert estimate(MISTRAL, BF16, Use(window)).total <= 16 * GIB
    assert estimate(MISTRAL, BF16, Use(window + 1)).total > 16 * GIB
    assert largest_window(MISTRAL, BF16, 1, 80 * GIB) == MISTRAL.context_length
    assert largest_window(MISTRAL, BF16, 1, 8 * GIB) == 0


def test_more_users_leave_less_context_to_each() -> None:
    windows = [largest_window(MISTRAL, BF16, users, 24 * GIB) for users in (1, 2, 4, 8)]
    assert windows == sorted(windows, reverse=True)
    assert windows[0] > windows[-1]


def test_what_does_not_fit_is_what_must_be_offloaded() -> None:
    use = Use(4096)
    assert offloaded(MISTRAL, BF16, use, 24 * GIB) == 0
    short = offloaded(MISTRAL, BF16, use, 12 * GIB)
    assert estimate(MISTRAL, BF16, use).total - short == 12 * GIB


def test_reading_memory_bounds_the_speed() -> None:
    # 14.2 GB of weights, without the input table, and half a GB of keys and values at 936 GB/s.
    bound = tokens_per_second(MISTRAL, BF16, Use(4096), 936e9)
    assert bound == pytest.approx(936e9 / (14_483_464_192 - 262_144_000 + 0.5 * GIB), rel=0.001)
    assert tokens_per_second(MISTRAL, BF16, Use(4096, 8), 936e9) > 4 * bound


def test_sliding_layers_keep_their_window_in_llama_cpp_and_everything_in_ours() -> None:
    sliding = msgspec.structs.replace(MISTRAL, num_sliding=24, window=512)
    assert kv_per_user(sliding, Choice("llamacpp"), 8192) == 4096 * (8 * 8192 + 24 * 768)
    assert kv_per_user(sliding, BF16, 8192) == 4096 * 32 * 8192


def test_a_model_beyond_the_memory_is_refused_with_the_numbers_and_a_way_out() -> None:
    check_fits(MISTRAL, BF16, Use(4096), 24 * GIB)
    with pytest.raises(SetupError) as caught:
        check_fits(MISTRAL, BF16, Use(32768, 4), 20 * GIB)
    window = largest_window(MISTRAL, BF16, 4, 20 * GIB + estimate(MISTRAL, BF16, Use(1)).runtime)
    assert f"LEAFSTREAM_CONTEXT_WINDOW={window}" in caught.value.message
    with pytest.raises(SetupError, match="LEAFSTREAM_QUANT=nf4"):
        check_fits(MISTRAL, BF16, Use(4096), 8 * GIB)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24GB", 24 * GIB),
        ("512MiB", 512 << 20),
        ("6g", 6 * GIB),
        ("1.5 GB", 3 * GIB // 2),
        ("9", 9),
    ],
)
def test_a_size_is_read_as_people_write_it(text: str, size: int) -> None:
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "0", "many", "1e99TB", "nan", "inf"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(SetupError, match="24GB"):
        read_size(text)


def test_a_folder_is_read_from_its_headers(tmp_path: Path) -> None:
    shape = read_shape(folder(tmp_path))
    assert (shape.num_parameters, shape.num_linear, shape.num_table) == (928, 128, 800)
    assert (shape.stored, shape.storage, shape.is_tied) == (1856, "BF16", True)
    assert (shape.num_kv_heads, shape.key_length, shape.context_length) == (1, 4, 512)


def test_the_text_part_of_a_model_of_several_kinds_is_what_counts(tmp_path: Path) -> None:
    inner = {"model_type": "gemma3_text", "hidden_size": 32, "num_hidden_layers": 2}
    shape = read_shape(folder(tmp_path, text_config=inner))
    assert (shape.architecture, shape.width) == ("gemma3_text", 32)


NAMELESS = dict.fromkeys(
    [
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "intermediate_size",
        "max_position_embeddings",
    ]
)
BLOOM = {"model_type": "bloom", "n_embed": 64, "n_layer": 3, "n_head": 4}
MPT = {"model_type": "mpt", "d_model": 64, "n_layers": 3, "n_heads": 4, "max_seq_len": 512}


@pytest.mark.parametrize(("config", "context"), [(BLOOM, 4096), (MPT, 512)])
def test_a_config_is_read_by_the_names_of_its_own_model_type(
    tmp_path: Path, config: dict[str, Any], context: int
) -> None:
    shape = read_shape(folder(tmp_path, **{**NAMELESS, **config}))
    assert (shape.num_layers, shape.width, shape.num_heads, shape.key_length) == (3, 64, 4, 16)
    assert (shape.num_kv_heads, shape.inner, shape.context_length) == (4, 256, context)


@pytest.mark.parametrize("name", ["num_hidden_layers", "hidden_size"])
def test_a_config_that_does_not_tell_the_shape_is_refused_by_name(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(SetupError, match=rf"config\.json does not tell .* none of {name}, "):
        read_shape(folder(tmp_path, **{name: None}))


def test_a_folder_that_is_no_model_is_told_from_one_without_safetensors(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"no config\.json"):
        read_shape(tmp_path)
    (folder(tmp_path) / "model.safetensors").unlink()
    with pytest.raises(SetupError, match="pickled"):
        read_shape(tmp_path)


@pytest.mark.parametrize("length", [0, 4, 20, 300])
def test_a_cut_safetensors_file_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(SetupError, match=r"not a whole safetensors file|cut short"):
        read_shape(folder(tmp_path, length=length))


def test_a_broken_config_is_refused(tmp_path: Path) -> None:
    (folder(tmp_path) / "config.json").write_text('{"hidden_size": "wide"}')
    with pytest.raises(SetupError, match="cannot be read"):
        read_shape(tmp_path)
