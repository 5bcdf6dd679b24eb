"""Settings: one order of sources, and nothing unknown passes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from leafstream import reference
from leafstream.errors import SetupError
from leafstream.settings import (
    HANDED,
    Settings,
    adopt_variables,
    handed,
    read_layers,
    read_settings,
    shown,
)

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(autouse=True)
def _bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("LEAFSTREAM_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def test_a_flag_beats_the_environment_which_beats_env_file_and_settings_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("leafstream.toml", "port = 1\nqueue = 1\nslots = 1\ngrace_seconds = 1\n")
    write(".env", "LEAFSTREAM_PORT=2\nLEAFSTREAM_QUEUE=2\nLEAFSTREAM_SLOTS=2\n")
    monkeypatch.setenv("LEAFSTREAM_PORT", "3")
    monkeypatch.setenv("LEAFSTREAM_QUEUE", "3")
    reading = read_layers(port=4, host=None)
    found = {
        name: (getattr(reading.settings, name), reading.source(name))
        for name in ("port", "queue", "slots", "grace_seconds", "host")
    }
    assert found == {
        "port": (4, "flag"),
        "queue": (3, "environment"),
        "slots": (2, ".env"),
        "grace_seconds": (1, "file"),
        "host": ("127.0.0.1", "default"),
    }


def test_the_settings_file_is_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    write("leafstream.toml", "port = 1")
    other = write("other.toml", "port = 2")
    assert read_settings().port == 1
    assert read_settings(other).port == 2
    write(".env", "LEAFSTREAM_CONFIG=other.toml")
    assert read_settings().port == 2
    monkeypatch.setenv("LEAFSTREAM_CONFIG", "nowhere.toml")
    with pytest.raises(SetupError, match=r"no settings file nowhere\.toml"):
        read_settings()


@pytest.mark.parametrize(
    ("where", "text", "says"),
    [
        (
            "leafstream.toml",
            "prot = 1",
            r"leafstream.toml sets prot, which is no setting; .*port\?",
        ),
        ("leafstream.toml", "[server]\nport = 1", "leafstream.toml sets server"),
        ("leafstream.toml", "port = ", "leafstream.toml cannot be read"),
        ("leafstream.toml", "port = 'x'", "port='x' in leafstream.toml cannot be used"),
        (".env", "LEAFSTREAM_MODLE=x", r"\.env sets LEAFSTREAM_MODLE.*LEAFSTREAM_MODEL\?"),
        (".env", "LEAFSTREAM_PORT=x", r"LEAFSTREAM_PORT='x' in \.env cannot be used"),
    ],
)
def test_what_a_file_says_wrongly_is_told_with_its_place(where: str, text: str, says: str) -> None:
    write(where, text)
    with pytest.raises(SetupError, match=says):
        read_settings()


def test_an_unknown_variable_is_refused_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEAFSTREAM_CONTEXT_WINDOWS", "512")
    with pytest.raises(SetupError, match=r"did you mean LEAFSTREAM_CONTEXT_WINDOW\?"):
        read_settings()


def test_the_clients_variable_is_no_setting_and_is_not_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEAFSTREAM_URL", "http://127.0.0.1:9")
    assert read_layers().layers == {}


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAFSTREAM_PORT", "")
    assert read_layers().source("port") == "default"


def test_what_others_keep_in_the_env_file_reaches_them_and_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SOME_TOKEN", raising=False)
    monkeypatch.setenv("SOME_PROXY", "kept")
    write(".env", "SOME_TOKEN=abc\nSOME_PROXY=lost\nLEAFSTREAM_PORT=5\n")
    assert read_settings().port == 5
    adopt_variables()
    assert (os.environ.pop("SOME_TOKEN"), os.environ["SOME_PROXY"]) == ("abc", "kept")
    assert "LEAFSTREAM_PORT" not in os.environ


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("api_keys", "abc", "***"),
        ("hub_token", "abc", "***"),
        ("database_url", "postgresql://me:se%40cret@host/db", "postgresql://me:***@host/db"),
        ("database_url", "postgresql://host:5432/db", "postgresql://host:5432/db"),
        ("database_url", "postgresql://me:se/c:r@e?t@host/db", "postgresql://me:***@host/db"),
        ("database_url", "postgresql://me@here:secret@host", "postgresql://me@here:***@host"),
        (
            "database_url",
            "postgresql://db/leaf?user=me&password=secret&sslmode=require",
            "postgresql://db/leaf?user=me&password=***&sslmode=require",
        ),
        ("answers_url", "redis://:se@cret@host/0", "redis://:***@host/0"),
        (
            "answers_url",
            "redis://host:6379/0?PASSWORD=se?cr,et",
            "redis://host:6379/0?PASSWORD=***",
        ),
        (
            "upstream",
            "http://a:80/v1,http://me:se,cret@b:80/v1?api_key=se, https://c:80/v1",
            "http://a:80/v1,http://me:***@b:80/v1?api_key=***, https://c:80/v1",
        ),
        ("model", "smollm2-135m", "smollm2-135m"),
        ("hub_token", None, None),
    ],
)
def test_a_secret_is_never_shown(name: str, value: str | None, says: str | None) -> None:
    assert shown(name, value) == says


def test_the_refusal_of_a_secret_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAFSTREAM_OTLP_ENDPOINT", "ftp://me:hidden@host")
    with pytest.raises(SetupError) as told:
        read_settings()
    assert "hidden" not in told.value.message


def test_settings_made_in_code_read_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    write(".env", "LEAFSTREAM_PORT=5")
    monkeypatch.setenv("LEAFSTREAM_QUEUE", "5")
    made = Settings()  # type: ignore[call-arg]
    assert (made.port, made.queue) == (8000, 64)


def test_settings_that_are_handed_on_are_whole_and_hide_every_other_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("leafstream.toml", "slots = 3\nupstream_key = 'a key'\nkeys_file = 'k.json'\n")
    monkeypatch.setenv("LEAFSTREAM_GRACE_SECONDS", "0.5")
    told = read_settings(port=4)
    (name, value), *_ = handed(told).items()
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("LEAFSTREAM_GRACE_SECONDS", "2")
    write("leafstream.toml", "threads = 3")
    write(".env", "LEAFSTREAM_THREADS=2")
    taken = read_settings()
    assert taken == told
    assert taken.model_fields_set == told.model_fields_set


@pytest.mark.parametrize("value", ["", "{", "[1]", "null", "[" * 100_000])
def test_what_is_handed_on_and_cannot_be_read_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(HANDED, value)
    with pytest.raises(SetupError, match=r"LEAFSTREAM_HANDED is no object in JSON.* unset it"):
        read_settings()


def test_every_setting_is_described_and_belongs_to_a_group() -> None:
    grouped = [name for fields in reference.groups().values() for name in fields]
    assert sorted(grouped) == sorted(Settings.model_fields)
    assert all(field.description for field in Settings.model_fields.values())


def test_the_reference_page_is_what_the_code_says() -> None:
    """Mended by `leafstream settings --markdown > docs/settings.md`."""
    assert (DOCS / "settings.md").read_text() == reference.page()
