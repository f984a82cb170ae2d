"""Pictures of benchmarks, as SVG files that only change when their data change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.ratios import Ratio
from benchmarks.report import format_number

REACHED, NOT_REACHED = "#4477aa", "#ee6677"
"""Two colours that stay apart for colour-blind readers; bars are hatched too."""
LOWEST, HIGHEST = 0.05, 20.0
"""The ends of the axis, in bars; a longer bar is cut off there, and its label has its value."""
LABEL = {"facecolor": "white", "edgecolor": "none", "pad": 1}


def save_picture(figure: Figure, path: Path) -> None:
    """Write a figure as an SVG file without a date, and with the same ids each time."""
    with mpl.rc_context({"svg.hashsalt": path.name, "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None}, bbox_inches="tight")
    # matplotlib leaves spaces at the ends of lines.
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")


def draw_ratios(ratios: Mapping[str, Sequence[Ratio]], folder: Path) -> None:
    """Draw all ratios against their bars into `ratios.svg`."""
    rows = [row for benchmark in ratios.values() for row in benchmark]
    figure = Figure(figsize=(11, 0.6 + 0.32 * len(rows)))
    axes = figure.subplots()
    for number, row in enumerate(rows):
        length = min(max(_compare_to_bar(row), LOWEST * 1.1), HIGHEST)
        axes.barh(
            number,
            length - LOWEST,
            left=LOWEST,
            height=0.7,
            color=REACHED if row.is_reached else NOT_REACHED,
            hatch="" if row.is_reached else "///",
            edgecolor="white",
        )
        label = f"{format_number(row.value)} ({'at most' if row.is_upper_limit else 'at least'} {row.bar:g})"
        axes.text(length * 1.05, number, label, va="center", fontsize=8, bbox=LABEL)
    axes.margins(y=0.01)
    axes.set_xscale("log")
    axes.set_xlim(LOWEST, HIGHEST * 8)
    ticks = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.axvline(1, color="black", linewidth=1, zorder=2)
    labels = [f"{row.name} [{row.transport}]" if row.transport else row.name for row in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("times as good as the bar (hatched: not reached)")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    save_picture(figure, folder / "ratios.svg")


def _compare_to_bar(row: Ratio) -> float:
    """Return how many times as good as its bar a ratio is."""
    if row.is_upper_limit:
        return row.bar / row.value if row.value else HIGHEST
    return row.value / row.bar
