"""How servers that call themselves OpenAI-compatible differ, as data.

In a body, a string that begins with `$` is a hole: `$model`, `$messages`, `$ids`, `$text`,
`$schema`, `$grammar`, `$max_tokens`. A place is a path and a JSON Pointer into its answer. A path
that begins with `/v1/` is of the protocol, and goes below the base URL that was given; the others
are the server's own.
"""

from __future__ import annotations

from typing import Any

import msgspec

Body = dict[str, Any]


class Place(msgspec.Struct, frozen=True):
    path: str
    pointer: str


class Call(msgspec.Struct, frozen=True):
    """A POST whose answer holds what is wanted at `pointer`."""

    path: str
    body: Body
    pointer: str


class Counting(msgspec.Struct, frozen=True):
    """How the server tokenizes: `text` a piece of output, `chat` messages under the template.

    A server that renders and tokenizes in two steps has `render` before `chat`, which then gets
    the rendered text.
    """

    text: Call
    chat: Call | None = None
    render: Call | None = None


class Continuing(msgspec.Struct, frozen=True):
    """How a final assistant message is gone on with: more fields for the body and the message.

    `advances`: a schema's grammar is moved on over that message, instead of starting afresh.
    """

    body: Body = {}
    message: Body = {}
    advances: bool = False


class Vendor(msgspec.Struct, frozen=True):
    """What is known of one server. An empty field means: it cannot, or nobody has said so.

    `owners` and `hosts` and `marker` are what it is recognized by: `owned_by` in its list of
    models, its host name, or a place that only it has. `exact` is an endpoint that takes and
    gives token ids. `grammar` is how it takes a Lark grammar, believed only after a try.
    """

    name: str
    owners: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    marker: Place | None = None
    health: str = "/v1/models"
    window: tuple[Place, ...] = ()
    slots: Place | None = None
    chat: Body = {}
    exact: Call | None = None
    schema: Body = {}
    grammar: Body = {}
    continuing: Continuing | None = None
    counting: Counting | None = None
    sampling: dict[str, str] = {}
    # Repeated n-grams can be forbidden by llama.cpp's DRY sampler.
    dry: bool = False


_CHAT: Body = {
    "model": "$model",
    "messages": "$messages",
    "max_tokens": "$max_tokens",
    "stream": True,
    "stream_options": {"include_usage": True},
}
_JSON_SCHEMA: Body = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": "$schema"},
    }
}
_PLAIN = {name: name for name in ("temperature", "top_p", "seed", "stop")}
_OPEN = _PLAIN | {name: name for name in ("top_k", "min_p", "repetition_penalty")}
_LISTED_WINDOW = Place("/v1/models", "/data/$model/max_model_len")

VLLM = Vendor(
    name="vllm",
    owners=("vllm",),
    health="/health",
    window=(_LISTED_WINDOW,),
    chat=_CHAT,
    exact=Call(
        "/v1/completions",
        {
            "model": "$model",
            "prompt": "$ids",
            "max_tokens": "$max_tokens",
            "stream": True,
            "stream_options": {"include_usage": True},
            "return_token_ids": True,
        },
        "",
    ),
    schema=_JSON_SCHEMA,
    grammar={"structured_outputs": {"grammar": "$grammar"}},
    continuing=Continuing({"add_generation_prompt": False, "continue_final_message": True}),
    counting=Counting(
        text=Call(
            "/tokenize",
            {"model": "$model", "prompt": "$text", "add_special_tokens": False},
            "/tokens",
        ),
        chat=Call(
            "/tokenize",
            {"model": "$model", "messages": "$messages", "add_generation_prompt": True},
            "/tokens",
        ),
    ),
    sampling=_OPEN,
)

SGLANG = Vendor(
    name="sglang",
    owners=("sglang",),
    health="/health",
    window=(_LISTED_WINDOW,),
    chat=_CHAT,
    schema=_JSON_SCHEMA,
    continuing=Continuing({"continue_final_message": True}),
    counting=Counting(
        text=Call(
            "/tokenize",
            {"model": "$model", "prompt": "$text", "add_special_tokens": False},
            "/tokens",
        )
    ),
    sampling=_OPEN,
)

