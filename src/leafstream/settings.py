"""Every setting, read once: flags over environment over `.env` over defaults."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_data_path
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from leafstream.errors import SetupError


class Settings(BaseSettings):
    """Environment variables are the names in capitals behind `LEAFSTREAM_`."""

    model_config = SettingsConfigDict(
        env_prefix="LEAFSTREAM_", env_file=".env", extra="ignore", frozen=True
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    model: str = Field(
        "smollm2-135m",
        description="A GGUF file's path, hf:owner/repo/file.gguf, or a short name; with an "
        "upstream, the name that it knows.",
    )
    cache_folder: Path | None = Field(
        None, description="Where fetched models are kept; the user's cache folder if unset."
    )
    offline: bool = Field(False, description="Never fetch; use what is in the cache.")
    context_window: int | None = Field(
        None,
        ge=64,
        description="Tokens per slot; unset: what the model was trained on, up to 4096.",
    )
    slots: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Answers generated at once; unset: 4, or what the upstream serves.",
    )
    threads: int | None = Field(
        None, ge=1, le=1024, description="CPU threads; unset: all there are."
    )
    chat_template: Path | None = Field(
        None, description="A Jinja file to use instead of the model's own chat template."
    )
    upstream: str | None = Field(
        None,
        description="Base URL of an OpenAI-compatible server that writes instead of a model in "
        "this process; several of the same model, comma separated.",
    )
    upstream_key: SecretStr | None = Field(None, description="The upstream's API key.")
    upstream_vendor: str = Field(
        "auto", description="Which server the upstream is; auto: found out by looking at it."
    )
    upstream_tokenizer: Path | None = Field(
        None, description="The model's tokenizer.json, for an upstream that does not count tokens."
    )
    upstream_ignore: str = Field(
        "", description="Sampling settings to leave out where the upstream has none, e.g. top_k."
    )
    upstream_connect_seconds: float = Field(5, gt=0, description="To connect to an upstream.")
    upstream_first_token_seconds: float = Field(
        120, gt=0, description="The longest an upstream may take to its first token."
    )
    upstream_between_tokens_seconds: float = Field(
        30, gt=0, description="The longest silence of an upstream after its first token."
    )
    queue: int = Field(64, ge=0, description="Answers that may wait for a slot; beyond it 503.")
    grace_seconds: float = Field(
        10, ge=0, description="An answer nobody reads is cancelled after this long."
    )
    heartbeat_seconds: float = Field(
        10, gt=0, description="A stream that is silent this long sends a comment."
    )
    share: int | None = Field(
        None, ge=1, description="Answers that one caller may have running and waiting; beyond: 429."
    )
    first_token_seconds: float | None = Field(
        None, gt=0, description="An answer without a token after this long fails."
    )
    total_seconds: float | None = Field(
        None, gt=0, description="An answer that takes longer than this fails."
    )
    engine_patience_seconds: float = Field(
        30, ge=0, description="How long a lost engine is waited for, from its last token on."
    )
    drain_seconds: float = Field(
        10, ge=0, description="How long answers may go on after the signal to stop."
    )
    takeover_seconds: float = Field(
        600, ge=0, description="An answer begun longer ago is not gone on with after a crash."
    )
    stall_seconds: float = Field(
        30, gt=0, description="A reader that takes nothing for this long is let go; it may resume."
    )
    keep_seconds: float = Field(
        86_400, ge=0, description="How long an ended answer can be read again."
    )
    keep_bytes: int | None = Field(
        1 << 30, ge=0, description="Beyond this size the oldest ended answers go earlier."
    )
    answers_url: str | None = Field(
        None,
        description="Where answers' events are kept: sqlite:////path/file.db, redis://host/0, or "
        "memory:; unset: a file beside the conversations.",
    )
    database_url: str | None = Field(
        None,
        description="Where conversations live: sqlite:////path/file.db or postgresql://…; unset: "
        "a file in the user's data folder.",
    )
    retention_days: float | None = Field(
        None, gt=0, description="Conversations unused this long are deleted; unset: kept."
    )
    soft_landing: bool = Field(
        True, description="Lower string bounds in the grammar so that a short answer is whole."
    )
    keys_file: Path | None = Field(
        None, description="The file of callers' keys (leafstream keys add); unset: no keys."
    )
    open: bool = Field(
        False, description="Listen beyond loopback without keys: everybody there may ask."
    )
    cors_origins: str = Field(
        "", description="Sites whose pages may call, with commas between: https://a.example; or *."
    )
    max_body_bytes: int = Field(1_048_576, ge=1024, description="The largest request body.")
    openai: bool = Field(
        True, description="Whether OpenAI's API is served: /v1/chat/completions, /v1/responses."
    )
    inline_schemas: bool = Field(
        True, description="Whether a request may bring its own schema instead of an assistant."
    )
    log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="Of the log."
    )

    log_patience_seconds: float = Field(
        30, ge=0, description="How long answers wait for a storage of the log that went away."
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


def read_settings(**flags: object) -> Settings:
    """The settings in force; `flags` that are None were not given. Raises SetupError."""
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = "".join(str(token) for token in first["loc"])
        raise SetupError(
            f"LEAFSTREAM_{name.upper()}={first['input']!r} cannot be used: {first['msg']}"
        ) from None
