"""The table of vendors, and the bodies that are written by it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leafstream.engines.base import Generation, Prefix, Prompt
from leafstream.engines.openai.bodies import CHAT, Writer
from leafstream.engines.openai.vendors import LLAMACPP, VENDORS, VLLM, Vendor, filled
from leafstream.errors import EngineError, EngineRefused
from leafstream.messages import Message
from leafstream.sampling import Sampling
from leafstream.schema import Schema

PROMPT = Prompt((Message("system", "Be brief."), Message("user", "Hi")), 3, (7, 8, 9))
NAMED = Schema.parse(
    {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
)
PAGE = Path(__file__).parents[2] / "docs" / "upstreams.md"
each_vendor = pytest.mark.parametrize("vendor", VENDORS.values(), ids=VENDORS)


def chat(vendor: Vendor, **more: Any) -> dict[str, Any]:
    asked = Writer(vendor, "m").chat(Generation(PROMPT, 50, **more), None)
    assert asked.path == CHAT
    body: dict[str, Any] = msgspec.json.decode(asked.body)
    return body


@each_vendor
def test_a_chat_streams_and_has_no_hole_left(vendor: Vendor) -> None:
    body = chat(vendor, schema=NAMED, sampling=Sampling(temperature=0.0, stop=("END",)))
    assert body["stream"] is True
    assert body["model"] == "m"
    assert body.get("max_tokens", body.get("max_completion_tokens")) == 50
    assert body["messages"][-1] == {"role": "user", "content": "Hi"}
    assert body["temperature"] == 0.0
    assert body["stop"] == ["END"]
    assert not re.search(rb'"\$(?!ref|defs)', msgspec.json.encode(body))


@each_vendor
def test_a_half_written_answer_is_the_last_message_or_is_refused(vendor: Vendor) -> None:
    if vendor.continuing is None:
        with pytest.raises(EngineError, match=vendor.name):
            chat(vendor, prefix=Prefix("Half"))
        return
    body = chat(vendor, prefix=Prefix("Half"))
    assert body["messages"][-1] == {
        "role": "assistant",
        "content": "Half",
        **vendor.continuing.message,
    }


@pytest.mark.parametrize(
    "vendor", [v for v in VENDORS.values() if v.continuing], ids=lambda vendor: vendor.name
)
def test_a_grammar_that_starts_afresh_is_not_sent_with_a_half_written_answer(
    vendor: Vendor,
) -> None:
    body = chat(vendor, schema=NAMED, prefix=Prefix('{"na'))
    sent = any(name in body for name in vendor.schema)
    assert sent == (vendor.continuing is not None and vendor.continuing.advances)


def test_a_prefix_of_blanks_is_none() -> None:
    assert chat(VLLM, prefix=Prefix(" \n"))["messages"][-1]["role"] == "user"


@pytest.mark.parametrize("vendor", [VLLM, LLAMACPP], ids=lambda vendor: vendor.name)
def test_by_ids_a_prompt_and_what_is_written_are_one_list(vendor: Vendor) -> None:
    asked = Writer(vendor, "m").exact(Generation(PROMPT, 50), [7, 8, 9, 4], "start: /a/")
    body = msgspec.json.decode(asked.body)
    assert body["prompt"] == [7, 8, 9, 4]
    assert "start: /a/" in asked.body.decode()
    assert vendor.exact is not None
    assert asked.path == vendor.exact.path


def test_repeated_ngrams_are_forbidden_where_that_can_be_said() -> None:
    sampling = Sampling(no_repeat_ngram_size=3)
    assert chat(LLAMACPP, sampling=sampling)["dry_allowed_length"] == 2
    with pytest.raises(EngineRefused, match="no_repeat_ngram_size is not served"):
        chat(VLLM, sampling=sampling)


def test_a_hole_that_nobody_fills_is_no_body() -> None:
    with pytest.raises(KeyError):
        filled({"a": [], "b": {"c": "$nothing"}}, {})


def row(vendor: Vendor) -> str:
    """A vendor's line of the page's table, from the data."""
    told = [f"says `{owner}` owns its models" for owner in vendor.owners]
    told += [f"`{host}`" for host in vendor.hosts]
    told += [f"`GET {vendor.marker.path}`"] if vendor.marker else []
    counting = vendor.counting
    missing = [name for name in Sampling.__struct_fields__ if name not in vendor.sampling]
    missing = [name for name in missing if not (vendor.dry and name == "no_repeat_ngram_size")]
    cells = (
        f"`{vendor.name}`",
        ", or ".join(told) or "–",
        "ids" if vendor.exact else "messages",
        ", ".join(f"`{name}`" for name in (vendor.schema | vendor.grammar)) or "–",
        _mid_way(vendor),
        _continues(vendor),
        ("exact" if counting.chat else "answers only") if counting else "–",
        "yes" if vendor.window else "–",
        ", ".join(f"`{name}`" for name in missing) or "–",
    )
    return f"| {' | '.join(cells)} |"


def _mid_way(vendor: Vendor) -> str:
    if vendor.grammar:
        return "yes"
    return "yes" if vendor.continuing and vendor.continuing.advances else "–"


def _continues(vendor: Vendor) -> str:
    if vendor.exact:
        return "by ids"
    if vendor.continuing is None:
        return "–"
    told = [f"`{name}`" for name in vendor.continuing.body | vendor.continuing.message]
    return "last message" + (f" with {', '.join(told)}" if told else "")


@each_vendor
def test_the_page_about_upstreams_says_of_each_vendor_what_the_table_says(vendor: Vendor) -> None:
    assert row(vendor) in PAGE.read_text().splitlines()