LLAMACPP = Vendor(
    name="llama.cpp",
    owners=("llamacpp",),
    health="/health",
    window=(Place("/props", "/default_generation_settings/n_ctx"),),
    slots=Place("/props", "/total_slots"),
    chat=_CHAT,
    exact=Call(
        "/completion",
        {
            "prompt": "$ids",
            "n_predict": "$max_tokens",
            "stream": True,
            "cache_prompt": True,
            "return_tokens": True,
        },
        "",
    ),
    schema=_JSON_SCHEMA,
    grammar={"grammar": "$grammar"},
    continuing=Continuing(advances=True),
    counting=Counting(
        text=Call("/tokenize", {"content": "$text", "parse_special": False}, "/tokens"),
        render=Call("/apply-template", {"messages": "$messages"}, "/prompt"),
        chat=Call(
            "/tokenize", {"content": "$text", "parse_special": True, "add_special": True}, "/tokens"
        ),
    ),
    sampling=_OPEN | {"repetition_penalty": "repeat_penalty"},
    dry=True,
)

OLLAMA = Vendor(
    name="ollama",
    owners=("library",),
    marker=Place("/api/version", "/version"),
    health="/api/version",
    window=(Place("/api/ps", "/models/0/context_length"),),
    chat=_CHAT,
    schema=_JSON_SCHEMA,
    continuing=Continuing(),
    sampling=_PLAIN,
)

TGI = Vendor(
    name="tgi",
    marker=Place("/info", "/max_total_tokens"),
    health="/health",
    window=(Place("/info", "/max_total_tokens"),),
    slots=Place("/info", "/max_concurrent_requests"),
    chat=_CHAT,
    schema={"response_format": {"type": "json_object", "value": "$schema"}},
    counting=Counting(text=Call("/tokenize", {"inputs": "$text"}, "")),
    sampling=_PLAIN,
)

LM_STUDIO = Vendor(
    name="lmstudio",
    owners=("organization_owner",),
    marker=Place("/api/v0/models", "/data/0/max_context_length"),
    window=(
        Place("/api/v0/models", "/data/$model/loaded_context_length"),
        Place("/api/v0/models", "/data/$model/max_context_length"),
    ),
    chat=_CHAT,
    schema=_JSON_SCHEMA,
    sampling=_PLAIN | {"top_k": "top_k", "repetition_penalty": "repeat_penalty"},
)

MISTRAL = Vendor(
    name="mistral",
    hosts=("api.mistral.ai",),
    window=(Place("/v1/models", "/data/$model/max_context_length"),),
    chat={name: value for name, value in _CHAT.items() if name != "stream_options"},
    schema=_JSON_SCHEMA,
    continuing=Continuing(message={"prefix": True}),
    sampling={
        "temperature": "temperature",
        "top_p": "top_p",
        "seed": "random_seed",
        "stop": "stop",
    },
)

DEEPSEEK = Vendor(
    name="deepseek",
    hosts=("api.deepseek.com",),
    chat=_CHAT,
    schema={"response_format": {"type": "json_object"}},
    continuing=Continuing(message={"prefix": True}),
    sampling={name: name for name in ("temperature", "top_p", "stop")},
)

OPENAI = Vendor(
    name="openai",
    hosts=("api.openai.com",),
    chat={"max_completion_tokens" if name == "max_tokens" else name: value
          for name, value in _CHAT.items()},
    schema=_JSON_SCHEMA,
    sampling=_PLAIN,
)  # fmt: skip

UNKNOWN = Vendor(name="other", chat=_CHAT, schema=_JSON_SCHEMA, sampling=_PLAIN)

VENDORS = {
    vendor.name: vendor
    for vendor in (
        VLLM,
        SGLANG,
        LLAMACPP,
        OLLAMA,
        TGI,
        LM_STUDIO,
        MISTRAL,
        DEEPSEEK,
        OPENAI,
        UNKNOWN,
    )
}


def filled(body: Any, holes: dict[str, Any]) -> Any:
    """A body with its holes filled. Raises KeyError for a hole nobody has filled."""
    if isinstance(body, dict):
        return {name: filled(value, holes) for name, value in body.items()}
    if isinstance(body, str) and body.startswith("$"):
        return holes[body[1:]]
    return body
