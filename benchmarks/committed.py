"""The ratios of the last complete run, `ratios.json`, and those that are a fifth worse than there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from benchmarks.ratios import Ratio

PATH = Path(__file__).with_name("ratios.json")
WORSE = 0.8
"""The share of a ratio below which it has become worse: a drop of a fifth. Repeated runs differ by less."""
NEGLIGIBLE = 0.1
"""The share of an upper limit under which values do not count as different: near zero, a fifth is noise."""


def read_ratios(path: Path = PATH) -> dict[str, list[Ratio]]:
    """Return the committed ratios, by benchmark; an empty mapping before the first complete run."""
    if not path.exists():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return {benchmark: [Ratio(**row) for row in rows] for benchmark, rows in content.items()}


def write_ratios(ratios: Mapping[str, Iterable[Ratio]], path: Path = PATH) -> None:
    """Write the ratios to commit."""
    content = {benchmark: [asdict(row) for row in rows] for benchmark, rows in ratios.items()}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def find_committed(ratio: Ratio, committed: Iterable[Ratio]) -> Ratio | None:
    """Return the committed ratio of the same name and transport."""
    same = (row for row in committed if (row.name, row.transport) == (ratio.name, ratio.transport))
    return next(same, None)


def is_worse(ratio: Ratio, before: Ratio) -> bool:
    """Return whether a ratio is worse than before by more than a fifth."""
    if ratio.is_upper_limit:
        return ratio.value * WORSE > max(before.value, NEGLIGIBLE * ratio.bar)
    return ratio.value < before.value * WORSE
