"""A model hub on loopback, as far as a download asks it, with one gated and one huge repository."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HUGE = 1 << 60
COMMIT = "0" * 40


class Hub:
    """`folders` are what its repositories hold; `gated` and `huge` are names of others."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self.folders = folders
        self.asked: list[str] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """The hub's URL while it serves."""
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.answer(self, body=True)

            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join(timeout=5)

    def answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        path = request.path.partition("?")[0].strip("/")
        self.asked.append(path)
        status, headers, content = self._found(path.removeprefix("api/models/"), path)
        request.send_response(status)
        for name, value in {**headers, "content-length": str(len(content))}.items():
            request.send_header(name, value)
        request.end_headers()
        if body:
            request.wfile.write(content)

    def _found(self, repo_path: str, path: str) -> tuple[int, dict[str, str], bytes]:
        repo = "/".join(repo_path.split("/")[:2])
        if repo == "maker/gated" and not path.startswith("api/"):
            return 403, {"x-error-code": "GatedRepo"}, b"{}"
        if path.startswith("api/models/"):
            return self._info(repo, path)
        folder, name = self.folders.get(repo), path.rsplit("/", 1)[-1]
        if folder is None or not (folder / name).is_file():
            return 404, {"x-error-code": "EntryNotFound"}, b"{}"
        headers = {"etag": f'"{name}"', "x-repo-commit": COMMIT}
        return 200, headers, (folder / name).read_bytes()

    def _info(self, repo: str, path: str) -> tuple[int, dict[str, str], bytes]:
        sizes = {"maker/gated": {"model.safetensors": 9}, "maker/huge": {"a.safetensors": HUGE}}
        found = sizes.get(repo)
        if repo in self.folders:
            found = {file.name: file.stat().st_size for file in self.folders[repo].iterdir()}
        if found is None:
            return 404, {"x-error-code": "RepoNotFound"}, b"{}"
        if "/tree/" in path:
            tree = [{"type": "file", "path": n, "size": s, "oid": n} for n, s in found.items()]
            return 200, {"content-type": "application/json"}, json.dumps(tree).encode()
        siblings = [{"rfilename": name, "size": size} for name, size in found.items()]
        info = {"id": repo, "modelId": repo, "sha": COMMIT, "siblings": siblings}
        return 200, {"content-type": "application/json"}, json.dumps(info).encode()
