"""Traces of answers by OpenTelemetry's GenAI conventions, sent to a collector over OTLP/HTTP.

A trace is made when its answer ends, out of the times that the answer tells anyway: nothing is
done while tokens come. No text of a prompt or an answer is in it, so of notices and failures there
is the code alone: their messages may quote what is wrong with an answer.
"""

from __future__ import annotations

import importlib.util
import time
from typing import TYPE_CHECKING, Any

from leafstream.ask import Ask
from leafstream.errors import SetupError
from leafstream.events import Event, Failed, Finished, Noticed, Started, is_terminal
from leafstream.meter import Watch, traceparent

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

NANOSECONDS = 1_000_000_000
# Sampling settings that the conventions have names for.
REQUESTED = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "seed": "gen_ai.request.seed",
}


def check_installed() -> None:
    """Raises SetupError where the packages for traces are missing."""
    for module in ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"):
        try:
            found = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise SetupError(
                "LEAFSTREAM_OTLP_ENDPOINT is set and OpenTelemetry is not installed; "
                "pip install 'leafstream[otel]'"
            )


class Traces:
    """The meter that sends a trace for each answer; `model` is what the engine calls itself."""

    def __init__(self, provider: TracerProvider, model: str) -> None:
        self._provider = provider
        self._model = model

    @classmethod
    def open(cls, endpoint: str, version: str, model: str) -> Traces:
        """Traces to a collector at `endpoint`, such as http://127.0.0.1:4318. Raises SetupError."""
        check_installed()
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        resource = Resource.create({"service.name": "leafstream", "service.version": version})
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(exporter))
        return cls(provider, model)

    def watch(self, answer: str, ask: Ask) -> Watch:
        return _Trace(self._provider, self._model, answer, ask)

    def sent(self, num_bytes: int) -> None:
        """Nothing of a trace."""

    def refused(self, code: str) -> None:
        """Nothing of a trace: no answer began."""

    def close(self) -> None:
        """Send what is left. Blocks."""
        self._provider.shutdown()


class _Trace:
    """One answer's times until it ends; all in nanoseconds since the epoch."""

    def __init__(self, provider: TracerProvider, model: str, answer: str, ask: Ask) -> None:
        self._provider = provider
        self._model = model
        self._answer = answer
        self._ask = ask
        self._parent = traceparent.get()
        self._begun = time.time_ns()
        self._notices: list[tuple[int, str]] = []
        self._max_tokens: int | None = None

    def admitted(self, queued: float) -> None:
        """The end says how long it waited."""

    def wrote(self, num_tokens: int) -> None:
        """The end says when the first came."""

    def told(self, event: Event) -> None:
        if isinstance(event, Started):
            self._max_tokens = event.plan.max_tokens
        elif isinstance(event, Noticed):
            self._notices.append((time.time_ns(), event.code))
        elif is_terminal(event):
            self._send(event)

    def close(self) -> None:
        """An answer that another process ends is in that one's trace."""

    def _send(self, event: Event) -> None:
        from opentelemetry.trace import Status, StatusCode, set_span_in_context  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        tracer = self._provider.get_tracer("leafstream")
        above = TraceContextTextMapPropagator().extract({"traceparent": self._parent})
        name = f"chat {self._model}"
        span = tracer.start_span(name, above, attributes=self._asked(), start_time=self._begun)
        ended = time.time_ns()
        for at, notice in self._notices:
            span.add_event(notice, timestamp=at)
        if isinstance(event, Finished):
            span.set_attributes(_answered(event))
            inside = set_span_in_context(span)
            for phase, start, end in _phases(event, ended):
                tracer.start_span(phase, inside, start_time=start).end(end)
        elif isinstance(event, Failed):
            span.set_attribute("error.type", event.code)
            span.set_status(Status(StatusCode.ERROR, event.code))
        else:
            span.set_attribute("gen_ai.response.finish_reasons", ["cancelled"])
        span.end(ended)

    def _asked(self) -> dict[str, Any]:
        ask = self._ask
        plain = ask.assistant is None and ask.schema is None
        told: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "leafstream",
            "gen_ai.request.model": self._model,
            "gen_ai.request.stream": True,
            "gen_ai.response.model": self._model,
            "gen_ai.response.id": self._answer,
            "gen_ai.conversation.id": ask.conversation,
            "gen_ai.output.type": "text" if plain else None,
            "gen_ai.request.max_tokens": self._max_tokens,
            "gen_ai.request.stop_sequences": list(ask.sampling.stop or ()) or None,
            "leafstream.assistant": ask.assistant,
            **{theirs: getattr(ask.sampling, ours) for ours, theirs in REQUESTED.items()},
        }
        return {name: value for name, value in told.items() if value is not None}


def _answered(event: Finished) -> dict[str, Any]:
    timings = event.timings
    first = {}
    if timings.first_token is not None:
        first["gen_ai.response.time_to_first_chunk"] = timings.queued + timings.first_token
    return {
        **first,
        "gen_ai.response.finish_reasons": [event.finish],
        "gen_ai.output.type": "text" if isinstance(event.value, str) else "json",
        "gen_ai.usage.input_tokens": event.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": event.usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": event.usage.cached_tokens,
        "leafstream.complete": event.complete,
    }


def _phases(event: Finished, ended: int) -> list[tuple[str, int, int]]:
    """Waiting for a slot, reading the prompt, writing: each with its beginning and end."""
    timings = event.timings
    admitted = ended - int(timings.total * NANOSECONDS)
    phases = [("queue", admitted - int(timings.queued * NANOSECONDS), admitted)]
    if timings.first_token is not None:
        first = admitted + int(timings.first_token * NANOSECONDS)
        phases += [("prefill", admitted, first), ("decode", first, ended)]
    return phases
