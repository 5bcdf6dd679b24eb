"""API keys: made here, kept as hashes in one file, told once."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import msgspec

from leafstream.errors import InvalidRequest, SetupError

logger = logging.getLogger("leafstream.keys")

Scope = Literal["answers", "metrics"]
"""`answers`: ask and read one's own. `metrics`: read /metrics."""

SCOPES: tuple[Scope, ...] = get_args(Scope)
LOOK_SECONDS = 1.0


class Key(msgspec.Struct, frozen=True):
    """A caller. `share` and `per_minute` bound its answers at once and its requests; None: not."""

    id: str
    name: str
    hash: str
    scopes: tuple[Scope, ...] = ("answers",)
    share: int | None = None
    per_minute: int | None = None
    created: float = 0.0

    def fits(self, secret: str) -> bool:
        return hmac.compare_digest(self.hash, _hash(secret))


class Keys:
    """The keys of a file, read again when it changes; with no file, keys are off.

    While the file is gone no key is good. While it cannot be read, those of before are.
    """

    def __init__(self, path: Path | None) -> None:
        """Raises SetupError where the file cannot be read."""
        self._path = path
        self._keys: dict[str, Key] = {}
        self._stamp: tuple[int, int] | None = None
        self._looked = 0.0
        self._trouble = ""
        if path is not None:
            self._read(path)

    @property
    def are_on(self) -> bool:
        return self._path is not None

    def find(self, text: str) -> Key | None:
        """The key that `lf_ID_SECRET` is; None where it is none of ours."""
        self._look()
        prefix, _, rest = text.partition("_")
        name, _, secret = rest.partition("_")
        key = self._keys.get(name) if prefix == "lf" else None
        return key if key is not None and key.fits(secret) else None

    def share(self, owner: str) -> int | None:
        """How many answers at once this caller may have."""
        key = self._keys.get(owner)
        return None if key is None else key.share

    def _look(self) -> None:
        now = time.monotonic()
        if self._path is None or now - self._looked <= LOOK_SECONDS:
            return
        self._looked = now
        try:
            if not self._path.exists():
                self._keys, self._stamp = {}, None
            if self._stamp is None or _stamp(self._path) != self._stamp:
                self._read(self._path)
            self._trouble = ""
        except (OSError, SetupError) as error:
            self._tell(str(error))

    def _read(self, path: Path) -> None:
        # The stamp of before the reading, kept after it: a change meanwhile, or a reading that
        # fails, is looked at again.
        stamp = _stamp(path)
        self._keys = {key.id: key for key in read_keys(path)}
        self._stamp = stamp

    def _tell(self, trouble: str) -> None:
        """Once, not at every look."""
        if trouble != self._trouble:
            logger.warning("%d keys are good: %s", len(self._keys), trouble)
        self._trouble = trouble


def read_keys(path: Path) -> list[Key]:
    """Raises SetupError with what to do."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Key])
    except FileNotFoundError:
        raise SetupError(
            f"there is no file of keys {path}; make one with: leafstream keys add NAME"
        ) from None
    except (OSError, msgspec.DecodeError) as error:
        raise SetupError(f"the file of keys {path} cannot be read: {error}") from None


def add_key(
    path: Path,
    name: str,
    scopes: Sequence[str] = ("answers",),
    share: int | None = None,
    per_minute: int | None = None,
) -> str:
    """Make a key and return its text, which is kept nowhere. Raises InvalidRequest."""
    keys = read_keys(path) if path.exists() else []
    if any(key.name == name for key in keys):
        raise InvalidRequest(f"there is a key named {name!r} already", param="name")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        known = ", ".join(SCOPES)
        raise InvalidRequest(f"there is no scope {unknown[0]!r}; there are: {known}", param="scope")
    id_, secret = secrets.token_hex(6), secrets.token_urlsafe(24)
    made = Key(
        id_,
        name,
        _hash(secret),
        tuple(scope for scope in SCOPES if scope in scopes),
        share,
        per_minute,
        time.time(),
    )
    _write(path, [*keys, made])
    return f"lf_{id_}_{secret}"


def remove_key(path: Path, name: str) -> None:
    """Raises InvalidRequest where there is none of that name."""
    keys = read_keys(path)
    left = [key for key in keys if key.name != name]
    if len(left) == len(keys):
        raise InvalidRequest(f"there is no key named {name!r}", param="name")
    _write(path, left)


def _write(path: Path, keys: list[Key]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(path.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(keys), indent=1) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _hash(secret: str) -> str:
    # Not a password: 192 random bits need no slow hash.
    return hashlib.sha256(secret.encode()).hexdigest()


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes with the file; None where there is nothing to see."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
