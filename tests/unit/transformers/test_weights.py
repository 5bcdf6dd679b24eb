"""Each kind of weights loads here, takes what it should, and writes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from leafstream.engine_choice import open_engine
from leafstream.engines import weights
from leafstream.engines.trial import KINDS
from leafstream.engines.weights import WeightOptions
from leafstream.messages import Message
from leafstream.settings import Settings
from leafstream.sizing import DType, Quant
from tests.unit.transformers.conftest import Open
from tests.unit.transformers.test_generation import asking, ids, run

SOME = ("fp4", "int8")  # of the others, the contract has bf16 and the tests below have nf4


@pytest.mark.parametrize(
    "kind",
    [kind if kind in SOME else pytest.param(kind, marks=pytest.mark.e2e) for kind in KINDS],
)
async def test_every_kind_of_weights_writes_on_this_machine(tiny: Open, kind: str) -> None:
    chunks = await run(await tiny(KINDS[kind]), asking(3, 4, 5, max_tokens=4))
    assert len(ids(chunks)) == 4


async def test_fewer_bits_take_less_memory(tiny: Open) -> None:
    sizes = []
    for quant in ("none", "int8", "nf4"):
        engine = await tiny(WeightOptions(dtype="bf16", quant=quant))
        sizes.append(engine._batch._model.get_memory_footprint())
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]


@pytest.mark.parametrize("quant", ["nf4", "fp4"])
async def test_products_of_4_bit_weights_are_made_in_the_type_that_is_asked_for(
    tiny: Open, quant: Quant
) -> None:
    import torch  # noqa: PLC0415

    logits: dict[str, Any] = {}
    asked: tuple[DType, ...] = ("fp32", "fp16", "bf16")
    for compute in asked:
        engine = await tiny(WeightOptions("fp32", quant, compute_dtype=compute))
        with torch.inference_mode():
            logits[compute] = engine._batch._model(torch.tensor([[3, 4, 5]])).logits
    exact = logits["fp32"]
    fp16, bf16 = (float((logits[name] - exact).norm() / exact.norm()) for name in asked[1:])
    # It is the same model, whose products keep 11 bits, or 8.
    assert 1e-5 < fp16 < bf16 / 3 < 0.05


async def test_weights_on_disk_write_what_weights_in_memory_write(
    tiny: Open, tmp_path: Path
) -> None:
    plain = ids(await run(await tiny(), asking(3, 4, 5)))
    options = WeightOptions(offload="disk", offload_folder=tmp_path, memory=13 << 20)
    engine = await tiny(options)
    assert "disk" in engine._batch._model.hf_device_map.values()
    assert ids(await run(engine, asking(3, 4, 5))) == plain


async def test_weights_go_to_disk_where_contexts_need_the_memory(
    tiny: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "free_memory", lambda: 66 << 20)
    options = WeightOptions(offload="disk", offload_folder=tmp_path)
    engine = await tiny(options, context_window=8192)
    assert "disk" in engine._batch._model.hf_device_map.values()


@pytest.mark.parametrize(
    ("device", "places"), [("cpu", {"cpu"}), ("cuda", {0, "cpu"}), ("cuda:1", {1, "cpu"})]
)
def test_weights_are_placed_on_the_gpu_that_was_asked_for(device: str, places: set[Any]) -> None:
    room = weights.max_memory(device, 5)
    assert set(room) == places
    assert next(iter(room.values())) == 5


@pytest.mark.parametrize(
    ("places", "device"),
    [({"a": "cpu", "b": "disk"}, "cpu"), ({"a": 1, "b": "cpu"}, "cuda:1"), (None, "cuda:2")],
)
def test_inputs_go_where_the_weights_are(
    transformers_extra: None, places: dict[str, Any] | None, device: str
) -> None:
    import torch  # noqa: PLC0415

    model = SimpleNamespace(device=torch.device("cuda:2"))
    if places is not None:
        model.hf_device_map = places
    assert weights.input_device(model) == torch.device(device)


async def test_a_model_is_chosen_by_its_prefix_and_served_as_its_settings_say(
    tiny_folder: Path,
) -> None:
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        model=f"transformers:{tiny_folder}",
        quant="nf4",
        double_quant=True,
        context_window=256,
        slots=2,
    )
    engine = await open_engine(settings)
    try:
        assert (engine.model, engine.context_window, engine.slots) == ("tiny", 256, 2)
        prompt = await engine.prompt((Message("user", "Hello"),))
        async for _ in engine.generate(asking(*prompt.tokens, max_tokens=3)):
            pass
    finally:
        await engine.close()
