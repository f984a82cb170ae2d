"""`python -m kling_sandbox.demo OUT_DIR`: one job of every model, from submit to file, against a sandbox."""

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

from kling_adapters import CatalogEntry, Kling
from kling_sandbox.sandbox import Sandbox

_TIMING = "latency:0.01"


@dataclass(frozen=True)
class Done:
    """One line of the table."""

    slug: str
    request_id: str
    seconds: float
    cost: float | None
    files: tuple[Path, ...]


def run(out: Path) -> list[Done]:
    """Run the first example of every model of the catalogue, all at the same time, and store what comes out."""
    with (
        Sandbox(timing=_TIMING) as sandbox,
        # Its jobs end with the sandbox: nothing of them belongs into the journal of the user.
        Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, journal=None) as kling,
        ThreadPoolExecutor() as threads,
    ):
        return list(threads.map(lambda entry: _one(kling, entry, out), kling.catalog.values()))


def _one(kling: Kling, entry: CatalogEntry, out: Path) -> Done:
    example = entry.load().model_validate(entry.json_schema()["examples"][0])
    began = time.monotonic()
    result = kling.run(example, save_to=out)
    files = tuple(file.path for file in result.saved)
    return Done(entry.slug, result.request_id, time.monotonic() - began, result.metrics.cost, files)


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
    for done in run(parser.parse_args().out):
        cost = "unknown" if done.cost is None else f"{done.cost:g}"
        names = ", ".join(os.path.relpath(path) for path in done.files)
        table.add_row(done.slug, done.request_id, f"{done.seconds:.1f}", cost, names)
    console = Console()
    # Ids and names are there to be copied: better past the edge of a narrow terminal than cut to pieces.
    console.width = max(console.width, 200)
    console.print(table)


if __name__ == "__main__":
    main()
