"""The cost of a batch before it is submitted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from kling_adapters._text import format_sum
from kling_adapters.cli.output import count_noun, print_json, print_line, print_table
from kling_adapters.cli.tally import format_credits
from kling_adapters.errors import ConfigError

if TYPE_CHECKING:
    from kling_adapters.cli.batch_file import Line
    from kling_adapters.cli.connection import ClientOptions
    from kling_adapters.protocol.estimate import Estimate

_SHOWN_LINES = 10


@dataclass(frozen=True)
class _ModelCost:
    """The cost in credits of the lines of one model whose price is known, None if there are none.

    `unknown` are the lines of unknown price, `sources` those of the prices, and `jobs` the fewest earlier jobs that the
    price of a line rests on.
    """

    model: str
    lines: int
    low: float | None
    expected: float | None
    high: float | None
    unknown: int
    sources: list[str]
    jobs: int


def estimate_lines(client: ClientOptions, lines: Sequence[Line]) -> list[Estimate]:
    """Return the estimate of each line."""
    from kling_adapters.client.client import Kling

    with Kling(**client) as kling:
        return kling.estimate_all(line.params for line in lines)


def print_estimate(estimates: Sequence[Estimate], *, as_json: bool) -> None:
    """Print the cost of a batch.

    Args:
        estimates: The estimate of each line to submit.
        as_json: Print one JSON object for each model.

    """
    models = dict.fromkeys(estimate.model for estimate in estimates)
    costs = [_add_up(model, [line for line in estimates if line.model == model]) for model in models]
    if as_json:
        for cost in costs:
            print_json(asdict(cost), indent=None)
        return
    if costs:
        head = ("model", "lines", "credits, at least", "expected", "at most", "according to")
        print_table(head, [_format_row(cost) for cost in costs])
    print_line(f"{count_noun(len(estimates), 'line')} to submit: {_summarize(costs)}. Nothing was submitted.")


def find_gap(estimates: Iterable[Estimate]) -> str | None:
    """Return the reason for which the request history does not count; None if it does, or is not needed."""
    return next((estimate.gap for estimate in estimates if estimate.gap is not None), None)


def check_prices(lines: Sequence[Line], estimates: Sequence[Estimate]) -> None:
    """Raise ConfigError if --max-cost cannot hold for a line."""
    from kling_adapters.protocol.estimate import describe_gap

    if unknown := list_unknown([line.number for line in lines], estimates):
        shown = ", ".join(map(str, unknown[:_SHOWN_LINES])) + (", ..." if len(unknown) > _SHOWN_LINES else "")
        raise ConfigError(
            f"--max-cost cannot hold for {count_noun(len(unknown), 'line')} of unknown price ({shown}): neither a spec nor "
            f"an earlier job shows it.{describe_gap(find_gap(estimates))} Pass --allow-unknown-cost CREDITS, the most that "
            "such a job may cost. Nothing was sent"
        )


def describe_cap(estimates: Sequence[Estimate], limit: float, allowance: float | None) -> str:
    """Return the sentence about --max-cost for lines to submit, each at its highest price.

    Args:
        estimates: The estimate of each line.
        limit: The value of --max-cost, in credits.
        allowance: The price of a line whose price is unknown; None if no such line is submitted.

    """
    total = add_up_highest(estimates, allowance)
    if total <= limit:
        return f"--max-cost {format_sum(limit)} is enough for these lines: at most {format_credits(total)}"
    return (
        f"--max-cost {format_sum(limit)} may stop the batch before its last line: these lines cost up to "
        f"{format_credits(total)}"
    )


def add_up_highest(estimates: Iterable[Estimate], allowance: float | None) -> float:
    """Return the sum in credits of the highest price of each line; `allowance` is that of an unknown price."""
    return _sum_amounts(allowance if line.high is None else line.high for line in estimates) or 0.0


def list_unknown(numbers: Iterable[int], estimates: Iterable[Estimate]) -> list[int]:
    """Return the numbers of the lines whose price is unknown."""
    return [number for number, estimate in zip(numbers, estimates, strict=True) if estimate.high is None]


def _add_up(model: str, lines: Sequence[Estimate]) -> _ModelCost:
    priced = [line for line in lines if line.expected is not None]
    return _ModelCost(
        model,
        len(lines),
        _sum_amounts(line.low for line in priced),
        _sum_amounts(line.expected for line in priced),
        _sum_amounts(line.high for line in priced),
        len(lines) - len(priced),
        list(dict.fromkeys(source for line in priced for source in line.sources)),
        min((line.jobs for line in priced), default=0),
    )


def _sum_amounts(amounts: Iterable[float | None]) -> float | None:
    """Return the sum of the amounts that are known; None if there are none."""
    known_amounts = [amount for amount in amounts if amount is not None]
    return round(sum(known_amounts), 6) if known_amounts else None


def _format_row(cost: _ModelCost) -> tuple[str, ...]:
    amounts = (cost.low, cost.expected, cost.high)
    sources = " and ".join(cost.sources)
    return (
        cost.model,
        str(cost.lines),
        *("unknown" if amount is None else format_sum(amount) for amount in amounts),
        ", ".join(
            (
                *(
                    [f"{sources} ({count_noun(cost.jobs, 'job')})" if cost.jobs else sources]
                    if sources
                    else ()
                ),
                *([f"{count_noun(cost.unknown, 'line')} of unknown price"] if cost.unknown else ()),
            )
        ),
    )


def _summarize(costs: Sequence[_ModelCost]) -> str:
    if not costs:
        return "no cost"
    unknown = sum(cost.unknown for cost in costs)
    if unknown == sum(cost.lines for cost in costs):
        return "unknown cost, because neither a spec nor an earlier job at this gateway shows a price"
    low, expected, high = (
        _sum_amounts(amounts) or 0.0
        for amounts in zip(*((cost.low, cost.expected, cost.high) for cost in costs), strict=True)
    )
    spread = "" if low == high else f" ({format_sum(low)} to {format_sum(high)})"
    summary = f"about {format_credits(expected)}{spread}"
    return f"{summary}, and an unknown cost for {count_noun(unknown, 'line')}" if unknown else summary
