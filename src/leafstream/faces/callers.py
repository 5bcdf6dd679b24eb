"""Who calls, and whether he may: keys, their scopes and rates, and other sites' pages."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from fastapi import Request

from leafstream.errors import Forbidden, RateLimited, Unauthorized
from leafstream.keys import Key, Keys, Scope
from leafstream.port import is_loopback

PUBLIC = frozenset(
    ("/", "/client.js", "/healthz", "/readyz", "/openapi.json", "/docs", "/docs/oauth2-redirect")
)
PUBLIC_FOLDERS = ("/web/",)
"""Pages, documents and health; all the rest is guarded, what an app brings too."""


class Callers:
    """Decides about every request before a route sees it."""

    def __init__(
        self,
        keys: Keys,
        origins: tuple[str, ...] = (),
        *,
        local: bool = True,
        public: tuple[str, ...] = (),
    ) -> None:
        """`origins` are other sites whose pages may call; `local`: it listens on loopback only.

        Paths below `public` are an app's pages, which hold nobody's data.
        """
        self._public = (*PUBLIC_FOLDERS, *public)
        self._keys = keys
        self._origins = frozenset(origins)
        self._local = local
        self._buckets: dict[str, _Bucket] = {}

    async def admit(self, request: Request) -> None:
        """Raises Unauthorized, Forbidden or RateLimited; else the request knows its owner."""
        path = request.scope["path"]  # not request.url, of which the Host header is a part
        if path in PUBLIC or path.startswith(self._public):
            return
        if not self._keys.are_on:
            self._check_site(request)
            return
        key = self._keys.find(_given(request))
        if key is None:
            raise Unauthorized("this server wants a key: send 'Authorization: Bearer lf_…'")
        scope: Scope = "metrics" if path.startswith("/metrics") else "answers"
        if scope not in key.scopes:
            raise Forbidden(f"the key {key.name!r} is not for {scope}")
        self._check_rate(key)
        request.scope["leafstream.owner"] = key.id

    def _check_site(self, request: Request) -> None:
        """Keep out other sites' pages: their visitors' browsers can reach a server without keys."""
        host = request.headers.get("host", "")
        if self._local and not is_loopback(host):
            raise Forbidden(f"this server is not {host!r}; it answers to localhost only")
        origin = request.headers.get("origin")
        if origin in self._origins or "*" in self._origins:
            return
        if origin is None:
            _check_sender(request)
        elif _netloc(origin) != host:
            raise Forbidden(f"pages of {origin} may not call; see LEAFSTREAM_CORS_ORIGINS")

    def _check_rate(self, key: Key) -> None:
        if key.per_minute is None:
            return
        bucket = self._buckets.setdefault(key.id, _Bucket(key.per_minute))
        wait = bucket.take(key.per_minute)
        if wait:
            raise RateLimited(
                f"the key {key.name!r} may ask {key.per_minute} times a minute",
                retry_after=int(wait) + 1,
            )


class _Bucket:
    """Tokens that come back evenly over a minute."""

    def __init__(self, size: int) -> None:
        self._left = float(size)
        self._at = time.monotonic()

    def take(self, size: int) -> float:
        """0 where there was one; else the seconds until there is."""
        now = time.monotonic()
        self._left = min(size, self._left + (now - self._at) * size / 60)
        self._at = now
        if self._left < 1:
            return (1 - self._left) * 60 / size
        self._left -= 1
        return 0.0


def _check_sender(request: Request) -> None:
    # Images, frames and links have no Origin; of those a browser says whether it is the same.
    if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        raise Forbidden("pages of other sites may not call; see LEAFSTREAM_CORS_ORIGINS")


def _netloc(origin: str) -> str | None:
    """The host and port of an origin; None where it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _given(request: Request) -> str:
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    return text.strip() if kind.lower() == "bearer" else request.headers.get("x-api-key", "")
