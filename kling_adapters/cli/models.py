"""`kling models`: the models of the catalogue, and those of the gateway's list that have no spec. No key is needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from kling_adapters._text import format_number
from kling_adapters.cli.model_facts import load_facts
from kling_adapters.cli.options import AMOUNT, as_json
from kling_adapters.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from kling_adapters.cli.model_facts import ModelFacts


@click.command()
@click.option("--all", "with_unspecified", is_flag=True, help="List the models without a spec, too.")
@click.option(
    "--returns", type=click.Choice(["video", "image", "audio", "text"]), help="Only models with this output."
)
@click.option(
    "--takes",
    type=click.Choice(["image", "video", "audio"]),
    multiple=True,
    help="Only models that take this media; repeated, all of them.",
)
@click.option(
    "--duration",
    type=AMOUNT,
    metavar="SECONDS",
    help="Only models whose longest video has at least this duration.",
)
@click.option("--sort", type=click.Choice(["slug", "time", "cost"]), default="slug", show_default=True)
@as_json
def models(
    with_unspecified: bool,
    returns: str | None,
    takes: tuple[str, ...],
    duration: float | None,
    sort: str,
    as_json: bool,
) -> None:
    """List the models that can be run, with their usual time and average cost."""
    selected = [
        model
        for model in load_facts(with_unspecified=with_unspecified)
        if returns in (None, model.returns)
        and model.takes.keys() >= set(takes)
        and (duration is None or (model.longest_duration or 0) >= duration)
    ]
    _sort_facts(selected, sort)
    if as_json:
        print_json([asdict(model) for model in selected])
    else:
        _print_facts(selected)


def _sort_facts(facts: list[ModelFacts], key: str) -> None:
    """Sort facts in place; a model without the figure comes last."""
    if key != "slug":
        facts.sort(
            key=lambda model: _or_infinity(model.time if key == "time" else model.average_cost),
        )


def _or_infinity(figure: float | None) -> float:
    return math.inf if figure is None else figure


def _print_facts(facts: Sequence[ModelFacts]) -> None:
    if not facts:
        print_line("No model matches.")
        return
    has_packages = len({model.package for model in facts} - {None}) > 1
    rows = [
        (
            model.slug,
            model.title + (f" (retired since {model.retired.since})" if model.retired else ""),
            model.returns or "unknown",
            format_time(model),
            format_cost(model.average_cost),
            model.spec,
            *((model.package or "",) if has_packages else ()),
        )
        for model in facts
    ]
    head = ("slug", "title", "returns", "usual time", "average cost", "spec")
    print_table((*head, *(("package",) if has_packages else ())), rows)


def format_cost(cost: float | None) -> str:
    """Return an average cost in three digits."""
    return "unknown" if cost is None else f"{format_number(float(f'{cost:.3g}'))} USD"


def format_time(model: ModelFacts) -> str:
    """Return the usual time of a model, marked if it is only the average of the gateway's list."""
    if model.time is None:
        return "not documented"
    return f"{format_number(round(model.time))} s{' (list)' if model.latency is None else ''}"
