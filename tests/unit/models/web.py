"""A web server on loopback that can do what servers and networks do to a download."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """What lies at a path. `cuts` are the bytes after which the next answers break off."""

    body: bytes
    kind: str = "application/octet-stream"
    status: int = 200
    etag: str | None = '"one"'
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    length: bool = True
    gate: threading.Event | None = None


@dataclass(frozen=True)
class Served:
    path: str
    headers: dict[str, str]
    status: int
    sent: int


class Web:
    """`pages` by path; `log` is what was served, in order."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.log: list[Served] = []
        self.url = ""

    def bytes_of(self, path: str) -> list[int]:
        return [served.sent for served in self.log if served.path == path]

    @contextlib.contextmanager
    def running(self) -> Iterator[Web]:
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                # The client may leave in the middle, which is one of the things tested.
                with contextlib.suppress(OSError):
                    super().handle()

            def do_GET(self) -> None:
                _answer(self, web)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join(timeout=5)


def _answer(request: BaseHTTPRequestHandler, web: Web) -> None:
    page = web.pages.get(request.path, Page(b"not here", kind="text/plain", status=404))
    asked = {name.lower(): value for name, value in request.headers.items()}
    status = page.statuses.pop(0) if page.statuses else page.status
    body, start = (page.body, 0) if status == 200 else (b"sorry", 0)
    span = re.fullmatch(r"bytes=(\d+)-", asked.get("range", ""))
    if status == 200 and page.ranges and span and asked.get("if-range", page.etag) == page.etag:
        start, status = int(span[1]), 206
    if start >= len(page.body) > 0 and status == 206:
        status, body = 416, b""
    cut = page.cuts.pop(0) if page.cuts else len(body)
    piece = body[start : start + cut]
    web.log.append(Served(request.path, asked, status, len(piece)))
    request.send_response(status)
    request.send_header("content-type", page.kind)
    if page.length:
        request.send_header("content-length", str(len(body) - start if body else 0))
    if status == 206 and "content-range" not in page.headers:
        request.send_header("content-range", f"bytes {start}-{len(body) - 1}/{len(body)}")
    if status == 416:
        request.send_header("content-range", f"bytes */{len(page.body)}")
    if page.etag:
        request.send_header("etag", page.etag)
    for name, value in page.headers.items():
        request.send_header(name, value)
    request.end_headers()
    request.wfile.write(piece[: len(piece) // 2])
    request.wfile.flush()
    if page.gate is not None:
        page.gate.wait(timeout=20)
    request.wfile.write(piece[len(piece) // 2 :])
    if cut < len(body) - start or not page.length:
        request.close_connection = True
        with contextlib.suppress(OSError):
            request.connection.shutdown(socket.SHUT_RDWR)
