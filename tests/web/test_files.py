"""How the page's files are served."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from leafstream.errors import NotFound
from leafstream.faces.page import TYPES
from tests.house import house

ROOT = Path(__file__).parents[2]
WEB = ROOT / "src" / "leafstream" / "web"
FILES = sorted(path.relative_to(WEB).as_posix() for path in WEB.rglob("*") if path.is_file())
TEXTS = [name for name in FILES if Path(name).suffix in {".js", ".css", ".html", ".svg"}]


async def test_every_file_has_its_type_and_nothing_may_run_in_the_page_but_them(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as served:
        for path in ("/", "/client.js", *(f"/web/{name}" for name in FILES)):
            response = await served.http.get(path)
            assert response.status_code == 200, path
            suffix = Path(path).suffix or ".html"
            assert response.headers["Content-Type"] == TYPES[suffix]
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Referrer-Policy"] == "no-referrer"


async def test_a_browser_that_has_a_file_is_not_sent_it_again(tmp_path: Path) -> None:
    async with house(tmp_path) as served:
        first = await served.http.get("/web/page.js")
        known = {"If-None-Match": f'"other", W/{first.headers["ETag"]}'}
        again = await served.http.get("/web/page.js", headers=known)
        head = await served.http.head("/")
    assert (again.status_code, again.content) == (304, b"")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["Content-Length"]) > 1000


async def test_nothing_else_is_served(tmp_path: Path) -> None:
    async with house(tmp_path) as served:
        for name in ("none.js", "../app.py", "%2e%2e/app.py", "fonts", ""):
            response = await served.http.get(f"/web/{name}")
            assert response.status_code == NotFound.status, name
            assert response.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("name", TEXTS)
def test_a_file_needs_nothing_from_outside_and_only_what_is_there(name: str) -> None:
    text = (WEB / name).read_text()
    loaded = r'(?:src|href)="([^"#]+)"|url\("([^"]+)"\)|from "([^"]+)"'
    for found in re.findall(loaded, text):
        target = "".join(found)
        assert "//" not in target, target
        base = WEB.parent if name == "index.html" else (WEB / name).parent
        assert (base / target).is_file(), target
    assert not re.search(r"<script>|\son\w+=|style=", text) or name == "words.js"


def test_both_languages_say_the_same_things() -> None:
    words = (WEB / "words.js").read_text()
    english, korean = re.findall(r"const (?:ENGLISH|KOREAN) = \{(.*?)\n\};", words, re.DOTALL)
    told = [
        dict(re.findall(r'^  (\w+):\s+"(.*)",$', text, re.MULTILINE)) for text in (english, korean)
    ]
    assert told[0].keys() == told[1].keys()
    for key, text in told[0].items():
        assert set(re.findall(r"\{(\w+)\}", text)) == set(re.findall(r"\{(\w+)\}", told[1][key])), (
            key
        )


def test_every_text_that_the_page_says_is_there_and_every_one_there_is_said() -> None:
    words = (WEB / "words.js").read_text()
    keys = set(re.findall(r"^  (\w+):", words[: words.index("KOREAN")], re.MULTILINE))
    rest = "\n".join((WEB / name).read_text() for name in TEXTS if name != "words.js")
    built = {"state", "why", "notice", "error"}  # `state_${name}` and the like
    options = {"max_tokens", "seed"}  # the form's own fields, whose names are keys
    said = set(re.findall(r"[\"'`](\w+)[\"'`]", rest))
    unsaid = {
        k for k in keys - said - options if k.split("_")[0] not in built and not k.endswith("_hint")
    }
    assert unsaid == set()
