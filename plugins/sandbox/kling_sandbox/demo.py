"""`python -m kling_sandbox.demo OUT_DIR`: a job of every model against a sandbox, from submit to file."""

import argparse
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from kling_adapters import CatalogEntry, Kling
from kling_sandbox.sandbox import Sandbox

_TIMING = "latency:0.01"


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    slug: str
    request_id: str
    seconds: float
    cost: float | None
    files: tuple[Path, ...]


def run(out: Path) -> list[Row]:
    """Run the first example of every model concurrently, and store the outputs."""
    with (
        Sandbox(timing=_TIMING) as sandbox,
        # Its jobs end with the sandbox, so they do not belong in the journal of the user.
        Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, journal=None) as kling,
        ThreadPoolExecutor() as threads,
    ):
        return list(threads.map(partial(_run_example, kling, out), _list_active(kling.catalog.values())))


def _list_active(entries: Iterable[CatalogEntry]) -> list[CatalogEntry]:
    """Return the models that take jobs."""
    return [entry for entry in entries if entry.retired is None]


def _run_example(kling: Kling, out: Path, entry: CatalogEntry) -> Row:
    example = entry.load().model_validate(entry.json_schema()["examples"][0])
    start = time.monotonic()
    result = kling.run(example, save_to=out)
    files = tuple(file.path for file in result.saved)
    return Row(entry.slug, result.request_id, time.monotonic() - start, result.metrics.cost, files)


def main() -> None:
    """Run the demo and print a table."""
    parser = argparse.ArgumentParser(prog="python -m kling_sandbox.demo", description=run.__doc__)
    parser.add_argument("out", type=Path, metavar="OUT_DIR", help="folder for the files")
    table = Table(
        "slug",
        "request id",
        Column("seconds", justify="right"),
        Column("cost", justify="right"),
        Column("file", no_wrap=True),
    )
    for row in run(parser.parse_args().out):
        cost = "unknown" if row.cost is None else f"{row.cost:g}"
        names = ", ".join(os.path.relpath(path) for path in row.files)
        table.add_row(row.slug, row.request_id, f"{row.seconds:.1f}", cost, names)
    console = Console()
    # Ids and names are for copying, so they are not wrapped in a narrow terminal.
    console.width = max(console.width, 200)
    console.print(table)


if __name__ == "__main__":
    main()
