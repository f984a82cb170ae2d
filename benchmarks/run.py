"""Measure, and print one table of ratios. `make bench`.

    python -m benchmarks.run [--compare] [NAME ...]

Without names, all benchmarks are measured, and docs/benchmarks.md, its pictures and benchmarks/ratios.json are written.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module

from rich.console import Console

from benchmarks.committed import find_committed, is_worse, read_ratios, write_ratios
from benchmarks.processes import run_in_process
from benchmarks.ratios import Ratio
from benchmarks.report import PAGE, PICTURES, make_page, make_table

NAMES = (
    "startup",
    "validation",
    "sequential",
    "in_flight",
    "limiter",
    "polls",
    "download",
    "compiler",
    "studio",
)
"""The modules with a function `measure`, in the order of the table."""
WIDTH = 200
"""Columns of the table in a file."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and write or compare. Return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument(
        "--compare", action="store_true", help="write nothing; exit with 1 if a ratio is a fifth worse"
    )
    options = parser.parse_args(arguments)
    if strange := sorted(set(options.names) - set(NAMES)):
        parser.error(f"unknown benchmarks: {', '.join(strange)}. Pass some of: {', '.join(NAMES)}")
    committed = read_ratios()
    names = options.names or NAMES
    ratios = {name: rows for name in names if (rows := _measure(name)) is not None}
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    console.print(make_table(ratios, committed))
    if failures := [name for name in names if name not in ratios]:
        print(f"{', '.join(failures)} failed, so nothing was written or compared.", file=sys.stderr)
        return 2
    if options.compare:
        return int(_has_regression(ratios, committed))
    if not options.names:
        _write(ratios)
    return 0


def _measure(name: str) -> list[Ratio] | None:
    """Return the rows of a benchmark. Return None if it fails; the others of a long run are still worth their time."""
    print(f"{name}, load {os.getloadavg()[0]:.1f}", end=" ", file=sys.stderr, flush=True)
    start = time.perf_counter()
    try:
        ratios = run_in_process("", collect_ratios, name)
    except Exception:  # noqa: BLE001  of any library
        traceback.print_exc()
        return None
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return ratios


def collect_ratios(name: str) -> list[Ratio]:
    """Measure the rows of one benchmark in this process."""
    return list(import_module(f"benchmarks.{name}").measure())


def _has_regression(ratios: Mapping[str, Sequence[Ratio]], committed: Mapping[str, Sequence[Ratio]]) -> bool:
    pairs = (
        (row, find_committed(row, committed.get(name, ()))) for name, rows in ratios.items() for row in rows
    )
    return any(before is not None and is_worse(row, before) for row, before in pairs)


def _write(ratios: Mapping[str, Sequence[Ratio]]) -> None:
    from benchmarks.pictures import draw_ratios

    PICTURES.mkdir(exist_ok=True)
    draw_ratios(ratios, PICTURES)
    methods: dict[str, str] = {}
    for name in ratios:
        module = import_module(f"benchmarks.{name}")
        methods[name] = module.__doc__ or ""
        if draw := getattr(module, "draw", None):
            draw(PICTURES)
    PAGE.write_text(make_page(ratios, methods), encoding="utf-8")
    write_ratios(ratios)


if __name__ == "__main__":
    sys.exit(main())
