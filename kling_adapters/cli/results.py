"""The client of a command about one job, and the result of the job."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from kling_adapters._text import format_number
from kling_adapters.cli.connection import ClientOptions
from kling_adapters.cli.output import print_fields, print_json

if TYPE_CHECKING:
    from kling_adapters.client.client import Kling
    from kling_adapters.client.result import Result


@contextmanager
def open_client(options: ClientOptions, *, quiet: bool) -> Generator[Kling]:
    """Yield a client that shows the progress of its job on standard error, unless `quiet`."""
    from kling_adapters.cli.progress import Progress
    from kling_adapters.client.client import Kling

    with (
        Progress(quiet=quiet, has_journal=options["journal"] is not None) as progress,
        Kling(plugins=[progress], **options) as kling,
    ):
        progress.catalog = kling.catalog
        yield kling


def print_result(result: Result, *, as_json: bool) -> None:
    """Print a result and the stored files of it."""
    if as_json:
        files = [asdict(file) for file in result.saved]
        about = {"request_id": result.request_id, "model": result.model, "output": result.output}
        print_json({**about, "metrics": asdict(result.metrics), "saved": files})
        return
    metrics = result.metrics
    fields = [
        ("model", result.model or "unknown"),
        ("request id", result.request_id),
        ("output", str(result.output)),
        (
            "seconds",
            _format_number(metrics.total_time if metrics.total_time is not None else metrics.inference_time),
        ),
        ("cost in credits", _format_number(metrics.cost)),
        *(("stored as", f"{file.url} ({file.size} bytes, {file.content_type})") for file in result.saved),
    ]
    print_fields(fields)


def _format_number(number: float | None) -> str:
    return "unknown" if number is None else format_number(number)
