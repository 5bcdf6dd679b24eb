"""A model's weights and tokenizer in this process, through transformers, as the options say.

Checked before anything is loaded: that the options go together, that the files are there and whole,
and that there is room for them in memory and on disk.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from leafstream.engines.device import free_memory
from leafstream.errors import SetupError
from leafstream.models.cache import SPARE_BYTES, megabytes
from leafstream.models.shape import Shape, read_shape
from leafstream.sizing import (
    Choice,
    DType,
    Estimate,
    Quant,
    Use,
    check_fits,
    dtype_of,
    estimate,
    gib,
)

Offload = Literal["none", "cpu", "disk"]

EXTRA = "pip install 'leafstream[transformers]'"
# Layers without keys and values of their own cannot be cut back to a common prefix.
RECURRENT = ("linear", "conv", "mamba", "recurrent", "hybrid")
# Of the memory that is free where weights are offloaded.
SHARE = 0.9


class WeightOptions(msgspec.Struct, frozen=True):
    """`compute_dtype` is what 4-bit weights are widened to for each product; "auto": the weights'
    own type, or bf16 where this CPU is faster with it. `memory` bounds, in bytes, what weights may
    take where the rest is offloaded; None: what is free, less what cannot be offloaded.
    """

    dtype: DType = "auto"
    quant: Quant = "none"
    double_quant: bool = False
    compute_dtype: DType = "auto"
    device: str = "auto"
    offload: Offload = "none"
    offload_folder: Path | None = None
    memory: int | None = None


class Weights(msgspec.Struct, frozen=True):
    """`device` is where inputs go."""

    model: Any
    tokenizer: Any
    shape: Shape
    device: Any


def require_extra() -> None:
    """Raises SetupError, naming the extra, where its libraries are missing."""
    # Read when torch is first imported: with OpenMP's spinning, other busy processes on few cores
    # slow a model to a tenth.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        import accelerate  # noqa: F401, PLC0415
        import torch  # noqa: F401, PLC0415
        import transformers  # noqa: F401, PLC0415
    except ImportError as error:
        raise SetupError(
            f"the transformers engine needs {error.name}, of the extra of that name: {EXTRA}"
        ) from None


def choice_of(options: WeightOptions, piece: int) -> Choice:
    return Choice("transformers", options.dtype, options.quant, options.double_quant, piece)


def load(path: Path, options: WeightOptions, use: Use, piece: int = 128) -> Weights:
    """Load the model in the folder `path`. Blocks. Raises SetupError."""
    require_extra()
    shape = read_shape(path)
    check(shape, options, use, piece)
    if options.offload_folder is not None:
        _make(options.offload_folder)
    _quieten()
    with _setup_errors(path):
        model = _model(path, shape, options, _places(shape, options, use, piece))
        tokenizer = _tokenizer(path)
    _check_layers(model.config, path)
    model.eval()
    if options.compute_dtype in ("fp16", "fp32"):
        _leave_unpacked(model)
    if options.quant != "none" and options.offload == "none":
        _let_go_of_file(model)
    return Weights(model, tokenizer, shape, input_device(model))


def check(shape: Shape, options: WeightOptions, use: Use, piece: int = 128) -> str:
    """Say how the model fits on its device. Raises SetupError where it does not, or where options
    contradict each other. Nothing is written.
    """
    device = _device(options)
    _check_options(options, device)
    choice = choice_of(options, piece)
    free = _free_on(device)
    _check_room(shape, options, use, choice, free)
    found = estimate(shape, choice, use)
    needed = f"{use.users} slots of {use.window} tokens need about {gib(found.model)}"
    rest = "" if options.offload == "none" else f", weights go to {options.offload} where they must"
    return f"{needed} ({gib(found.weights)} weights), {gib(free)} are free on {device}{rest}"


def _quieten() -> None:
    from transformers.utils import logging as bars  # noqa: PLC0415

    # Their bars, and a line for each layer of every int8 step, would go to our log.
    bars.disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


def _device(options: WeightOptions) -> str:
    import torch  # noqa: PLC0415

    has_gpu = torch.cuda.is_available()
    if options.device == "auto":
        return "cuda" if has_gpu else "cpu"
    if options.device.startswith("cuda") and not has_gpu:
        raise SetupError("LEAFSTREAM_DEVICE=cuda, but torch sees no GPU; set it to auto or cpu")
    return options.device


def _check_options(options: WeightOptions, device: str) -> None:
    """Raises SetupError for options that contradict each other or have no effect."""
    four_bits = options.quant in ("fp4", "nf4")
    if options.double_quant and not four_bits:
        raise SetupError("LEAFSTREAM_DOUBLE_QUANT goes with LEAFSTREAM_QUANT=nf4 or fp4 only")
    if options.compute_dtype != "auto" and not four_bits:
        raise SetupError("LEAFSTREAM_COMPUTE_DTYPE goes with LEAFSTREAM_QUANT=nf4 or fp4 only")
    if options.quant != "none":
        require_bitsandbytes()
    if options.offload == "cpu" and device == "cpu":
        raise SetupError(
            "LEAFSTREAM_OFFLOAD=cpu has no effect here: the model runs on the CPU as it is; set "
            "LEAFSTREAM_OFFLOAD=disk where memory is short"
        )
    if options.offload == "disk" and four_bits:
        raise SetupError(
            f"LEAFSTREAM_QUANT={options.quant} cannot be offloaded to disk: bitsandbytes packs "
            "4-bit weights in memory only; use int8, or no quantization"
        )
    if options.offload == "disk" and options.quant == "int8" and device == "cpu":
        raise SetupError(
            "LEAFSTREAM_QUANT=int8 cannot be offloaded to disk without a GPU: accelerate brings "
            "8-bit weights back by way of one; use no quantization, or nf4 in memory"
        )
    if options.offload == "none" and (options.offload_folder or options.memory):
        raise SetupError(
            "LEAFSTREAM_OFFLOAD_FOLDER and LEAFSTREAM_OFFLOAD_MEMORY have no effect without "
            "LEAFSTREAM_OFFLOAD=disk or cpu"
        )
    if options.offload == "disk" and options.offload_folder is None:
        raise SetupError("LEAFSTREAM_OFFLOAD=disk needs LEAFSTREAM_OFFLOAD_FOLDER=/a/fast/disk")


def require_bitsandbytes() -> None:
    """Raises SetupError, naming the extra, where it is missing."""
    try:
        import bitsandbytes  # noqa: F401, PLC0415
    except ImportError:
        raise SetupError(f"LEAFSTREAM_QUANT needs bitsandbytes: {EXTRA}") from None


def _check_room(shape: Shape, options: WeightOptions, use: Use, choice: Choice, free: int) -> None:
    """Raises SetupError where memory, or the disk for what is offloaded, has no room."""
    if options.offload == "none":
        check_fits(shape, choice, use, free)
        return
    found = estimate(shape, choice, use)
    beside, room = found.kv + found.activations, int(SHARE * free)
    if beside > room:
        raise SetupError(
            f"keys and values of {use.users} slots of {use.window} tokens, and a step, need "
            f"{gib(beside)} and {gib(room)} may be taken: only weights can be offloaded; lower "
            "LEAFSTREAM_CONTEXT_WINDOW or LEAFSTREAM_SLOTS"
        )
    if options.offload == "disk":
        assert options.offload_folder is not None
        _check_folder(options.offload_folder, found.weights - _kept(options, free, found))


def _kept(options: WeightOptions, free: int, found: Estimate) -> int:
    """How many bytes of weights may stay beside what cannot be offloaded."""
    if options.memory is not None:
        return options.memory
    return max(0, int(SHARE * free) - found.kv - found.activations)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"LEAFSTREAM_OFFLOAD_FOLDER={folder} cannot be used: {error}") from None


def _check_folder(folder: Path, needed: int) -> None:
    """Raises SetupError unless `folder`, which may have to be made, can take `needed` bytes."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise SetupError(
            f"LEAFSTREAM_OFFLOAD_FOLDER={folder} cannot be used: {there} is no folder that this "
            "user can write to"
        )
    free = shutil.disk_usage(there).free
    if needed + SPARE_BYTES > free:
        raise SetupError(
            f"offloading needs {megabytes(needed + SPARE_BYTES)} in {folder}, where "
            f"{megabytes(free)} are free: make room, or set LEAFSTREAM_OFFLOAD_FOLDER elsewhere"
        )


