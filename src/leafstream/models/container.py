"""GGUF as a container, versions 2 and 3: keys with values, and where the tensors lie.

The format is ggml-org/ggml's docs/gguf.md, the sizes of the tensor types are ggml.h's. A file may
be hostile: every count and length is bounded before anything is made of it.
"""

from __future__ import annotations

import re
import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import BinaryIO, NoReturn

import msgspec

from leafstream.errors import SetupError

MAX_HEADER = 256 << 20
MAX_KEYS = 1 << 16
MAX_TENSORS = 1 << 18
MAX_ITEMS = 1 << 22
MAX_KEPT = 1 << 12
MAX_DIMENSIONS = 4
DEFAULT_ALIGNMENT = 32

STRING, ARRAY = 8, 9
SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
LONG_AND_KEPT = frozenset({"tokenizer.ggml.token_type"})

# ggml type: name, elements in a block, bytes of a block
TENSOR_TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
}

FOREIGN = (
    (re.compile(rb"\s*<(?:!doctype|html|head|\?xml)", re.IGNORECASE), "a web page"),
    (re.compile(rb"version https://git-lfs"), "a git-lfs pointer: run git lfs pull"),
    (re.compile(rb"PK\x03\x04"), "a zip file, a wheel or a PyTorch checkpoint"),
    (re.compile(rb".{8}\{\s*\"", re.DOTALL), "a safetensors file: convert it to GGUF"),
    (re.compile(rb"lmgg|fmgg|tjgg|algg"), "a GGML file of 2023: convert it to GGUF"),
    (re.compile(rb"\x1f\x8b"), "a gzip file: unpack it"),
    (re.compile(rb"\s*[{\[]"), "JSON"),
    (re.compile(rb"\x00+$"), "nothing but zeros"),
)


class Strings(msgspec.Struct, frozen=True):
    """An array of strings left where it lies; `starts` are the positions of the items' lengths."""

    data: bytearray = bytearray()
    starts: array[int] = array("Q")
    end: int = 0

    def __len__(self) -> int:
        return len(self.starts)

    def all(self) -> list[str]:
        """All items, which costs less than one after the other."""
        data, ends = bytes(self.data), [*self.starts[1:], self.end]
        places = zip(self.starts, ends, strict=True)
        return [data[start + 8 : end].decode("utf-8", "replace") for start, end in places]

    def __getitem__(self, index: int) -> str:
        return _string(self.data, self.starts[index])

    def matching(self, pattern: re.Pattern[bytes]) -> Iterator[str]:
        """The items in which `pattern` is found, as often as it is."""
        if self.starts:
            for hit in pattern.finditer(self.data, self.starts[0], self.end):
                yield self[max(bisect_right(self.starts, hit.start()) - 1, 0)]


class Unread(msgspec.Struct, frozen=True):
    """A long array that nobody asks for."""


class Tensor(msgspec.Struct, frozen=True, gc=False):
    """`offset` is from the start of the tensor data; `size` is in bytes, without padding."""

    name: str
    type: str
    num_elements: int
    offset: int
    size: int
    num_dimensions: int


Number = int | float
Value = Number | str | Strings | tuple[Number, ...] | Unread


class Container(msgspec.Struct, frozen=True):
    """The keys and the tensors of a file whose bytes are all there."""

    path: Path
    values: dict[str, Value]
    tensors: tuple[Tensor, ...]
    size: int

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            raise damaged(self.path, f"{key!r} is not a text")
        return value

    def count(self, key: str) -> int | None:
        """A natural number; the largest where there is one for each layer."""
        value = self.values.get(key)
        if isinstance(value, tuple):
            value = max(value, default=None)
        if value is not None and (not isinstance(value, int) or value < 0):
            raise damaged(self.path, f"{key!r} is not a count")
        return value

    def flag(self, key: str) -> bool | None:
        value = self.values.get(key)
        return value if isinstance(value, bool) else None

    def strings(self, key: str) -> Strings:
        value = self.values.get(key, Strings())
        if not isinstance(value, Strings):
            raise damaged(self.path, f"{key!r} is not a list of texts")
        return value

    def numbers(self, key: str) -> tuple[Number, ...]:
        value = self.values.get(key)
        return value if isinstance(value, tuple) else ()


def damaged(path: Path, what: str) -> SetupError:
    return SetupError(f"{path} has a damaged GGUF header ({what}): download it again")


def read(file: BinaryIO, path: Path, size: int) -> Container:
    """The container in `file`, which is `size` bytes long. Raises SetupError."""
    cursor = _Cursor(file, path, size)
    _check_start(cursor)
    num_tensors, num_keys = cursor.natural("<Q"), cursor.natural("<Q")
    if num_tensors > MAX_TENSORS or num_keys > MAX_KEYS:
        cursor.damaged(f"it claims {num_tensors:,} tensors and {num_keys:,} keys")
    values: dict[str, Value] = {}
    for _ in range(num_keys):
        key = cursor.text()
        if key in values:
            cursor.damaged(f"the key {key[:80]!r} is there twice")
        values[key] = _value(cursor, key)
    tensors = tuple(_tensors(cursor, num_tensors))
    container = Container(path, values, tensors, size)
    _check_end(container, cursor.at)
    return container


