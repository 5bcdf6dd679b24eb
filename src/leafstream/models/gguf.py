"""What a GGUF file says of its model, known before the model is loaded.

llama.cpp answers a missing, cut, damaged or foreign file with one error for all of them, so files
are looked at here first.
"""

from __future__ import annotations

import re
import stat
from collections import Counter
from pathlib import Path

import msgspec

from leafstream.errors import SetupError
from leafstream.models import container
from leafstream.models.container import Container, Strings

# llama_ftype (llama.h) by number; a dash where none is in use
FILE_TYPES = tuple(
    "F32 F16 Q4_0 Q4_1 - - - Q8_0 Q5_0 Q5_1 Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S "
    "Q5_K_M Q6_K IQ2_XXS IQ2_XS Q2_K_S IQ3_XS IQ3_XXS IQ1_S IQ4_NL IQ3_S IQ3_M IQ2_S IQ2_M "
    "IQ4_XS IQ1_M BF16 - - - TQ1_0 TQ2_0 MXFP4 NVFP4 Q1_0".split()
)
GUESSED = 1024

UNKNOWN, CONTROL, USER_DEFINED = 2, 3, 4

# Byte-level vocabularies (GPT-2's) write a byte as a letter: itself where it is one, else the next
# letter from U+0100 on.
_LETTERS = [*range(33, 127), *range(161, 173), *range(174, 256)]
_OTHERS = sorted(set(range(256)) - set(_LETTERS))
BYTES = {256 + place: byte for place, byte in enumerate(_OTHERS)}
SPACE = "\u0120"

# llama.cpp makes these control tokens by their text, whatever type the file gives them.
FORCED_CONTROL = frozenset(
    "<|eot_id|> <|im_end|> <|end|> <|return|> <|call|> <|calls|> <|flush|> <end_of_turn> "
    "<|endoftext|> <|end_of_text|> </s> <eos> <|eom_id|> <EOT> _<EOT> [EOT] [EOS] <turn|> "
    "<|tool_response> <end_of_utterance> <｜end▁of▁sentence｜>".split()
)
# One pass over the vocabulary for all of them: it is read before every start.
FORCED_PATTERNS = (
    re.compile(
        b"<(?:%s)" % b"|".join(re.escape(t.lstrip("_")[1:].encode()) for t in FORCED_CONTROL)
    ),
    re.compile(rb"\[EO[TS]\]"),
)
# These begin with a BOS token where the file does not say, as in llama.cpp.
BOS_TOKENIZERS = frozenset({"llama", "bert"})
BOS_PRETOKENIZERS = frozenset(
    "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano tekken "
    "chameleon".split()
)
# User-defined tokens are control where a chat template would use them: runs of spaces and HTML,
# which Gemma has among them, are text.
MARKUP = re.compile(r"\s*(?:<[^<>\s]*[^\W\d][^<>\s]*>|\[[^\[\]\s]*[^\W\d][^\[\]\s]*\])\s*")
HTML = re.compile(
    r"</?(?:table|caption|thead|tbody|tfoot|tr|th|td|h[1-6]|blockquote|strong|em|b|i|u|s|sub|sup|"
    r"code|pre|a|p|br|hr|html|head|header|body|main|nav|section|article|footer|img|span|ul|ol|li|"
    r"div|iframe)/?>"
)


class Header(msgspec.Struct, frozen=True):
    """Sizes in bytes. Counts that differ between layers are the largest.

    `key_length` and `value_length` are per head. `control_tokens` are the texts that llama.cpp
    reads as one special token where it is told to. `tensor_bytes` and `num_parameters` are of this
    file alone, also where it is one shard of several.
    """

    architecture: str
    name: str | None
    context_length: int | None
    embedding_length: int | None
    num_layers: int | None
    num_heads: int | None
    num_kv_heads: int | None
    key_length: int | None
    value_length: int | None
    vocab_size: int
    chat_template: str | None
    bos_token: str | None
    eos_token: str | None
    add_bos: bool
    control_tokens: tuple[str, ...]
    tensor_bytes: int
    num_parameters: int
    quantization: str | None
    file_size: int


def read_header(path: Path) -> Header:
    """The header of the model file at `path`. Raises SetupError where it is not a whole one."""
    return _header(_read(path))


def read_pieces(path: Path) -> dict[str, int]:
    """Ids of tokens by their text, where that is certain: a byte-level vocabulary's whole texts.

    Costs more than all else that a header says. Raises SetupError as `read_header` does.
    """
    file = _read(path)
    if file.text("tokenizer.ggml.model") != "gpt2":
        return {}
    return _pieces(file.strings("tokenizer.ggml.tokens"))


