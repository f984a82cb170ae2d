"""The costs of jobs, summed by model, tag and day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from kling_adapters.journal.entries import REFUSED, JournalEntry
from kling_adapters.protocol.tags import batch_name


@dataclass(frozen=True)
class Charge:
    """A job that was billed, or may be.

    Attributes:
        model: Slug of the model.
        tag: Tag of the job, or name of its batch; empty if it has none.
        created: Time of the submit, in seconds since 1970.
        cost: Cost in credits; None if it is unknown.
        is_recorded: Whether the journal has the job; otherwise only the request history of the gateway has it.

    """

    model: str
    tag: str
    created: float
    cost: float | None
    is_recorded: bool = True


@dataclass(frozen=True)
class UsageRow:
    """The jobs of one group.

    Attributes:
        group: The model, tag or day of the jobs, or several of them.
        jobs: The number of jobs.
        cost: Their cost in credits, as far as it is known.
        unknown: The number of jobs among them that may be billed at an unknown cost.
        unrecorded: The number of jobs among them that the journal does not have.

    """

    group: tuple[str, ...]
    jobs: int
    cost: float
    unknown: int
    unrecorded: int


def iter_charges(entries: Iterable[JournalEntry], gateway: str, since: float) -> Iterator[Charge]:
    """Yield each job at a gateway that was billed or may be, once.

    Args:
        entries: The entries of the journal.
        gateway: Base URL of the gateway.
        since: Earliest time of the submit, in seconds since 1970.

    """
    request_ids: set[str] = set()
    for entry in entries:
        is_free = entry.cost is None and entry.state in (REFUSED, "FAILED")
        if entry.gateway != gateway or entry.created < since or is_free or entry.request_id in request_ids:
            continue
        if entry.request_id is not None:
            request_ids.add(entry.request_id)
        yield Charge(entry.model, batch_name(entry) or entry.tag or "", entry.created, entry.cost)


def sum_charges(charges: Iterable[Charge], find_group: Callable[[Charge], tuple[str, ...]]) -> list[UsageRow]:
    """Return one row for each group of charges, in the order of the groups."""
    groups: defaultdict[tuple[str, ...], list[Charge]] = defaultdict(list)
    for charge in charges:
        groups[find_group(charge)].append(charge)
    return [
        UsageRow(
            group,
            len(jobs),
            round(sum(job.cost or 0.0 for job in jobs), 6),
            sum(job.cost is None for job in jobs),
            sum(not job.is_recorded for job in jobs),
        )
        for group, jobs in sorted(groups.items())
    ]
