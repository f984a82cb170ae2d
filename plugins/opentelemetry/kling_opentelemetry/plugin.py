"""Spans and metrics of jobs. The SDK of the application exports them.

Plugin discovery imports this module, so OpenTelemetry is imported for the first event.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from kling_adapters.hookspecs import hookimpl

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from kling_adapters import events
    from kling_opentelemetry.recorder import Recorder

PARAMS = "KLING_OPENTELEMETRY_PARAMS"
"""Environment variable: any value except empty and 0 records parameters, like OpenTelemetry(params=True)."""


class OpenTelemetry:
    """Plugin that records spans and metrics of jobs. Every client needs its own instance.

    Args:
        tracer_provider: The provider of the tracer; None uses the global provider.
        meter_provider: The provider of the meter; None uses the global provider.
        params: Whether to record the parameters of jobs, and the gateway's failure reasons, which may quote
            them.

    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        params: bool = False,
    ) -> None:
        self._tracer_provider = tracer_provider
        self._meter_provider = meter_provider
        self._params = params or os.environ.get(PARAMS, "") not in ("", "0")
        self._recorder: Recorder | None = None

    @hookimpl
    def kling_event(self, event: events.Event) -> None:
        """Record an event of a job.

        Args:
            event: The event.

        """
        if self._recorder is None:
            from kling_opentelemetry.recorder import Recorder

            self._recorder = Recorder(self._tracer_provider, self._meter_provider, params=self._params)
        self._recorder.record(event)

    @hookimpl
    def kling_close(self) -> None:
        """End the spans of jobs whose end was not observed."""
        if self._recorder is not None:
            self._recorder.close()
