"""`leafstream top`."""

from __future__ import annotations

from typing import Annotated

import typer

HERE = "http://127.0.0.1:8000"


def top(
    url: Annotated[str, typer.Option(envvar="LEAFSTREAM_URL", help="The server to watch.")] = HERE,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    key: Annotated[
        str | None, typer.Option(envvar="LEAFSTREAM_KEY", help="A key that may read metrics.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
) -> None:
    """Watch a server: streams, tokens, queue, memory."""
    from leafstream.top import Server, watch  # noqa: PLC0415

    watch(Server(url, key), interval, once=once)
