"""OpenTelemetry spans and metrics of jobs."""

from kling_opentelemetry.plugin import OpenTelemetry

__all__ = ["OpenTelemetry"]
