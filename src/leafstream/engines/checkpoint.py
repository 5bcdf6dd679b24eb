"""From what a person names to a folder that transformers loads: weights as safetensors.

A folder is taken as it is; a GGUF file is widened to bf16 once and kept in the cache, which loads
several times faster and can be quantized anew; a repository comes from the hub into the hub's own
cache, where other tools find it too.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from leafstream.engines.weights import require_extra
from leafstream.errors import SetupError
from leafstream.models.cache import Progress, check_space, only_one
from leafstream.models.catalog import KNOWN
from leafstream.models.fetch import is_here, resolve
from leafstream.models.shape import Held, Shape, read_shape, shape_from

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.\-]*/[A-Za-z0-9][\w.\-]*", re.ASCII)
# Never pickles: they run code.
WANTED = ["*.safetensors", "*.json", "*.jinja", "tokenizer.model"]
PREFIX = "transformers:"


def checkpoint(
    spec: str, cache: Path, *, progress: Progress | None = None, offline: bool = False
) -> Path:
    """The folder of the model that `spec` names. Blocks. Raises SetupError with what to do."""
    path = Path(spec).expanduser()
    if path.is_dir():
        return path
    if _is_file(spec, path):
        file = resolve(spec, cache=cache, progress=progress, offline=offline)
        return dequantized(file, cache, progress)
    if REPOSITORY.fullmatch(spec):
        return _from_hub(spec, offline=offline)
    raise _unknown(spec)


def at_hand(spec: str, cache: Path) -> Path | None:
    """What of it is here already: a folder, or a GGUF file that is still to be widened.

    None where it is to be fetched. Raises SetupError where `spec` names no model.
    """
    path = Path(spec).expanduser()
    if path.is_dir():
        return path
    if _is_file(spec, path):
        file = is_here(spec, cache)
        folder = None if file is None else _widened(file, cache)
        return folder if folder is not None and folder.is_dir() else file
    if REPOSITORY.fullmatch(spec):
        return _in_hub_cache(spec)
    raise _unknown(spec)


def _in_hub_cache(repo: str) -> Path | None:
    require_extra()
    import huggingface_hub as hub  # noqa: PLC0415

    try:
        return Path(hub.snapshot_download(repo, allow_patterns=WANTED, local_files_only=True))
    except hub.errors.LocalEntryNotFoundError:
        return None


def _is_file(spec: str, path: Path) -> bool:
    known = spec.lower() in KNOWN or spec.startswith("hf:") or spec.lower().endswith(".gguf")
    return known or path.exists()


def _unknown(spec: str) -> SetupError:
    return SetupError(
        f"there is no model {spec!r} for transformers: give {PREFIX}/path/to/a/folder, "
        f"{PREFIX}owner/repo, or {PREFIX} and a GGUF file or short name"
    )


def _widened(file: Path, cache: Path) -> Path:
    # Many files bear one name, and one file may be written over by another of its size.
    held = file.stat()
    return cache / "dequantized" / f"{file.stem}-{held.st_size}-{held.st_mtime_ns:x}"


def dequantized(file: Path, cache: Path, progress: Progress | None = None) -> Path:
    """The folder with a GGUF file's weights in bf16, made once. Raises SetupError."""
    folder = _widened(file, cache)
    if folder.is_dir():
        return folder
    require_extra()
    folder.parent.mkdir(parents=True, exist_ok=True)
    tell = progress or (lambda *_: None)
    with only_one(folder, cache, tell):
        if folder.is_dir():
            return folder
        check_space(folder.parent, 2 * read_shape(file).num_parameters, f"{file.stem} in bf16")
        new = folder.with_name(folder.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        tell(f"widening {file.name} to bf16", 0, None)
        with _readable(f"transformers cannot read {file}"):
            _widen(file, new)
        os.replace(new, folder)
    return folder


def _widen(file: Path, folder: Path) -> None:
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    model: Any = transformers.AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=file.name,
        dtype=torch.bfloat16,
        quantization_config=transformers.GgufConfig(dequantize=True),
        local_files_only=True,
    )
    # What is saved is no GGUF any more, and save_pretrained refuses while the model says so.
    model.hf_quantizer = None
    for config in (model.config, model.config.get_text_config()):
        if hasattr(config, "quantization_config"):
            del config.quantization_config
    model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(
        folder
    )


