"""Every setting, and where it is read: flags over environment over `.env` over one TOML file."""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from dotenv import dotenv_values
from platformdirs import user_data_path, user_state_path
from pydantic import SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from leafstream.errors import SetupError
from leafstream.groups import Answers, Model, Network, Operation, Storage, Upstream
from leafstream.invalid import fault

PREFIX = "LEAFSTREAM_"
CONFIG_FILE = Path("leafstream.toml")
ENV_FILE = Path(".env")
HANDED = f"{PREFIX}HANDED"
"""What a process of ours is to have in place of every source; `handed` makes it."""
# Behind our prefix, but not settings of a server: where the file is, whom a client asks, as whom.
OTHER_VARIABLES = ("CONFIG", "URL", "KEY", "LISTEN_FD", "PARENT", "ENGINE_KEY", "RECORDED")
SECRET = re.compile(r"(?:^|_)(?:key|keys|token|secret|password)$")
# A password may hold any character, "/" and "@" too; another URL of a list begins after a comma.
PASSWORD = re.compile(r"(?<=://)([^/:?]*):(?:(?!,\s*[\w+.-]+://).)*@", re.DOTALL)
IN_QUERY = re.compile(
    r"([?&][^=&]*(?:key|token|secret|password|passwd|pwd)s?=)(?:(?!,\s*[\w+.-]+://)[^&])*",
    re.IGNORECASE,
)

Source = Literal["default", "file", ".env", "environment", "flag"]


