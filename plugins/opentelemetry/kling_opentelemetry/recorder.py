"""Recorder of spans and metrics of jobs."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from importlib.metadata import version
from itertools import takewhile

from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import NonRecordingSpan, Span, SpanKind, StatusCode, TracerProvider

from kling_adapters import events
from kling_opentelemetry.attributes import job_attributes, model_attributes, param_attributes

RETENTION_SECONDS = 3600
"""Seconds that a job is kept after its last event; the gateway keeps its record no longer."""
DURATIONS = (1, 5, 10, 30, 60, 120, 180, 300, 450, 600, 900, 1800, 3600)
"""Bucket bounds of the histogram, in seconds."""


@dataclass
class _Job:
    """State of a job. Times are in nanoseconds since 1970.

    Attributes:
        span: The span of the job. After its end, a non-recording parent for later spans.
        submit_start: The start of the submit; None if another client submitted the job.
        poll_start: The earliest possible time of a poll.
        last_event: The time of the last event.
        is_over: Whether the span has ended.

    """

    span: Span
    submit_start: int | None
    poll_start: int
    last_event: int
    is_over: bool = False


class Recorder:
    """Records the jobs of one client. Arguments as for OpenTelemetry."""

    def __init__(
        self, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None, *, params: bool
    ) -> None:
        scope = ("kling_opentelemetry", version("kling-opentelemetry"))
        meter = metrics.get_meter(*scope, meter_provider)
        self._tracer = trace.get_tracer(*scope, tracer_provider)
        self._records_params = params
        self._submit_counter = meter.create_counter("kling.jobs", "{job}", "Jobs that the gateway accepted.")
        self._failure_counter = meter.create_counter(
            "kling.failures", "{job}", "Jobs and submits that failed, expired or are uncertain."
        )
        self._cost_counter = meter.create_counter("kling.cost", "{credit}", "Cost of completed jobs.")
        self._poll_counter = meter.create_counter(
            "kling.polls", "{poll}", "Status polls while waiting for a job."
        )
        self._duration_histogram = meter.create_histogram(
            "kling.job.duration",
            "s",
            "Time from the submit of a job until its end was observed.",
            explicit_bucket_boundaries_advisory=DURATIONS,
        )
        self._lock = threading.Lock()
        # By request id, ordered by the last event.
        self._jobs: dict[str, _Job] = {}

    def record(self, event: events.Event) -> None:
        """Record an event of a job."""
        now = time.time_ns()
        self._expire_jobs(now - RETENTION_SECONDS * 10**9)
        match event:
            case events.SubmitFailed():
                self._record_failed_submit(event, now)
            case events.Submitted():
                self._record_submit(event, now)
            case events.StateChanged():
                state = {"kling.state": event.state}
                self._touch_job(event, now).span.add_event("kling.state", state, now)
            case events.Completed() | events.Failed() | events.Expired():
                self._record_end(event, now)
            case events.Stored():
                self._record_storing(event, now)

    def close(self) -> None:
        """End the spans of jobs whose end was not observed."""
        self._expire_jobs(math.inf)

    def _record_failed_submit(self, event: events.SubmitFailed, now: int) -> None:
        outcome = "uncertain" if event.uncertain else "submit_failed"
        span = self._start_job_span(event, now)
        for failed_span in (self._start_child(span, "kling.submit", event, now), span):
            self._mark_failed(failed_span, outcome, event.reason)
            failed_span.end(now)
        self._failure_counter.add(1, {**model_attributes(event), "error.type": outcome})

    def _record_submit(self, event: events.Submitted, now: int) -> None:
        start = now - round(event.seconds * 1e9)
        span = self._start_job_span(event, start)
        if self._records_params:
            span.set_attributes(param_attributes(event.params))
        self._start_child(span, "kling.submit", event, start).end(now)
        with self._lock:
            previous = self._jobs.pop(event.request_id, None)
            self._jobs[event.request_id] = _Job(span, start, now, now)
        if previous is not None:  # the gateway returned an id twice
            self._abandon(previous)
        self._submit_counter.add(1, model_attributes(event))

    def _record_end(self, event: events.Completed | events.Failed | events.Expired, now: int) -> None:
        job = self._touch_job(event, now)
        self._poll_counter.add(event.polls, model_attributes(event))
        span = self._claim_span(job)
        if span is None:  # another waiter has ended the span
            return
        polls = self._start_child(span, "kling.poll", event, job.poll_start)
        polls.set_attribute("kling.polls", event.polls)
        polls.end(now)
        if isinstance(event, events.Completed):
            outcome = "completed"
            span.set_attribute("kling.outcome", outcome)
            if (cost := event.result.metrics.cost) is not None:
                span.set_attribute("kling.cost", cost)
                self._cost_counter.add(cost, model_attributes(event))
        else:
            outcome = "failed" if isinstance(event, events.Failed) else "expired"
            self._mark_failed(span, outcome, event.reason if isinstance(event, events.Failed) else None)
            self._failure_counter.add(1, {**model_attributes(event), "error.type": outcome})
        span.end(now)
        if job.submit_start is not None and outcome != "expired":  # the end of an expired job is unknown
            seconds = max(0, now - job.submit_start) / 1e9
            self._duration_histogram.record(seconds, {**model_attributes(event), "kling.outcome": outcome})

    def _record_storing(self, event: events.Stored, now: int) -> None:
        with self._lock:
            job = self._jobs.get(event.request_id)
        # For a job that is no longer kept, the current span is the best parent.
        parent = job.span if job else trace.get_current_span()
        span = self._start_child(parent, "kling.store", event, now - round(event.seconds * 1e9))
        span.set_attributes(
            {"kling.files": len(event.files), "kling.bytes": sum(file.size for file in event.files)}
        )
        span.end(now)

    def _start_job_span(self, event: events.Event, start: int) -> Span:
        """Start the span of a job as a child of the current span."""
        return self._tracer.start_span(
            "kling.job", kind=SpanKind.CLIENT, attributes=job_attributes(event), start_time=start
        )

    def _start_child(self, parent: Span, name: str, event: events.Event, start: int) -> Span:
        context = trace.set_span_in_context(parent)
        return self._tracer.start_span(name, context, attributes=job_attributes(event), start_time=start)

    def _mark_failed(self, span: Span, outcome: str, reason: str | None) -> None:
        """Mark a span as failed; the reason may quote parameters, so it is recorded only with them."""
        span.set_attributes({"kling.outcome": outcome, "error.type": outcome})
        span.set_status(StatusCode.ERROR, reason if self._records_params else None)

    def _touch_job(
        self, event: events.StateChanged | events.Completed | events.Failed | events.Expired, now: int
    ) -> _Job:
        """Return the job of an event with the new time; one of another client starts here."""
        with self._lock:
            job = self._jobs.pop(event.request_id, None) or _Job(
                self._start_job_span(event, now), None, now, now
            )
            job.last_event = now
            self._jobs[event.request_id] = job
            return job

    def _claim_span(self, job: _Job) -> Span | None:
        """Return the span of a job to the first caller, who must end it; None to later callers."""
        with self._lock:
            if job.is_over:
                return None
            span, job.is_over = job.span, True
            # The replacement can be a parent, and keeps no attributes in memory.
            job.span = NonRecordingSpan(span.get_span_context())
            return span

    def _expire_jobs(self, before: float) -> None:
        """Remove jobs whose last event is before a time in nanoseconds since 1970."""
        with self._lock:
            expired = list(takewhile(lambda item: item[1].last_event < before, self._jobs.items()))
            for request_id, _ in expired:
                del self._jobs[request_id]
        for _, job in expired:
            self._abandon(job)

    def _abandon(self, job: _Job) -> None:
        """End the span of a job at the time of its last event, unless it has ended."""
        if span := self._claim_span(job):
            span.set_attribute("kling.outcome", "unknown")
            span.end(job.last_event)
