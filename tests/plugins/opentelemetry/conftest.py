"""The providers of an application, which keep what the plugin exports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kling_opentelemetry import OpenTelemetry
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

PROMPT = "a private lighthouse"


class Host:
    """The providers of an application, and their exports."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self.traces = TracerProvider()
        self.traces.add_span_processor(SimpleSpanProcessor(self._spans))
        self.tracer = self.traces.get_tracer("host")
        self._reader = InMemoryMetricReader()
        self.metrics = MeterProvider([self._reader])

    def plugin(self, **options: Any) -> OpenTelemetry:
        return OpenTelemetry(tracer_provider=self.traces, meter_provider=self.metrics, **options)

    @property
    def spans(self) -> list[ReadableSpan]:
        """The finished spans, ordered by their end."""
        return list(self._spans.get_finished_spans())

    def spans_named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def single_span(self, name: str) -> ReadableSpan:
        [span] = self.spans_named(name)
        return span

    def totals(self) -> dict[str, dict[tuple[Any, ...], Any]]:
        """Return by metric name the value by attribute values; for the histogram, the number of jobs."""
        data = self._reader.get_metrics_data()
        return {
            metric.name: {
                tuple((point.attributes or {}).values()): getattr(
                    point, "value", getattr(point, "count", None)
                )
                for point in metric.data.data_points
            }
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def exported_text(self) -> str:
        """Return all exported spans and metrics as JSON."""
        data = self._reader.get_metrics_data()
        return "\n".join([*(span.to_json() for span in self.spans), data.to_json() if data else ""])


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.traces.shutdown()
    host.metrics.shutdown()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """Return the attributes of a span."""
    return dict(span.attributes or {})