class Settings(Network, Model, Upstream, Answers, Storage, Operation, BaseSettings):
    """Environment variables are the names in capitals behind `LEAFSTREAM_`.

    Making one reads nothing but its arguments: `read_settings` reads the rest.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True
    )

    @property
    def keys_path(self) -> Path:
        """Where `leafstream keys` keeps keys."""
        return self.keys_file or user_data_path("leafstream") / "keys.json"

    @property
    def origins(self) -> tuple[str, ...]:
        return tuple(origin.strip() for origin in self.cors_origins.split(",") if origin.strip())

    @property
    def answers(self) -> str:
        """The URL of the log."""
        if self.answers_url is not None:
            return self.answers_url
        if self.database.startswith("sqlite:///") and ":memory:" not in self.database:
            return self.database.rpartition("/")[0] + "/answers.db"
        return f"sqlite:///{user_data_path('leafstream') / 'answers.db'}"

    @property
    def database(self) -> str:
        if self.database_url is not None:
            return self.database_url
        return f"sqlite:///{user_data_path('leafstream') / 'leafstream.db'}"

    @property
    def state(self) -> Path:
        return (self.state_folder or user_state_path("leafstream")).expanduser()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


NAMES = tuple(Settings.model_fields)


class Layer(msgspec.Struct, frozen=True):
    """What one source gives; `where` is the file, and empty where there is none."""

    source: Source
    values: dict[str, Any]
    where: str = ""

    def spelled(self, name: str) -> str:
        """How the setting is written in this source."""
        if self.source == "flag":
            return "--" + name.replace("_", "-")
        return name if self.source == "file" else PREFIX + name.upper()


class Reading(msgspec.Struct, frozen=True):
    """The settings in force and the layer of each that is not at its default."""

    settings: Settings
    layers: dict[str, Layer]

    def source(self, name: str) -> Source:
        return self.layers[name].source if name in self.layers else "default"


def read_settings(config: Path | None = None, **flags: object) -> Settings:
    """The settings in force; `flags` that are None were not given. Raises SetupError."""
    return read_layers(config, **flags).settings


def read_layers(config: Path | None = None, **flags: object) -> Reading:
    """The settings with their sources. Raises SetupError for a key or value that is none."""
    given = {name: value for name, value in flags.items() if value is not None}
    layers = [Layer("flag", given), *_sources(config)]
    chosen = {name: layer for layer in reversed(layers) for name in layer.values}
    values = {name: layer.values[name] for name, layer in chosen.items()}
    try:
        return Reading(Settings(**values), chosen)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0])
        raise SetupError(_refusal(chosen[name], name, fault(first))) from None


def _refusal(layer: Layer, name: str, why: str) -> str:
    where = f" in {layer.where}" if layer.where else ""
    told = shown(name, layer.values[name])
    sign = " " if layer.source == "flag" else "="
    return f"{layer.spelled(name)}{sign}{told!r}{where} cannot be used: it {why}"


def _sources(config: Path | None) -> list[Layer]:
    if (told := os.environ.get(HANDED)) is not None:
        return [Layer("environment", _taken(told))]
    return [_environment(), _env_file(), _config_file(config)]


def handed(settings: Settings) -> dict[str, str]:
    """The variable that gives a process of ours what is set here, and nothing else."""
    told = settings.model_dump(exclude_unset=True)
    return {HANDED: json.dumps(told, default=_plain)}


def _taken(told: str) -> dict[str, Any]:
    """What `handed` gave. Raises SetupError."""
    try:
        values = json.loads(told)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise SetupError(
            f"{HANDED} is no object in JSON: leafstream sets it for its own processes; unset it"
        )
    return values


def _plain(value: SecretStr | Path) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _environment() -> Layer:
    _check_names(os.environ, "the environment")
    return Layer("environment", EnvSettingsSource(Settings)())


def _env_file() -> Layer:
    try:
        _check_names(dotenv_values(ENV_FILE), str(ENV_FILE))
        return Layer(".env", _dotenv(), str(ENV_FILE))
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{ENV_FILE} cannot be read: {error}") from None


def _dotenv() -> dict[str, Any]:
    # Others put their variables into the same file; those are not ours to refuse.
    found = DotEnvSettingsSource(Settings, env_file=ENV_FILE)()
    return {name: value for name, value in found.items() if name in NAMES}


def _check_names(variables: Iterable[str], where: str) -> None:
    ours = [name.removeprefix(PREFIX) for name in variables if name.upper().startswith(PREFIX)]
    known = [name.upper() for name in NAMES]
    for name in ours:
        if name.upper() not in (*known, *OTHER_VARIABLES):
            hint = _near(name, known, PREFIX)
            raise SetupError(f"{where} sets {PREFIX}{name}, which is no setting{hint}")


def _config_file(config: Path | None) -> Layer:
    named = config or _named_config()
    if named is None and not CONFIG_FILE.is_file():
        return Layer("file", {})
    path = named or CONFIG_FILE
    if not path.is_file():
        raise SetupError(f"there is no settings file {path}; LEAFSTREAM_CONFIG or --config says so")
    try:
        values: dict[str, Any] = TomlConfigSettingsSource(Settings, path)()
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} cannot be read: {error}") from None
    for name in values:
        if name not in NAMES:
            raise SetupError(f"{path} sets {name}, which is no setting{_near(name, NAMES)}")
    return Layer("file", values, str(path))


def _named_config() -> Path | None:
    name = f"{PREFIX}CONFIG"
    value = os.environ.get(name) or dotenv_values(ENV_FILE).get(name)
    return Path(value).expanduser() if value else None


def _near(name: str, known: Sequence[str], prefix: str = "") -> str:
    near = difflib.get_close_matches(name.upper() if prefix else name, known, n=1, cutoff=0.5)
    hint = f"did you mean {prefix}{near[0]}? " if near else ""
    return f"; {hint}`leafstream settings` lists them all"


def adopt_variables() -> None:
    """Put what `.env` holds for others (HF_TOKEN, proxies) where they look for it."""
    for name, value in dotenv_values(ENV_FILE).items():
        if value is not None and not name.upper().startswith(PREFIX):
            os.environ.setdefault(name, value)


def shown(name: str, value: object) -> object:
    """A value as it may be printed: secrets hidden, also those inside a URL."""
    if isinstance(value, SecretStr) or (value and SECRET.search(name)):
        return "***"
    return shown_url(str(value)) if isinstance(value, str | Path) else value


def shown_url(url: str) -> str:
    """A URL, or several with commas between, without the passwords and keys in it."""
    return IN_QUERY.sub(r"\1***", PASSWORD.sub(r"\1:***@", url))