def _free_on(device: str) -> int:
    if not device.startswith("cuda"):
        return free_memory()
    import torch  # noqa: PLC0415

    return int(torch.cuda.mem_get_info(device)[0])


def _model(path: Path, shape: Shape, options: WeightOptions, places: dict[str, Any]) -> Any:
    import transformers  # noqa: PLC0415

    dtype = dtype_of(shape, choice_of(options, 0))
    return transformers.AutoModelForCausalLM.from_pretrained(
        path,
        use_safetensors=True,
        dtype=_torch_dtype(dtype),
        quantization_config=_quantization(options, dtype),
        trust_remote_code=False,
        local_files_only=True,
        **places,
    )


def _places(shape: Shape, options: WeightOptions, use: Use, piece: int) -> dict[str, Any]:
    """Where transformers is to put the weights."""
    device = _device(options)
    if options.offload == "none":
        return {"device_map": {"": device}}
    found = estimate(shape, choice_of(options, piece), use)
    room = max_memory(device, _kept(options, _free_on(device), found))
    return {"device_map": "auto", "max_memory": room, "offload_folder": options.offload_folder}


def max_memory(device: str, kept: int) -> dict[Any, int]:
    """Bytes of weights that accelerate may place on each device; what is over goes further down."""
    if device == "cpu":
        return {"cpu": kept}
    # accelerate knows GPUs by their index.
    return {int(device.partition(":")[2] or 0): kept, "cpu": int(SHARE * free_memory())}


