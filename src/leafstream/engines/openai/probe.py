"""What is at a URL: which server, which model, how long its context and how many slots."""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec

from leafstream.engines.openai.connection import Client
from leafstream.engines.openai.failures import UpstreamUnavailable, status_error
from leafstream.engines.openai.vendors import UNKNOWN, VENDORS, Place, Vendor
from leafstream.errors import SetupError
from leafstream.pointer import split

_SECONDS = 10.0


class Found(msgspec.Struct, frozen=True):
    """None where the server does not tell."""

    vendor: Vendor
    model: str
    window: int | None
    slots: int | None

    def window_for(self, wanted: int | None) -> int:
        """The context window to serve where `wanted` is asked for. Raises SetupError."""
        if self.window is None and wanted is None:
            raise SetupError(
                f"the upstream ({self.vendor.name}) does not tell how long its context is; set "
                "LEAFSTREAM_CONTEXT_WINDOW"
            )
        if self.window is not None and wanted is not None and wanted > self.window:
            raise SetupError(
                f"a context window of {wanted} tokens does not go with the upstream: it serves "
                f"{self.window}; set LEAFSTREAM_CONTEXT_WINDOW to that at most"
            )
        return wanted or self.window or 0


def common(found: dict[str, Found]) -> Found:
    """What several upstreams, by URL, are together. Raises SetupError where they differ."""
    first, *others = found.values()
    for url, other in found.items():
        if (other.vendor.name, other.model) != (first.vendor.name, first.model):
            raise SetupError(
                f"{url} is {other.vendor.name} with {other.model}, another is {first.vendor.name} "
                f"with {first.model}: LEAFSTREAM_UPSTREAM takes servers of one kind and model"
            )
    windows = [one.window for one in (first, *others) if one.window is not None]
    return msgspec.structs.replace(first, window=min(windows, default=None))


class Probe:
    """Looks at one upstream, asking each path once."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._url = client.target.url
        self._answers: dict[str, Any] = {}

    async def look(self, model: str | None, vendor: str) -> Found:
        """Raises UpstreamUnavailable where nothing answers, else SetupError with what to do."""
        if vendor != "auto" and vendor not in VENDORS:
            known = ", ".join(VENDORS)
            raise SetupError(f"LEAFSTREAM_UPSTREAM_VENDOR={vendor!r} is none of: auto, {known}")
        listed = await self._models()
        name = self._model(listed, model)
        found = VENDORS[vendor] if vendor != "auto" else await self._vendor(listed, name)
        window = await self._number(found.window, name)
        slots = await self._number((found.slots,) if found.slots else (), name)
        return Found(found, name, window, slots)

    async def _models(self) -> list[dict[str, Any]]:
        status, kind, answer = await self._get("/v1/models")
        if status in (401, 403):
            raise SetupError(f"{self._url} refuses the key ({status}); set LEAFSTREAM_UPSTREAM_KEY")
        listed = answer.get("data") if isinstance(answer, dict) else None
        if status != 200 or not isinstance(listed, list):
            self._refuse(status, kind)
        return [item for item in listed if isinstance(item, dict)]

    def _refuse(self, status: int, kind: str) -> NoReturn:
        what = "a web page" if "html" in kind else f"{kind or 'nothing'} and status {status}"
        path = self._client.target.path("/v1/models")
        raise SetupError(
            f"{self._url} is no OpenAI-compatible API: GET {path} gives {what}; set "
            "LEAFSTREAM_UPSTREAM to the base URL, which often ends in /v1"
        )

    def _model(self, listed: list[dict[str, Any]], model: str | None) -> str:
        names = [str(item["id"]) for item in listed if "id" in item]
        if model in names:
            return model
        if model is None and len(names) == 1:
            return names[0]
        shown = ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
        if model is None:
            raise SetupError(
                f"{self._url} serves {shown or 'no model'}; set LEAFSTREAM_MODEL to one of them"
                if names
                else f"{self._url} serves no model yet; load one there first"
            )
        raise SetupError(
            f"{self._url} does not serve {model!r}; set LEAFSTREAM_MODEL to one of: {shown}"
        )

    async def _vendor(self, listed: list[dict[str, Any]], model: str) -> Vendor:
        """By its host, by whom it says owns its model, by what only it has."""
        owner = next((item.get("owned_by") for item in listed if item.get("id") == model), None)
        known = VENDORS.values()
        for vendor in known:
            if self._client.target.host in vendor.hosts or owner in vendor.owners:
                return vendor
        for vendor in known:
            if vendor.marker and await self._at(vendor.marker, model) is not None:
                return vendor
        return UNKNOWN

    async def _number(self, places: tuple[Place, ...], model: str) -> int | None:
        for place in places:
            value = await self._at(place, model)
            if isinstance(value, int) and value > 0:
                return value
        return None

    async def _at(self, place: Place, model: str) -> Any:
        """What is at a place; None where nothing is. `$model` picks the list's item of that id."""
        status, _, value = await self._get(place.path)
        if status != 200:
            return None
        for token in split(place.pointer):
            if isinstance(value, list):
                items = {str(number): item for number, item in enumerate(value)}
                items["$model"] = next((item for item in value if item.get("id") == model), None)
                value = items.get(token)
            else:
                value = value.get(token) if isinstance(value, dict) else None
        return value

    async def _get(self, path: str) -> tuple[int, str, Any]:
        """Status, content type and the JSON of it, or None where it is not JSON."""
        if path not in self._answers:
            self._answers[path] = await self._asked(path)
        status, kind, answer = self._answers[path]
        return status, kind, answer

    async def _asked(self, path: str) -> tuple[int, str, Any]:
        async with self._client.request(path, seconds=_SECONDS) as reply:
            body = await reply.body(_SECONDS)
        kind = reply.headers.get("content-type", "")
        try:
            return reply.status, kind, msgspec.json.decode(body)
        except msgspec.MsgspecError:
            return reply.status, kind, None


async def call(client: Client, path: str, body: Any, seconds: float = 60.0) -> Any:
    """POST JSON, get JSON. Raises EngineError."""
    async with client.request(path, msgspec.json.encode(body), seconds) as reply:
        data = await reply.body(seconds)
    if reply.status != 200:
        raise status_error(client.source, reply.status, reply.headers, data)
    try:
        return msgspec.json.decode(data)
    except msgspec.MsgspecError:
        raise UpstreamUnavailable(f"{client.source.name}: {path} answers with no JSON") from None