def _from_hub(repo: str, *, offline: bool) -> Path:
    require_extra()
    import huggingface_hub as hub  # noqa: PLC0415

    endpoint = os.environ.get("HF_ENDPOINT")
    with _hub_errors(repo):
        if offline:
            return Path(hub.snapshot_download(repo, allow_patterns=WANTED, local_files_only=True))
        api = hub.HfApi(endpoint=endpoint)
        _check_disk(repo, api.model_info(repo, files_metadata=True).siblings or [])
        return Path(hub.snapshot_download(repo, allow_patterns=WANTED, endpoint=endpoint))


def _check_disk(repo: str, files: list[Any]) -> None:
    from huggingface_hub import constants  # noqa: PLC0415

    sizes = [file.size or 0 for file in files if file.rfilename.endswith(".safetensors")]
    if not sizes:
        raise SetupError(
            f"{repo} holds no .safetensors files: take another repository, or a GGUF file of the "
            "model as hf:owner/repo/file.gguf"
        )
    folder = Path(constants.HF_HUB_CACHE)
    folder.mkdir(parents=True, exist_ok=True)
    there = Path(folder, f"models--{repo.replace('/', '--')}", "blobs")
    held = sum(file.stat().st_size for file in there.glob("*")) if there.is_dir() else 0
    if sum(sizes) > held:
        check_space(folder, sum(sizes) - held, repo)


@contextlib.contextmanager
def _readable(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, RuntimeError, ImportError, KeyError, TypeError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SetupError(f"{what}: {first}") from error


@contextlib.contextmanager
def _hub_errors(repo: str) -> Iterator[None]:
    from huggingface_hub import errors  # noqa: PLC0415

    try:
        yield
    except errors.GatedRepoError:
        raise SetupError(
            f"{repo} is a gated repository: accept its licence on https://huggingface.co/{repo} "
            "and set HF_TOKEN to a token of that account"
        ) from None
    except errors.RepositoryNotFoundError:
        raise SetupError(
            f"the hub has no repository {repo}, or it is private: check the name, or set HF_TOKEN"
        ) from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        raise SetupError(
            f"{repo} is not in the hub's cache and nothing may be downloaded: allow downloads "
            f"once, or give a folder as LEAFSTREAM_MODEL={PREFIX}/path/to/folder"
        ) from None
    except (errors.HfHubHTTPError, OSError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SetupError(f"could not fetch {repo} from the hub: {first}") from None


def shape_of_spec(
    spec: str, cache: Path, *, progress: Progress | None = None, offline: bool = False
) -> Shape:
    """The shape of the model that `spec` names, reading headers alone. Raises SetupError.

    Of a repository on the hub only the headers come; a GGUF that is not here yet is fetched.
    """
    spec = spec.removeprefix(PREFIX)
    path = Path(spec).expanduser()
    if not path.exists() and REPOSITORY.fullmatch(spec) and not spec.lower().endswith(".gguf"):
        return _hub_shape(spec, offline=offline)
    if not path.exists():
        path = resolve(spec, cache=cache, progress=progress, offline=offline)
    return read_shape(path)


def _hub_shape(repo: str, *, offline: bool) -> Shape:
    if offline:
        return read_shape(_from_hub(repo, offline=True))
    require_extra()
    import huggingface_hub as hub  # noqa: PLC0415

    endpoint = os.environ.get("HF_ENDPOINT")
    with _hub_errors(repo):
        config = Path(hub.hf_hub_download(repo, "config.json", endpoint=endpoint))
        metadata = hub.HfApi(endpoint=endpoint).get_safetensors_metadata(repo)
    held = [
        Held(name, tensor.dtype, tuple(tensor.shape), tuple(tensor.data_offsets))
        for file in metadata.files_metadata.values()
        for name, tensor in file.tensors.items()
    ]
    return shape_from(config, held)