def _let_go_of_file(model: Any) -> None:
    """Copy what was not quantized: a view of one tensor keeps the whole mapped file in memory."""
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.is_floating_point() and tensor.device.type == "cpu":
            tensor.data = tensor.data.clone()


def _leave_unpacked(model: Any) -> None:
    """Keep bitsandbytes from its kernel for CPUs with AVX512-BF16, which multiplies in bf16 only,
    whatever type its layers were given.
    """
    from bitsandbytes.nn import Linear4bit  # noqa: PLC0415

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def _torch_dtype(name: str) -> Any:
    import torch  # noqa: PLC0415

    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[name]


def _quantization(options: WeightOptions, dtype: str) -> Any:
    import transformers  # noqa: PLC0415

    if options.quant == "none":
        return None
    if options.quant == "int8":
        offloads = options.offload != "none"
        return transformers.BitsAndBytesConfig(
            load_in_8bit=True, llm_int8_enable_fp32_cpu_offload=offloads
        )
    compute = dtype if options.compute_dtype == "auto" else options.compute_dtype
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=options.quant,
        bnb_4bit_use_double_quant=options.double_quant,
        bnb_4bit_compute_dtype=_torch_dtype(compute),
    )


def _tokenizer(path: Path) -> Any:
    import transformers  # noqa: PLC0415

    tokenizer = transformers.AutoTokenizer.from_pretrained(
        path, local_files_only=True, trust_remote_code=False
    )
    if not getattr(tokenizer, "is_fast", False):
        raise SetupError(f"{path} has no fast tokenizer (tokenizer.json), which streaming needs")
    return tokenizer


def _check_layers(config: Any, path: Path) -> None:
    kinds = set(getattr(config.get_text_config(), "layer_types", None) or [])
    odd = sorted(kind for kind in kinds if any(name in kind for name in RECURRENT))
    if odd:
        raise SetupError(
            f"{path} has layers of the kind {', '.join(odd)}, which this engine does not batch: "
            "serve it with llama.cpp or vLLM"
        )


def input_device(model: Any) -> Any:
    """Where a model reads its inputs: the CPU where nothing of it was placed on a GPU."""
    import torch  # noqa: PLC0415

    places = getattr(model, "hf_device_map", None)
    if places is None:  # it is in one place
        return model.device
    gpus = sorted(place for place in places.values() if isinstance(place, int))
    return torch.device("cuda", gpus[0]) if gpus else torch.device("cpu")


@contextlib.contextmanager
def _setup_errors(path: Path) -> Iterator[None]:
    """What transformers and torch raise while they load becomes a SetupError."""
    try:
        yield
    except MemoryError:
        raise SetupError(f"there is not enough memory to load {path}") from None
    except (OSError, ValueError, RuntimeError, ImportError, KeyError, TypeError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SetupError(f"transformers cannot load {path}: {first}") from error
