"""The demonstration page at /leafresh: three files, and a policy that allows nothing else."""

from __future__ import annotations

from importlib import resources

from fastapi.responses import Response

from leafstream.errors import NotFound

INDEX = "index.html"
TYPES = {
    INDEX: "text/html; charset=utf-8",
    "chatbot.js": "text/javascript; charset=utf-8",
    "chatbot.css": "text/css; charset=utf-8",
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def file(name: str) -> Response:
    """A file of the page. Raises NotFound."""
    if name not in TYPES:
        raise NotFound(f"the page has no file {name!r}")
    data = resources.files(__package__).joinpath("page_files", name).read_bytes()
    return Response(data, headers=HEADERS, media_type=TYPES[name])
