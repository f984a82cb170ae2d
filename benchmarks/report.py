"""The table of ratios, on a terminal and in docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.table import Table

from benchmarks.committed import find_committed, is_worse
from benchmarks.ratios import Ratio

DOCS = Path(__file__).parents[1] / "docs"
PAGE, PICTURES = DOCS / "benchmarks.md", DOCS / "pictures"
DISTRIBUTIONS = (
    "pydantic", "pydantic-core", "httpx", "httpcore", "httpx2", "anyio", "click", "rich", "segmind",
    "datamodel-code-generator",
)  # fmt: skip

Ratios = Mapping[str, Sequence[Ratio]]
"""Rows by benchmark."""


def make_table(ratios: Ratios, committed: Ratios) -> Table:
    """Return the table for a terminal, with the committed values beside those of this run."""
    table = Table(title="each against a peer or floor of the same run")
    for heading in ("measured", "transport", "value", "bar", "", "committed", "figures of this machine"):
        table.add_column(heading, no_wrap=heading in {"transport", "value", "bar"})
    for benchmark, rows in ratios.items():
        for row in rows:
            before = find_committed(row, committed.get(benchmark, ()))
            past = "" if before is None else format_number(before.value)
            if before is not None and is_worse(row, before):
                past += " WORSE"
            table.add_row(
                row.name, row.transport, format_number(row.value), format_bar(row), format_verdict(row), past,
                row.detail, style=None if row.is_reached else "bold",
            )  # fmt: skip
    return table


def format_number(value: float) -> str:
    """Return a number with three digits that count."""
    if value == 0 or 0.01 <= abs(value) < 100:
        return f"{value:.2f}"
    return f"{value:.3g}"


def format_bar(row: Ratio) -> str:
    """Return the bar of a ratio and its direction."""
    return f"{'≤' if row.is_upper_limit else '≥'} {row.bar:g}"


def format_verdict(row: Ratio) -> str:
    """Return whether a ratio reaches its bar, in words."""
    return "reached" if row.is_reached else "not reached"


def make_page(ratios: Ratios, methods: Mapping[str, str]) -> str:
    """Return the page of the documentation; `methods` has the text about each benchmark."""
    rows = [row for benchmark in ratios.values() for row in benchmark]
    table = [
        f"| {row.name} | {row.transport} | {format_number(row.value)} | {format_bar(row)} | "
        f"{format_verdict(row)} | {row.detail} |"
        for row in rows
    ]
    sections = [
        f"### {benchmark.replace('_', ' ').capitalize()}\n\n{text.strip()}\n{_show_picture(benchmark)}"
        for benchmark, text in methods.items()
    ]
    return TEXT.format(
        date=datetime.now(UTC).date(),
        machine=describe_machine(),
        versions=", ".join(iter_versions()),
        count=len(rows),
        reached=sum(row.is_reached for row in rows),
        table="\n".join(table),
        methods="\n".join(sections),
    )


def _show_picture(benchmark: str) -> str:
    picture = PICTURES / f"{benchmark}.svg"
    if not picture.exists():
        return ""
    return f"\n![{benchmark.replace('_', ' ')}]({PICTURES.name}/{picture.name})\n"


def describe_machine() -> str:
    """Return the processors, the system and the Python of this machine."""
    return (
        f"{os.cpu_count()} processors ({platform.machine()}), {platform.system()}, "
        f"{platform.python_implementation()} {platform.python_version()}"
    )


def iter_versions() -> Iterator[str]:
    """Yield the names and versions of the distributions that the figures depend on."""
    for name in DISTRIBUTIONS:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            continue


TEXT = """# Benchmarks

Written by `make bench` on {date}. {reached} of {count} ratios reach their bar.

- Machine: {machine}.
- Versions: {versions}.

Every value is a ratio of two figures of the same run, so it holds better than the figures, which are those of one
machine that also did other work. A bar of `≥ 1` means: at least as good as the peer. `make regress` measures again, and
fails if a ratio has become worse by more than a fifth than in `benchmarks/ratios.json`.

![ratios against their bars](pictures/ratios.svg)

| measured | transport | value | bar | | figures of this machine |
|---|---|---:|---:|---|---|
{table}

## Method

{methods}"""
