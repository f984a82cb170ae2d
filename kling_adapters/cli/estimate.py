"""The cost of a batch, estimated from the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from kling_adapters._text import format_sum
from kling_adapters.cli.output import count_noun, print_json, print_line, print_table
from kling_adapters.cli.tally import format_credits


@dataclass(frozen=True)
class _Estimate:
    """The lines of one model; `mean` and `highest` are credits for all of them, None if unknown."""

    model: str
    lines: int
    mean: float | None
    highest: float | None


def print_estimate(models: Sequence[str], read_costs: Callable[[str], list[float]], *, as_json: bool) -> None:
    """Print the cost of a batch.

    Args:
        models: The slug of each line to submit.
        read_costs: Returns the costs of earlier jobs of a model, in credits.
        as_json: Print one JSON object for each model.

    """
    estimates = [_estimate(model, count, read_costs(model)) for model, count in Counter(models).items()]
    if as_json:
        for estimate in estimates:
            print_json(asdict(estimate), indent=None)
        return
    if estimates:
        rows = [
            (estimate.model, str(estimate.lines), _format_cost(estimate.mean), _format_cost(estimate.highest))
            for estimate in estimates
        ]
        print_table(("model", "lines", "credits, by the mean cost", "by the highest cost"), rows)
    print_line(f"{count_noun(len(models), 'line')} to submit: {_summarize(estimates)}. Nothing was sent.")


def _estimate(model: str, count: int, costs: Sequence[float]) -> _Estimate:
    if not costs:
        return _Estimate(model, count, None, None)
    return _Estimate(model, count, count * sum(costs) / len(costs), count * max(costs))


def _format_cost(amount: float | None) -> str:
    return "unknown" if amount is None else format_sum(amount)


def _summarize(estimates: Sequence[_Estimate]) -> str:
    if not estimates:
        return "no cost"
    total = sum(estimate.mean for estimate in estimates if estimate.mean is not None)
    unknown = sum(estimate.lines for estimate in estimates if estimate.mean is None)
    if all(estimate.mean is None for estimate in estimates):
        return "unknown cost, because the journal has no finished job of these models at this gateway"
    summary = f"about {format_credits(total)}"
    return f"{summary}, and an unknown cost for {count_noun(unknown, 'line')}" if unknown else summary
