"""What happens to jobs, as spans and metrics. Whether they go anywhere is up to the SDK of the host."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from itertools import takewhile
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import NonRecordingSpan, Span, SpanKind, StatusCode, TracerProvider
from opentelemetry.util.types import AttributeValue

from kling_adapters import (
    Completed,
    Event,
    Expired,
    Failed,
    StateChanged,
    Stored,
    SubmitFailed,
    Submitted,
)
from kling_adapters.hookspecs import hookimpl

PARAMS = "KLING_OPENTELEMETRY_PARAMS"
"""Environment variable: anything but empty or 0 records parameters, as OpenTelemetry(params=True) does."""
KEPT_SECONDS = 3600
"""How long a job is remembered after it was last heard of: no longer does the gateway keep its record."""
DURATIONS = (1, 5, 10, 30, 60, 120, 180, 300, 450, 600, 900, 1800, 3600)
"""Bounds of the histogram, in seconds: jobs take from seconds to many minutes."""


@dataclass
class _Job:
    """A job, until it is forgotten. Times are in nanoseconds since 1970.

    `submitted`: when its submit began, None if that was not here. `polled`: since when it can have been polled.
    Of a job that `is_over` the span has ended, and `span` is but the place that later spans belong to.
    """

    span: Span
    submitted: int | None
    polled: int
    heard: int
    is_over: bool = False


class OpenTelemetry:
    """The plugin: a span for each job with children for submit, polls and storing, and metrics over all jobs.

    `tracer_provider`, `meter_provider`: by default the global ones. `params`: record what was sent, too, and the
    gateway's reasons for a failure, which may quote it. Each client needs one of its own.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        params: bool = False,
    ) -> None:
        scope = ("kling_opentelemetry", version("kling-opentelemetry"))
        meter = metrics.get_meter(*scope, meter_provider)
        self._tracer = trace.get_tracer(*scope, tracer_provider)
        self._params = params or os.environ.get(PARAMS, "") not in ("", "0")
        self._submitted = meter.create_counter("kling.jobs", "{job}", "Jobs that the gateway has accepted.")
        self._failures = meter.create_counter(
            "kling.failures", "{job}", "Jobs and submits that came to nothing, or were lost sight of."
        )
        self._cost = meter.create_counter("kling.cost", "{credit}", "What completed jobs have cost.")
        self._polls = meter.create_counter("kling.polls", "{poll}", "Questions to the gateway while waiting.")
        self._duration = meter.create_histogram(
            "kling.job.duration",
            "s",
            "From the submit of a job until it was seen to have ended.",
            explicit_bucket_boundaries_advisory=DURATIONS,
        )
        self._lock = threading.Lock()
        # By request id; the one that was last heard of is the last.
        self._jobs: dict[str, _Job] = {}

    @hookimpl
    def kling_event(self, event: Event) -> None:
        """Record what happened."""
        now = time.time_ns()
        self._forget(now - KEPT_SECONDS * 10**9)
        match event:
            case SubmitFailed():
                self._submit_failed(event, now)
            case Submitted():
                self._accepted(event, now)
            case StateChanged():
                state = {"kling.state": event.state}
                self._heard_of(event, now).span.add_event("kling.state", state, now)
            case Completed() | Failed() | Expired():
                self._ended(event, now)
            case Stored():
                self._stored(event, now)

    @hookimpl
    def kling_close(self) -> None:
        """End the spans of jobs whose end nobody has waited for."""
        self._forget(math.inf)

    def _submit_failed(self, event: SubmitFailed, now: int) -> None:
        outcome = "uncertain" if event.uncertain else "submit_failed"
        span = self._start(event, now)
        for failed in (self._child(span, "kling.submit", event, now), span):
            self._fail(failed, outcome, event.reason)
            failed.end(now)
        self._failures.add(1, {**_model(event), "error.type": outcome})

    def _accepted(self, event: Submitted, now: int) -> None:
        start = now - round(event.seconds * 1e9)
        span = self._start(event, start)
        if self._params:
            span.set_attributes(_attributes(event.params))
        self._child(span, "kling.submit", event, start).end(now)
        with self._lock:
            before = self._jobs.pop(event.request_id, None)
            self._jobs[event.request_id] = _Job(span, start, now, now)
        if before is not None:  # a gateway that gives an id twice
            self._abandon(before)
        self._submitted.add(1, _model(event))

    def _ended(self, event: Completed | Failed | Expired, now: int) -> None:
        job = self._heard_of(event, now)
        self._polls.add(event.polls, _model(event))
        span = self._take_over(job)
        if span is None:  # somebody else has waited for the same job
            return
        polls = self._child(span, "kling.poll", event, job.polled)
        polls.set_attribute("kling.polls", event.polls)
        polls.end(now)
        if isinstance(event, Completed):
            outcome = "completed"
            span.set_attribute("kling.outcome", outcome)
            if (cost := event.result.metrics.cost) is not None:
                span.set_attribute("kling.cost", cost)
                self._cost.add(cost, _model(event))
        else:
            outcome = "failed" if isinstance(event, Failed) else "expired"
            self._fail(span, outcome, event.reason if isinstance(event, Failed) else None)
            self._failures.add(1, {**_model(event), "error.type": outcome})
        span.end(now)
        if job.submitted is not None and outcome != "expired":  # when that one ended is not known
            seconds = max(0, now - job.submitted) / 1e9
            self._duration.record(seconds, {**_model(event), "kling.outcome": outcome})

    def _stored(self, event: Stored, now: int) -> None:
        with self._lock:
            job = self._jobs.get(event.request_id)
        # Of a job that is forgotten, what is current is the best parent left.
        parent = job.span if job else trace.get_current_span()
        span = self._child(parent, "kling.store", event, now - round(event.seconds * 1e9))
        span.set_attributes(
            {"kling.files": len(event.files), "kling.bytes": sum(file.bytes for file in event.files)}
        )
        span.end(now)

    def _start(self, event: Event, start: int) -> Span:
        """Start the span of a job, within the current one."""
        return self._tracer.start_span(
            "kling.job", kind=SpanKind.CLIENT, attributes=_about(event), start_time=start
        )

    def _child(self, parent: Span, name: str, event: Event, start: int) -> Span:
        context = trace.set_span_in_context(parent)
        return self._tracer.start_span(name, context, attributes=_about(event), start_time=start)

    def _fail(self, span: Span, outcome: str, reason: str | None) -> None:
        """Mark a span as failed; the gateway's words may quote parameters, so they are not told unasked."""
        span.set_attributes({"kling.outcome": outcome, "error.type": outcome})
        span.set_status(StatusCode.ERROR, reason if self._params else None)

    def _heard_of(self, event: StateChanged | Completed | Failed | Expired, now: int) -> _Job:
        """Return the job of an event; one that was not submitted here begins with its first event."""
        with self._lock:
            job = self._jobs.pop(event.request_id, None) or _Job(self._start(event, now), None, now, now)
            job.heard = now
            self._jobs[event.request_id] = job
            return job

    def _take_over(self, job: _Job) -> Span | None:
        """Return the span of a job to whoever is the first to end it."""
        with self._lock:
            if job.is_over:
                return None
            span, job.is_over = job.span, True
            # What is left can be a parent still, but holds nothing.
            job.span = NonRecordingSpan(span.get_span_context())
            return span

    def _forget(self, before: float) -> None:
        """Forget the jobs that were last heard of before that time."""
        with self._lock:
            old = list(takewhile(lambda item: item[1].heard < before, self._jobs.items()))
            for request_id, _ in old:
                del self._jobs[request_id]
        for _, job in old:
            self._abandon(job)

    def _abandon(self, job: _Job) -> None:
        """End the span of a job with the last that was heard of it, unless it has ended."""
        if span := self._take_over(job):
            span.set_attribute("kling.outcome", "unknown")
            span.end(job.heard)


def _model(event: Event) -> dict[str, AttributeValue]:
    return {} if event.model is None else {"gen_ai.request.model": event.model}


def _about(event: Event) -> dict[str, AttributeValue]:
    return _model(event) | ({} if event.request_id is None else {"kling.request_id": event.request_id})


def _attributes(params: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Return parameters as attributes: what is neither text nor number as JSON."""
    return {
        f"kling.params.{name}": value if isinstance(value, str | bool | int | float) else json.dumps(value)
        for name, value in params.items()
    }
