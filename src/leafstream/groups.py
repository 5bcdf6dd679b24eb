"""The settings by what they are about: names, types, defaults, and what they do."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, SecretStr


class Network(BaseModel):
    """Where it listens"""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    max_body_bytes: int = Field(1_048_576, ge=1024, description="The largest request body.")
    openai: bool = Field(
        True, description="Whether OpenAI's API is served: /v1/chat/completions, /v1/responses."
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
    heartbeat_seconds: float = Field(
        10, gt=0, description="A stream that is silent this long sends a comment."
    )


class Model(BaseModel):
    """The model"""

    model: str = Field(
        "smollm2-135m",
        description="A GGUF file's path, hf:owner/repo/file.gguf, or a short name; "
        "transformers:… for a folder, a hub repository or one of those through transformers; "
        "with an upstream, the name that it knows.",
    )
    dtype: Literal["auto", "bf16", "fp16", "fp32"] = Field(
        "auto", description="Of the weights (transformers); auto: as they are stored."
    )
    quant: Literal["none", "int8", "fp4", "nf4"] = Field(
        "none", description="Shrink the weights while loading, by bitsandbytes (transformers)."
    )
    double_quant: bool = Field(
        False, description="Quantize the scales of nf4 and fp4 too (transformers)."
    )
    compute_dtype: Literal["auto", "bf16", "fp16", "fp32"] = Field(
        "auto", description="What nf4 and fp4 weights are widened to (transformers)."
    )
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda (transformers)."
    )
    offload: Literal["none", "cpu", "disk"] = Field(
        "none", description="Where weights go that do not fit (transformers)."
    )
    offload_folder: Path | None = Field(
        None, description="Where weights go that are offloaded to disk (transformers)."
    )
    offload_memory: str | None = Field(
        None,
        description="What weights may take before they are offloaded, as 6GB; unset: what is free "
        "beside the contexts.",
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
    repeatable: bool = Field(
        False,
        description="Compute token by token (llama.cpp): at temperature 0 the same text whatever "
        "is written beside it and wherever it was taken over; slower, most of all long prompts.",
    )
    chat_template: Path | None = Field(
        None, description="A Jinja file to use instead of the model's own chat template."
    )


class Upstream(BaseModel):
    """An engine elsewhere"""

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


class Answers(BaseModel):
    """Answers"""

    queue: int = Field(64, ge=0, description="Answers that may wait for a slot; beyond it 503.")
    grace_seconds: float = Field(
        10, ge=0, description="An answer nobody reads is cancelled after this long."
    )
    share: int | None = Field(
        None,
        ge=1,
        description="Answers that one caller may have running and waiting; beyond: 429. Without "
        "keys all callers are one.",
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
    soft_landing: bool = Field(
        True, description="Lower string bounds in the grammar so that a short answer is whole."
    )
    leafresh_errors_in_stream: bool = Field(
        False,
        description="Leafresh: say a refusal as an error event of a stream with status 200.",
    )
    inline_schemas: bool = Field(
        True, description="Whether a request may bring its own schema instead of an assistant."
    )


class Storage(BaseModel):
    """What is kept"""

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
    log_patience_seconds: float = Field(
        30, ge=0, description="How long answers wait for a storage of the log that went away."
    )
    keep_seconds: float = Field(
        86_400, ge=0, description="How long an ended answer can be read again."
    )
    keep_bytes: int | None = Field(
        1 << 30, ge=0, description="Beyond this size the oldest ended answers go earlier."
    )
    retention_days: float | None = Field(
        None, gt=0, description="Conversations unused this long are deleted; unset: kept."
    )


class Operation(BaseModel):
    """Running it"""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that is logged."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Lines for people, or a JSON object a line."
    )
    log_access: bool = Field(True, description="A line for each HTTP request.")
    log_prompts: bool = Field(
        False, description="Write what was asked into the log; without it no text of anybody is."
    )
    log_bytes: int = Field(
        10_000_000, ge=10_000, description="A log file of `leafstream up` is turned at this size."
    )
    log_files: int = Field(
        5, ge=1, le=1000, description="Log files that `leafstream up` keeps, the current one too."
    )
    state_folder: Path | None = Field(
        None,
        description="Where `leafstream up` keeps its instances' state and logs; the user's state "
        "folder if unset.",
    )
    metrics: bool = Field(True, description="Whether /metrics is served.")
    otlp_endpoint: str | None = Field(
        None,
        pattern="^https?://",
        description="An OpenTelemetry collector's OTLP/HTTP address, such as "
        "http://127.0.0.1:4318; unset: no traces.",
    )