def _read(path: Path) -> Container:
    try:
        size = _size(path)
        with path.open("rb") as file:
            return container.read(file, path, size)
    except (FileNotFoundError, NotADirectoryError):
        raise SetupError(f"there is no model file {path}") from None
    except ValueError as error:
        raise SetupError(f"{str(path)!r} is not a path: {error}") from None
    except OSError as error:
        raise SetupError(f"cannot read the model file {path}: {error.strerror}") from None


def _size(path: Path) -> int:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise SetupError(f"{path} is a folder: name the .gguf file in it")
    if not stat.S_ISREG(status.st_mode):
        raise SetupError(f"{path} is not a regular file")
    if not status.st_size:
        raise SetupError(f"{path} is empty: download it again")
    return status.st_size


def _header(file: Container) -> Header:
    architecture = file.text("general.architecture")
    if architecture is None:
        raise SetupError(f"{file.path} does not name its architecture: it is not a model")
    num_heads = file.count(f"{architecture}.attention.head_count")
    width = file.count(f"{architecture}.embedding_length")
    per_head = width // num_heads if width and num_heads else None
    tokens = file.strings("tokenizer.ggml.tokens")
    return Header(
        architecture=architecture,
        name=file.text("general.name"),
        context_length=file.count(f"{architecture}.context_length"),
        embedding_length=width,
        num_layers=file.count(f"{architecture}.block_count"),
        num_heads=num_heads,
        num_kv_heads=_count(file, f"{architecture}.attention.head_count_kv", num_heads),
        key_length=_count(file, f"{architecture}.attention.key_length", per_head),
        value_length=_count(file, f"{architecture}.attention.value_length", per_head),
        vocab_size=len(tokens) or file.count(f"{architecture}.vocab_size") or 0,
        chat_template=file.text("tokenizer.chat_template"),
        bos_token=_token(file, tokens, "tokenizer.ggml.bos_token_id"),
        eos_token=_token(file, tokens, "tokenizer.ggml.eos_token_id"),
        add_bos=_adds_bos(file),
        control_tokens=_control_tokens(file, tokens),
        tensor_bytes=sum(tensor.size for tensor in file.tensors),
        num_parameters=sum(tensor.num_elements for tensor in file.tensors),
        quantization=_quantization(file),
        file_size=file.size,
    )


def _count(file: Container, key: str, default: int | None) -> int | None:
    given = file.count(key)
    return default if given is None else given


def _token(file: Container, tokens: Strings, key: str) -> str | None:
    index = file.count(key)
    return tokens[index] if index is not None and index < len(tokens) else None


def _adds_bos(file: Container) -> bool:
    given = file.flag("tokenizer.ggml.add_bos_token")
    if given is not None:
        return given
    if file.text("tokenizer.ggml.model") in BOS_TOKENIZERS:
        return True
    return file.text("tokenizer.ggml.pre") in BOS_PRETOKENIZERS


def _control_tokens(file: Container, tokens: Strings) -> tuple[str, ...]:
    found: dict[str, None] = {}
    types = file.numbers("tokenizer.ggml.token_type")[: len(tokens)]
    for index, kind in enumerate(types):
        if UNKNOWN <= kind <= USER_DEFINED:
            text = tokens[index]
            if kind != USER_DEFINED or is_markup(text):
                found[text] = None
    for pattern in FORCED_PATTERNS:
        found.update((text, None) for text in tokens.matching(pattern) if text in FORCED_CONTROL)
    found.pop("", None)
    return tuple(found)


def _pieces(tokens: Strings) -> dict[str, int]:
    """The ids of a byte-level vocabulary's tokens that are whole characters."""
    found: dict[str, int] = {}
    texts = [token.replace(SPACE, " ") for token in tokens.all()]
    places = range(len(texts) - 1, -1, -1)
    for text, index in zip(reversed(texts), places, strict=True):  # of two alike the first counts
        if text.isascii():
            found[text] = index
            continue
        try:
            found[text.translate(BYTES).encode("latin-1").decode()] = index
        except UnicodeError:  # a part of a character
            continue
    return found


def is_markup(text: str) -> bool:
    """Whether a user-defined token means something to a chat template rather than to a reader."""
    return bool(MARKUP.fullmatch(text)) and not HTML.fullmatch(text)


def _quantization(file: Container) -> str | None:
    number = file.count("general.file_type")
    if number is not None and (number & ~GUESSED) < len(FILE_TYPES):
        name = FILE_TYPES[number & ~GUESSED]
        if name != "-":
            return name
    bytes_of: Counter[str] = Counter()
    for tensor in file.tensors:
        bytes_of[tensor.type] += tensor.size
    return max(bytes_of, key=bytes_of.__getitem__, default=None)
