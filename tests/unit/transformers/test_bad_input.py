"""Whatever cannot be served is told before it is loaded, with the sentence that says what to do."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leafstream.engine_choice import open_engine
from leafstream.engines import weights
from leafstream.engines.checkpoint import checkpoint, shape_of_spec
from leafstream.engines.weights import WeightOptions, load
from leafstream.errors import SetupError
from leafstream.models.shape import read_shape
from leafstream.settings import Settings, read_settings
from leafstream.sizing import Use
from tests.unit.transformers.conftest import Open
from tests.unit.transformers.hub import Hub

USE = Use(256, 1)


def run_python(code: str) -> str:
    """The output of a fresh interpreter."""
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_nothing_of_the_extra_is_imported_unless_it_is_used() -> None:
    heavy = (
        "torch transformers accelerate bitsandbytes numpy huggingface_hub safetensors tokenizers"
    )
    code = (
        "import sys, leafstream.server, leafstream.engine_choice, leafstream.cli\n"
        "import leafstream.engines.transformers, leafstream.planning, leafstream.comparing\n"
        f"print(sorted(set({heavy.split()}) & set(sys.modules)))"
    )
    assert run_python(code).strip() == "[]"


@pytest.mark.parametrize("module", ["torch", "transformers", "accelerate"])
def test_a_missing_extra_is_named_with_how_to_install_it(module: str) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "import asyncio\n"
        "from leafstream.engine_choice import open_engine\n"
        "from leafstream.errors import SetupError\n"
        "from leafstream.settings import read_settings\n"
        "try: asyncio.run(open_engine(read_settings(model='transformers:some/model')))\n"
        "except SetupError as error: print(error.message)"
    )
    told = run_python(code)
    assert "pip install 'leafstream[transformers]'" in told
    assert module in told


def test_quantized_weights_without_bitsandbytes_name_it_before_anything_is_loaded(
    tiny_folder: Path,
) -> None:
    code = (
        "import sys; sys.modules['bitsandbytes'] = None\n"
        "from pathlib import Path\n"
        "from leafstream.engines.weights import WeightOptions, load\n"
        "from leafstream.errors import SetupError\n"
        "from leafstream.sizing import Use\n"
        f"try: load(Path({str(tiny_folder)!r}), WeightOptions(quant='nf4'), Use(64))\n"
        "except SetupError as error: print(error.message)"
    )
    told = run_python(code)
    assert "LEAFSTREAM_QUANT needs bitsandbytes: pip install 'leafstream[transformers]'" in told


@pytest.fixture
def enormous(tmp_path: Path) -> Path:
    """A model of 2 TB whose weights are a hole in a file."""
    config = {
        "model_type": "llama",
        "hidden_size": 16384,
        "num_hidden_layers": 126,
        "num_attention_heads": 128,
        "num_key_value_heads": 8,
        "intermediate_size": 53248,
        "vocab_size": 128256,
        "max_position_embeddings": 131072,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    size = 1 << 41
    tensor = {"dtype": "BF16", "shape": [1 << 20, 1 << 20], "data_offsets": [0, size]}
    header = json.dumps({"model.layers.0.mlp.up_proj.weight": tensor}).encode()
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + size)
    return tmp_path


async def test_a_model_beyond_the_memory_is_refused_before_it_is_loaded(
    transformers_extra: None, enormous: Path
) -> None:
    with pytest.raises(SetupError, match=r"2048\.00 GiB weights.*leafstream plan"):
        load(enormous, WeightOptions(), USE)


def test_a_disk_without_room_for_what_is_offloaded_is_told_before(
    transformers_extra: None, enormous: Path, tmp_path: Path
) -> None:
    options = WeightOptions(offload="disk", offload_folder=tmp_path / "off", memory=1 << 30)
    with pytest.raises(SetupError, match=r"offloading needs .* are free: make room"):
        load(enormous, options, USE)


def test_contexts_that_leave_no_room_for_weights_are_told_before(
    transformers_extra: None, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "free_memory", lambda: 39 << 20)  # and contexts need 36
    options = WeightOptions(offload="disk", offload_folder=tmp_path, device="cpu")
    with pytest.raises(SetupError, match=r"only weights can be offloaded; lower"):
        load(tiny_folder, options, Use(8192, 3))


def test_an_offload_folder_that_cannot_be_made_is_told(
    transformers_extra: None, tiny_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    options = WeightOptions(offload="disk", offload_folder=tmp_path / "file" / "off")
    with pytest.raises(SetupError, match="LEAFSTREAM_OFFLOAD_FOLDER"):
        load(tiny_folder, options, USE)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"double_quant": True}, "DOUBLE_QUANT goes with"),
        ({"compute_dtype": "fp32"}, "COMPUTE_DTYPE goes with"),
        ({"offload": "cpu", "device": "cpu"}, "has no effect here"),
        ({"offload": "disk"}, "needs LEAFSTREAM_OFFLOAD_FOLDER"),
        ({"offload": "disk", "offload_folder": Path("x"), "quant": "nf4"}, "in memory only"),
        ({"offload": "disk", "offload_folder": Path("x"), "quant": "int8"}, "without a GPU"),
        ({"offload_folder": Path("x")}, "no effect without"),
        ({"memory": 1 << 30}, "no effect without"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    tiny_folder: Path, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SetupError, match=sentence):
        load(tiny_folder, WeightOptions(**{"device": "cpu", **options}), USE)


def test_a_gpu_that_is_not_there_is_told(tiny_folder: Path) -> None:
    import torch  # noqa: PLC0415

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(SetupError, match="torch sees no GPU"):
        load(tiny_folder, WeightOptions(device="cuda"), USE)


@pytest.mark.parametrize(
    "given",
    [
        {"quant": "nf4"},
        {"repeatable": True, "model": "transformers:somewhere"},
        {"repeatable": True, "upstream": "http://127.0.0.1:9"},
    ],
)
async def test_a_setting_of_another_engine_is_refused(given: dict[str, Any]) -> None:
    name = next(iter(given)).upper()
    with pytest.raises(SetupError, match=f"LEAFSTREAM_{name} has no effect"):
        await open_engine(Settings(_env_file=None, **given))  # type: ignore[call-arg]


@pytest.mark.parametrize("value", ["int4", "fp8"])
def test_an_unknown_kind_of_weights_is_refused_by_name(value: str) -> None:
    with pytest.raises(SetupError, match="quant"):
        read_settings(quant=value)


def test_a_folder_with_damaged_weights_is_refused(
    transformers_extra: None, tiny_folder: Path, tmp_path: Path
) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tiny_folder / name).read_bytes())
    raw = (tiny_folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(SetupError, match="cut short"):
        load(tmp_path, WeightOptions(), USE)


def test_a_kind_of_model_that_transformers_does_not_know_is_refused(
    transformers_extra: None, tiny_folder: Path, tmp_path: Path
) -> None:
    for file in tiny_folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "config.json").unlink()
    config = json.loads((tiny_folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "of-tomorrow"}))
    with pytest.raises(SetupError, match=r"transformers cannot load .*of-tomorrow"):
        load(tmp_path, WeightOptions(), USE)


async def test_a_context_window_beyond_what_the_model_knows_is_refused(tiny: Open) -> None:
    with pytest.raises(SetupError, match="trained on 8192"):
        await tiny(context_window=9000)


@pytest.mark.parametrize("spec", ["no-such-model", "../x", "owner/repo/deep"])
def test_a_name_that_means_nothing_is_refused_with_the_forms(spec: str, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="transformers:owner/repo"):
        checkpoint(spec, tmp_path)


@pytest.fixture
def hub(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    from huggingface_hub import constants  # noqa: PLC0415

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    hub = Hub({"maker/tiny": tiny_folder})
    with hub.running() as url:
        monkeypatch.setenv("HF_ENDPOINT", url)
        yield hub


def test_a_repository_is_fetched_without_pickles(hub: Hub, tmp_path: Path) -> None:
    folder = checkpoint("maker/tiny", tmp_path)
    assert {file.name for file in folder.iterdir()} >= {"model.safetensors", "config.json"}
    before = len(hub.asked)
    assert checkpoint("maker/tiny", tmp_path, offline=True) == folder
    assert len(hub.asked) == before


def test_a_repository_is_planned_from_its_headers_alone(
    hub: Hub, tiny_folder: Path, tmp_path: Path
) -> None:
    assert shape_of_spec("maker/tiny", tmp_path) == read_shape(tiny_folder)


def test_a_gated_repository_says_where_its_licence_is_accepted(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"huggingface\.co/maker/gated and set HF_TOKEN"):
        checkpoint("maker/gated", tmp_path)
    with pytest.raises(SetupError, match="gated repository"):
        shape_of_spec("maker/gated", tmp_path)


def test_a_repository_that_is_not_there_is_told(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no repository maker/none"):
        checkpoint("maker/none", tmp_path)


def test_a_disk_without_room_is_told_before_the_download(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"maker/huge needs .* make room"):
        checkpoint("maker/huge", tmp_path)
    assert not any("resolve" in path for path in hub.asked)


def test_a_repository_that_was_never_fetched_is_not_had_offline(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="allow downloads once"):
        checkpoint("maker/tiny", tmp_path, offline=True)
    assert hub.asked == []


async def test_a_model_that_loads_but_cannot_write_is_refused_at_start(
    tiny: Open, tiny_folder: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file  # noqa: PLC0415

    shutil.copytree(tiny_folder, tmp_path, dirs_exist_ok=True)
    tensors = load_file(tiny_folder / "model.safetensors")
    tensors["model.norm.weight"].fill_(float("nan"))
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(SetupError, match=r"does not write: .*not numbers"):
        await tiny(folder=tmp_path)
