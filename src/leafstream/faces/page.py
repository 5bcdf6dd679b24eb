"""The page at `/`, the client at `/client.js`, and the files that they are made of."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from importlib.resources.abc import Traversable

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from leafstream.errors import NotFound

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
# No 'unsafe-inline' and no other host: what the model writes can be shown, never run.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


_IMPORT = re.compile(rb'^import .* from "\./(\w+\.js)";\n', re.MULTILINE)
_ONLY_BETWEEN_FILES = re.compile(rb"^(?:/\*\* @import|export \{).*\n", re.MULTILINE)


class File(msgspec.Struct, frozen=True):
    """One file as it is sent; `etag` changes with its content."""

    content: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, content: bytes, suffix: str) -> File:
        etag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
        return cls(content, TYPES[suffix], etag)

    def response(self, request: Request) -> Response:
        """The file, or 304 where the browser has this very content."""
        headers = {**HEADERS, "ETag": self.etag}
        known = {tag.strip() for tag in request.headers.get("if-none-match", "").split(",")}
        if self.etag in known or f"W/{self.etag}" in known:
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=headers, media_type=self.media_type)


def router() -> APIRouter:
    web = dict(_read(files("leafstream") / "web"))
    alone = File.of(_one_file(web, "client.js"), ".js")
    routes = APIRouter(include_in_schema=False)

    @routes.api_route("/", methods=["GET", "HEAD"])
    async def page(request: Request) -> Response:
        return web["index.html"].response(request)

    @routes.api_route("/client.js", methods=["GET", "HEAD"])
    async def client(request: Request) -> Response:
        return alone.response(request)

    @routes.api_route("/web/{name:path}", methods=["GET", "HEAD"])
    async def file(request: Request, name: str) -> Response:
        if name not in web:
            raise NotFound(f"there is no /web/{name}")
        return web[name].response(request)

    return routes


def _read(folder: Traversable, under: str = "") -> list[tuple[str, File]]:
    """The files of a folder and what is under it, by name."""
    found: list[tuple[str, File]] = []
    for item in folder.iterdir():
        name = under + item.name
        if item.is_dir():
            found += _read(item, f"{name}/")
            continue
        found.append((name, File.of(item.read_bytes(), "." + name.rpartition(".")[2])))
    return found


def _one_file(web: dict[str, File], name: str) -> bytes:
    """A module with what it imports in the place of its imports, so that it can be copied alone."""
    text = _IMPORT.sub(lambda found: web[found[1].decode()].content, web[name].content)
    return _ONLY_BETWEEN_FILES.sub(b"", text)
