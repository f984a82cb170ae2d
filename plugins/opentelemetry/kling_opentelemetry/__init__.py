"""A span for every job, and counters of jobs, failures, cost and polls."""

from kling_opentelemetry.plugin import OpenTelemetry

__all__ = ["OpenTelemetry"]
