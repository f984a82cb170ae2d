"""The prices of models at one gateway, from their specs and the costs of earlier jobs."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from kling_adapters.journal.entries import JournalEntry
from kling_adapters.protocol.effects import Call, Flow
from kling_adapters.protocol.estimate import Estimate, PastJob, PriceSource, estimate_price
from kling_adapters.protocol.price_facts import Feature, PriceFacts, read_features, read_price_facts
from kling_adapters.protocol.session import Session

ReadSchema: TypeAlias = Callable[[str], Mapping[str, Any] | None]
"""Returns the packaged schema of a model; None for a model without a spec."""

_MOST_JOBS: Final = 500
"""The last jobs of a model, which count."""


class Prices:
    """The prices of models at the gateway with this address."""

    def __init__(self, gateway: str, entries: Iterable[JournalEntry], read_schema: ReadSchema) -> None:
        self._read_schema = read_schema
        self._facts: dict[str, PriceFacts] = {}
        self._jobs: defaultdict[str, deque[PastJob]] = defaultdict(lambda: deque(maxlen=_MOST_JOBS))
        self._estimates: defaultdict[str, dict[tuple[tuple[str, Feature], ...], Estimate]] = defaultdict(dict)
        for entry in entries:
            if entry.cost is not None and entry.gateway == gateway:
                self.add(entry.model, entry.params, entry.cost)

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
            estimates[key] = estimate_price(model, facts, features, tuple(self._jobs[model]))
        return estimates[key]

    def _find_facts(self, model: str) -> PriceFacts:
        if model not in self._facts:
            schema = self._read_schema(model)
            self._facts[model] = PriceFacts() if schema is None else read_price_facts(schema)
        return self._facts[model]


def load_prices(session: Session, read_schema: ReadSchema) -> Flow[Prices]:
    """Return the prices at the gateway of a client."""
    entries: list[JournalEntry] = yield Call(session.journal.entries)
    return Prices(session.gateway.base_url, entries, read_schema)


def estimate_request(
    session: Session, model: str, params: Mapping[str, Any], read_schema: ReadSchema
) -> Flow[Estimate]:
    """Return the price of a request. Nothing is submitted."""
    session.check_open()
    prices = yield from load_prices(session, read_schema)
    return prices.estimate(model, params)
