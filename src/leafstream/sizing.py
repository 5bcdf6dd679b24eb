"""What a model takes, from its shape alone: weights, keys and values, activations, and how fast its
memory can feed it. Arithmetic, without a machine: what the machine has comes in.

All sizes are in bytes. `leafstream plan` prints it, and engines check it before they load.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from leafstream.errors import SetupError
from leafstream.models.shape import Shape

Quant = Literal["none", "int8", "fp4", "nf4"]
DType = Literal["auto", "bf16", "fp16", "fp32"]
EngineName = Literal["llamacpp", "transformers"]

DTYPE_BYTES: dict[str, int] = {"bf16": 2, "fp16": 2, "fp32": 4}
STORED_DTYPES = {"BF16": "bf16", "F16": "fp16", "F32": "fp32"}

# bitsandbytes keeps one float of scale for 64 weights in 4 bits; double quantization turns it into
# a byte, and keeps one float for 256 of those (QLoRA, arXiv 2305.14314, section 3).
BLOCK, NESTED_BLOCK = 64, 256

# Measured (tests/unit/sizing/test_memory.py keeps it true): a server with its libraries and no
# model, and what a loaded engine holds beside the model: threads, and the tokenizer's tables.
RUNTIME: dict[str, int] = {"llamacpp": 100 << 20, "transformers": 400 << 20}
BESIDE: dict[str, int] = {"llamacpp": 20 << 20, "transformers": 10 << 20}
# Half of it llguidance's, half the tokenizer's, which grows faster than its vocabulary.
TABLE_BYTES: dict[str, int] = {"llamacpp": 0, "transformers": 2000}
# A fit to two models, of what a process holds more after its first steps in 8 bits on a CPU.
INT8_BYTES = 1000

MIN_WINDOW = 64


class Choice(msgspec.Struct, frozen=True):
    """How a model is loaded; `piece` prompt tokens are read at once."""

    engine: EngineName
    dtype: DType = "auto"
    quant: Quant = "none"
    double_quant: bool = False
    piece: int = 128


class Use(msgspec.Struct, frozen=True):
    """`users` answers at once, each with a context of `window` tokens."""

    window: int
    users: int = 1


class Estimate(msgspec.Struct, frozen=True):
    """What a choice takes for a use. `kv_per_token` counts all layers."""

    weights: int
    kv_per_token: int
    kv_per_user: int
    kv: int
    activations: int
    runtime: int

    @property
    def model(self) -> int:
        """What the model adds to the process."""
        return self.weights + self.kv + self.activations

    @property
    def total(self) -> int:
        return self.model + self.runtime


def dtype_of(shape: Shape, choice: Choice) -> str:
    """The type that weights which are not quantized have in memory."""
    if choice.dtype != "auto":
        return choice.dtype
    if shape.kind == "gguf":
        return "bf16"
    return STORED_DTYPES.get(shape.storage, "bf16")


def weight_bytes(shape: Shape, choice: Choice) -> int:
    """The weights in memory."""
    if choice.engine == "llamacpp":
        return shape.stored
    wide = DTYPE_BYTES[dtype_of(shape, choice)]
    if choice.quant == "none":
        return shape.num_parameters * wide
    rest = (shape.num_parameters - shape.num_linear) * wide
    return rest + int(shape.num_linear * _bytes_per_weight(choice))


def _bytes_per_weight(choice: Choice) -> float:
    if choice.quant == "int8":
        return 1.0
    scale = (1 + 4 / NESTED_BLOCK) if choice.double_quant else 4
    return 0.5 + scale / BLOCK


def kv_per_token(shape: Shape, choice: Choice) -> int:
    """Keys and values of one token over all layers."""
    return shape.num_layers * _kv_per_layer(shape, choice)


def _kv_per_layer(shape: Shape, choice: Choice) -> int:
    # llama.cpp keeps f16, transformers what the model computes in.
    wide = 2 if choice.engine == "llamacpp" else DTYPE_BYTES[dtype_of(shape, choice)]
    return shape.num_kv_heads * (shape.key_length + shape.value_length) * wide


def kv_per_user(shape: Shape, choice: Choice, window: int) -> int:
    """Keys and values of one full context."""
    layer = _kv_per_layer(shape, choice)
    # Only llama.cpp keeps less of sliding layers; ours keeps all, to cut back to a common prefix.
    sliding = shape.num_sliding if choice.engine == "llamacpp" else 0
    seen = min(window, _padded(shape.window + choice.piece))
    return layer * ((shape.num_layers - sliding) * window + sliding * seen)


def _padded(count: int) -> int:
    return -(-count // 256) * 256


def activation_bytes(shape: Shape, choice: Choice, use: Use) -> int:
    """The largest intermediate results of a step: a piece of a prompt, or a token of each user."""
    if choice.engine == "llamacpp":
        # Its buffer is made for logits at every token of a piece, in f32.
        per_token = 4 * (shape.vocab_size + 2 * shape.width + 2 * shape.inner)
        return choice.piece * per_token
    wide = DTYPE_BYTES[dtype_of(shape, choice)]
    piece = choice.piece * (4 * shape.width + 3 * shape.inner) * wide
    attention = choice.piece * use.window * shape.num_heads * wide
    # Logits as the model gives them, then in f32 and once more while a token is chosen.
    logits = use.users * shape.vocab_size * (wide + 8)
    return piece + attention + logits


def estimate(shape: Shape, choice: Choice, use: Use) -> Estimate:
    """What `choice` takes for `use`."""
    per_user = kv_per_user(shape, choice, use.window)
    return Estimate(
        weights=weight_bytes(shape, choice),
        kv_per_token=kv_per_token(shape, choice),
        kv_per_user=per_user,
        kv=per_user * use.users,
        activations=activation_bytes(shape, choice, use),
        runtime=RUNTIME[choice.engine] + BESIDE[choice.engine] + _tables(shape, choice),
    )


def _tables(shape: Shape, choice: Choice) -> int:
    """What libraries hold for each entry of the vocabulary."""
    more = INT8_BYTES if choice.quant == "int8" else 0
    return shape.vocab_size * (TABLE_BYTES[choice.engine] + more)


def largest_window(shape: Shape, choice: Choice, users: int, memory: int) -> int:
    """The longest context of each of `users` that fits in `memory`; 0 where not even a short one.

    Never more than the model was trained on.
    """
    low, high = 0, shape.context_length
    while low < high:
        middle = (low + high + 1) // 2
        fits = estimate(shape, choice, Use(middle, users)).total <= memory
        low, high = (middle, high) if fits else (low, middle - 1)
    return low if low >= MIN_WINDOW else 0


def offloaded(shape: Shape, choice: Choice, use: Use, memory: int) -> int:
    """How much of the weights must lie elsewhere so that the rest fits in `memory`."""
    found = estimate(shape, choice, use)
    return min(max(found.total - memory, 0), found.weights)


def tokens_per_second(shape: Shape, choice: Choice, use: Use, bandwidth: float) -> float:
    """The bound that reading memory sets, of all users together; `bandwidth` in bytes/s.

    Each step reads the weights once, and the keys and values of each user.
    """
    found = estimate(shape, choice, use)
    read = found.weights
    if not shape.is_tied:
        # Of an input table of its own, a step reads a row for each user.
        share = shape.num_table / max(shape.num_parameters, 1)
        wide = shape.stored if choice.engine == "llamacpp" else found.weights
        read -= int(share * wide)
    return use.users * bandwidth / (read + found.kv)


def check_fits(shape: Shape, choice: Choice, use: Use, memory: int) -> None:
    """Raises SetupError, with what would fit, where the model needs more than `memory`."""
    found = estimate(shape, choice, use)
    if found.model <= memory:
        return
    window = largest_window(shape, choice, use.users, memory + found.runtime)
    hint = f"LEAFSTREAM_CONTEXT_WINDOW={window} would fit; or " if window else ""
    raise SetupError(
        f"{use.users} slots of {use.window} tokens need about {gib(found.model)} of memory "
        f"({gib(found.weights)} weights, {gib(found.kv)} keys and values) and {gib(memory)} are "
        f"free: {hint}lower LEAFSTREAM_SLOTS, set LEAFSTREAM_QUANT=nf4 or int8, or take a smaller "
        "model; `leafstream plan` shows the choices"
    )


def gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"


_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def read_size(text: str) -> int:
    """Bytes from "24GB", "512MiB", "6g" (powers of two, as memory is sold). Raises SetupError."""
    tail = text.strip().upper().removesuffix("B").removesuffix("I")
    unit = tail[-1:] if tail[-1:] in _UNITS else ""
    try:
        count = float(tail.removesuffix(unit) if unit else tail)
    except ValueError:
        count = -1
    if not 0 < count < 1e18:
        raise SetupError(f"{text!r} is not a size: give it as 24GB or 512MB")
    return int(count * _UNITS[unit])