def _check_start(cursor: _Cursor) -> None:
    cursor.load(min(cursor.size, 512))
    head = bytes(cursor.data[:512])
    if not head.startswith(b"GGUF"):
        looks = [f", it looks like {kind}" for pattern, kind in FOREIGN if pattern.match(head)]
        raise SetupError(f"{cursor.path} is not a GGUF file{''.join(looks[:1])}")
    cursor.skip(4)
    version = cursor.natural("<I")
    if version and not version & 0xFFFF:
        raise SetupError(f"{cursor.path} is a big-endian GGUF file, which is not supported")
    if version not in (2, 3):
        raise SetupError(f"{cursor.path} is GGUF version {version}; versions 2 and 3 are supported")


def _check_end(container: Container, header_end: int) -> None:
    end = header_end
    if container.tensors:
        alignment = container.count("general.alignment") or DEFAULT_ALIGNMENT
        end += -end % alignment
        end += max(tensor.offset + tensor.size for tensor in container.tensors)
    if end > container.size:
        raise SetupError(
            f"{container.path} is cut short: {container.size:,} bytes are there and its header "
            f"promises {end:,}; download it again"
        )


def _value(cursor: _Cursor, key: str) -> Value:
    kind = cursor.natural("<I")
    if kind == STRING:
        return cursor.text()
    if kind == ARRAY:
        return _array(cursor, key, cursor.natural("<I"), cursor.natural("<Q"))
    if kind not in SCALARS:
        cursor.damaged(f"{key[:80]!r} has the unknown type {kind}")
    return cursor.unpack("<" + SCALARS[kind])[0]


def _array(cursor: _Cursor, key: str, kind: int, count: int) -> Value:
    if count > MAX_ITEMS:
        cursor.damaged(f"{key[:80]!r} claims {count:,} items")
    if kind == STRING:
        return cursor.strings(count)
    if kind not in SCALARS:
        cursor.damaged(f"{key[:80]!r} is an array of the unknown type {kind}")
    layout = f"<{count}{SCALARS[kind]}"
    if count <= MAX_KEPT or key in LONG_AND_KEPT:
        return cursor.unpack(layout)
    cursor.skip(struct.calcsize(layout))
    return Unread()


def _tensors(cursor: _Cursor, num_tensors: int) -> Iterator[Tensor]:
    for _ in range(num_tensors):
        name = cursor.text()[:80]
        num_dimensions = cursor.natural("<I")
        if num_dimensions > MAX_DIMENSIONS:
            cursor.damaged(f"the tensor {name!r} claims {num_dimensions:,} dimensions")
        shape = [int(length) for length in cursor.unpack(f"<{num_dimensions}Q")]
        kind, offset = cursor.natural("<I"), cursor.natural("<Q")
        if kind not in TENSOR_TYPES:
            cursor.damaged(f"the tensor {name!r} has type {kind}, which is not known")
        label, block, block_size = TENSOR_TYPES[kind]
        if shape and shape[0] % block:
            cursor.damaged(f"the rows of the tensor {name!r} do not fill its blocks")
        num_elements = prod(shape)
        size = num_elements // block * block_size
        yield Tensor(name, label, num_elements, offset, size, num_dimensions)


def _string(data: bytearray, start: int) -> str:
    (length,) = struct.unpack_from("<Q", data, start)
    return data[start + 8 : start + 8 + length].decode("utf-8", "replace")


class _Cursor:
    """Reads forward; at most MAX_HEADER bytes of the file are held."""

    # Read, not mapped: a mapped file that shrinks under its reader kills the process.
    def __init__(self, file: BinaryIO, path: Path, size: int) -> None:
        self._file = file
        self.path = path
        self.size = size
        self.data = bytearray()
        self.at = 0

    def damaged(self, what: str) -> NoReturn:
        raise damaged(self.path, what)

    def load(self, end: int) -> None:
        """Make the bytes before `end` available in `data`."""
        if end <= len(self.data):
            return
        if end > self.size:
            raise SetupError(
                f"{self.path} ends inside its own header, after {self.size:,} bytes: it was cut "
                "short or is damaged; download it again"
            )
        if end > MAX_HEADER:
            self.damaged(f"it claims more than {MAX_HEADER:,} bytes")
        wanted = min(max(end, 2 * len(self.data), 1 << 20), MAX_HEADER)
        self.data += self._file.read(wanted - len(self.data))
        if end > len(self.data):
            self.damaged("the file changed while it was read")

    def skip(self, count: int) -> int:
        """Go over `count` bytes; the position where they begin."""
        start = self.at
        self.load(start + count)
        self.at = start + count
        return start

    def unpack(self, layout: str) -> tuple[Number, ...]:
        start = self.skip(struct.calcsize(layout))
        return struct.unpack_from(layout, self.data, start)

    def natural(self, layout: str) -> int:
        return int(self.unpack(layout)[0])

    def text(self) -> str:
        start = self.at
        self.skip(self.natural("<Q"))
        return _string(self.data, start)

    def strings(self, count: int) -> Strings:
        """Go over an array of strings; this loop is the cost of a large vocabulary."""
        starts = array("Q")
        append, unpack = starts.append, struct.Struct("<Q").unpack_from
        data, at, loaded = self.data, self.at, 0
        for _ in range(count):
            if at + 8 > loaded:
                self.load(at + 8)
                loaded = len(data)
            append(at)
            (length,) = unpack(data, at)
            at += 8 + length
        self.load(at)
        self.at = at
        return Strings(data, starts, at)
