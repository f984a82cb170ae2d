"""The prices of models at one gateway, from their specs and the costs of earlier jobs."""

from __future__ import annotations

import logging
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from kling_adapters.journal.entries import JournalEntry
from kling_adapters.models._gateway import HISTORY_MAX_DAYS
from kling_adapters.protocol.effects import Call, Flow
from kling_adapters.protocol.estimate import ENOUGH_JOBS, Estimate, PastJob, PriceSource, estimate_price
from kling_adapters.protocol.history_rows import HistoryRow
from kling_adapters.protocol.price_facts import Feature, PriceFacts, read_features, read_price_facts
from kling_adapters.protocol.request_history import HistoryUnavailable, list_rows
from kling_adapters.protocol.session import Session

log = logging.getLogger("kling_adapters")

ReadSchema: TypeAlias = Callable[[str], Mapping[str, Any] | None]
"""Returns the packaged schema of a model; None for a model without a spec."""

_MOST_JOBS: Final = 500
"""The last jobs of a model, which count."""
_MOST_ROWS: Final = 300
"""Jobs of the request history, which count."""
_HISTORY_SECONDS: Final = (HISTORY_MAX_DAYS - 4) * 86400.0
"""The time of these jobs, which one query covers with a day more on each side."""


class Prices:
    """The prices of models at a gateway.

    Args:
        gateway: Its base URL.
        entries: The entries of the journal.
        read_schema: Finds the specs of models.
        rows: Jobs of the request history. One whose cost the journal has is left out.
        gap: See `Estimate`.

    """

    def __init__(
        self,
        gateway: str,
        entries: Iterable[JournalEntry],
        read_schema: ReadSchema,
        rows: Iterable[HistoryRow] = (),
        gap: str | None = None,
    ) -> None:
        self._gap = gap
        self._read_schema = read_schema
        self._facts: dict[str, PriceFacts] = {}
        self._jobs: defaultdict[str, deque[PastJob]] = defaultdict(lambda: deque(maxlen=_MOST_JOBS))
        self._estimates: defaultdict[str, dict[tuple[tuple[str, Feature], ...], Estimate]] = defaultdict(dict)
        for job in _list_jobs(gateway, entries, rows):
            self.add(job.model, job.params, job.cost, job.source)

    def add(
        self, model: str, params: Mapping[str, Any], cost: float, source: PriceSource = "journal"
    ) -> None:
        """Add an ended job of a model, newer than the others; a cost that no job can have is ignored."""
        if cost >= 0:
            self._jobs[model].append(PastJob(read_features(self._find_facts(model), params), cost, source))
            self._estimates.pop(model, None)

    def estimate(self, model: str, params: Mapping[str, Any]) -> Estimate:
        """Return the price of a request."""
        facts = self._find_facts(model)
        features = read_features(facts, params)
        estimates, key = self._estimates[model], tuple(sorted(features.items()))
        if key not in estimates:
            estimate = estimate_price(model, facts, features, tuple(self._jobs[model]))
            estimates[key] = estimate if estimate.jobs >= ENOUGH_JOBS else replace(estimate, gap=self._gap)
        return estimates[key]

    def _find_facts(self, model: str) -> PriceFacts:
        if model not in self._facts:
            schema = self._read_schema(model)
            self._facts[model] = PriceFacts() if schema is None else read_price_facts(schema)
        return self._facts[model]


@dataclass(frozen=True)
class _EndedJob:
    created: float
    model: str
    params: Mapping[str, Any]
    cost: float
    source: PriceSource


def _list_jobs(gateway: str, entries: Iterable[JournalEntry], rows: Iterable[HistoryRow]) -> list[_EndedJob]:
    """Return the jobs whose cost is known, the oldest first, each once."""
    jobs: list[_EndedJob] = []
    request_ids: set[str | None] = set()
    for entry in entries:
        if entry.cost is not None and entry.gateway == gateway:
            request_ids.add(entry.request_id)
            jobs.append(_EndedJob(entry.created, entry.model, entry.params, entry.cost, "journal"))
    for row in rows:
        if row.state != "COMPLETED" or row.request_id in request_ids:
            continue
        if row.model is not None and row.body is not None and row.cost is not None:
            jobs.append(_EndedJob(row.created or 0.0, row.model, row.body, row.cost, "history"))
    return sorted(jobs, key=lambda job: job.created)


def estimate_requests(
    session: Session, requests: Sequence[tuple[str, Mapping[str, Any]]], read_schema: ReadSchema
) -> Flow[list[Estimate]]:
    """Return the price of each request, a model with its parameters. Nothing is submitted.

    The request history is asked if the journal has few jobs like one of them.
    """
    session.check_open()
    entries: list[JournalEntry] = yield Call(session.journal.entries)
    prices = Prices(session.gateway.base_url, entries, read_schema)
    estimates = [prices.estimate(model, params) for model, params in requests]
    if all(estimate.jobs >= ENOUGH_JOBS for estimate in estimates):
        return estimates
    models = {model for model, _ in requests}
    prices = yield from load_prices(session, entries, read_schema, models.pop() if len(models) == 1 else None)
    return [prices.estimate(model, params) for model, params in requests]


def load_prices(
    session: Session, entries: Sequence[JournalEntry], read_schema: ReadSchema, model: str | None = None
) -> Flow[Prices]:
    """Return the prices at the gateway of a client, with the jobs of the request history if it can be read.

    Args:
        session: The state of the client.
        entries: The entries of the journal.
        read_schema: Finds the specs of models.
        model: The only model whose price is needed; None for several.

    """
    rows: tuple[HistoryRow, ...] = ()
    gap: str | None = None
    if session.uses_history:
        now: float = yield Call(time.time)
        try:
            listing = yield from list_rows(
                session, model, now - _HISTORY_SECONDS, limit=_MOST_ROWS, budget=0.0
            )
            rows = listing.rows
        except HistoryUnavailable as error:
            log.info("prices are estimated without the request history: %s", error)
            gap = str(error)
    return Prices(session.gateway.base_url, entries, read_schema, rows, gap)
