"""max_cost is a cap that holds: over random batches, with killed runs that are resumed under their name."""

from __future__ import annotations

import inspect
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

import kling_adapters as ka
from kling_adapters import JournalEntry
from kling_adapters.client.requests import prepare_request
from kling_adapters.journal.null import NullJournal
from kling_adapters.models import CATALOG
from kling_adapters.protocol import effects
from kling_adapters.protocol.batch import Batch
from kling_adapters.protocol.cost import CostCap
from kling_adapters.protocol.gateway import Gateway as Addresses
from kling_adapters.protocol.messages import Answer, Request
from kling_adapters.protocol.plan import plan_requests
from kling_adapters.protocol.prices import Prices
from kling_adapters.protocol.session import Session
from kling_adapters.protocol.task_flow import Storages
from kling_adapters.protocol.tasks import Task
from kling_adapters.schema.catalog import Catalog
from tests.support.batches import Gateway, Runner, gateway, make_requests, open_client, path, run
from tests.support.scripted_flow import Key

__all__ = ["gateway", "open_client", "path", "run"]

URL = "https://gateway.example"
BATCHES = 1000
REQUESTS: list[dict[str, Any]] = [
    {"model": "kling-2", "duration": 5},
    {"model": "kling-2", "duration": 10},
    {"model": "kling-2.5-turbo", "mode": "pro"},
    {"model": "kling-2.5-turbo", "mode": "std"},
    {"model": "kling-1.6-text2video", "duration": 10},
    {"model": "kling-3-text2image"},
]
ENDS = ["done"] * 12 + ["failed", "expired", "uncertain", "not started", "refused", "without cost"]

INTEND = inspect.signature(NullJournal.intend)
NEW = JournalEntry(0, "", "", {}, "", None, None, None, "SUBMITTING", None, None, None, (), 0, 0)


class MemoryJournal(NullJournal):
    """A journal in memory; an intent of an earlier run is uncertain."""

    def __init__(self) -> None:
        self.recorded: list[JournalEntry] = []

    def check_available(self) -> Any:
        return None

    def lock_batch(self, digest: str) -> Any:
        return SimpleNamespace(release=bool)

    def intend(self, *values: Any, **options: Any) -> int:
        intent = INTEND.bind(self, *values, **options).arguments
        del intent["self"]
        self.recorded.append(replace(NEW, **intent, id=(number := len(self.recorded))))
        return number

    def update(self, entry: int, **columns: Any) -> None:
        columns.pop("duration", None)
        self.recorded[entry] = replace(self.recorded[entry], **columns)

    def update_job(self, gateway: str, request_id: str, /, **columns: Any) -> None:
        for entry in self.recorded:
            if entry.request_id == request_id:
                self.update(entry.id, **columns)

    def entries(self, changed_since: float = 0.0) -> list[JournalEntry]:
        self.recorded = [
            replace(entry, state="UNCERTAIN") if entry.state == "SUBMITTING" else entry
            for entry in self.recorded
        ]
        return list(self.recorded)


@dataclass
class Bill:
    """A submitted job: its end, and the upper estimates of its cost, the lowest of which it may reach."""

    end: str
    share: float
    bounds: list[float] = field(default_factory=list[float])
    is_started: bool = False
    cost: float | None = None

    @property
    def highest(self) -> float:
        if not self.is_started or self.end == "failed":
            return 0.0
        return min(self.bounds) if self.cost is None else self.cost


class World:
    """A simulated gateway with one named batch, which is run, killed and resumed at random."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.journal = MemoryJournal()
        self.bills: dict[str, Bill] = {}
        self.catalog = Catalog()
        for entry in CATALOG:
            self.catalog.register(entry)
        choices = self.chance.choices(REQUESTS, k=self.chance.randint(1, 10))
        self.requests = [{**request, "prompt": str(index)} for index, request in enumerate(choices)]
        self.limit = round(self.chance.uniform(0, 8), 2)
        self.allowance = self.chance.choice([None, 0.7, 2.0])
        for request in self.chance.choices(REQUESTS, k=self.chance.randint(0, 6)):
            params = {name: value for name, value in request.items() if name != "model"}
            number = self.journal.intend(URL, request["model"], params, "")
            self.journal.update(number, state="COMPLETED", cost=round(self.chance.uniform(0.1, 1.5), 2))

    @property
    def spent(self) -> float:
        return sum(bill.highest for bill in self.bills.values())

    def run(self) -> None:
        """Run the batch until its end, or until it is killed."""
        batch = self.open_batch()
        prices = Prices(URL, self.journal.entries(), self.read_schema)
        for entry in self.journal.entries():
            if entry.tag in self.bills:
                self.bills[entry.tag].bounds.append(self.find_upper(prices, entry.model, entry.params))
        running: dict[str, tuple[Task, effects.Steps[Any]]] = {}
        deadline = self.chance.choice([5, 20, 60, 10_000, 10_000])
        for _ in range(deadline):
            for task in batch.start_ready():
                if task.is_new:
                    self.add_bill(task, self.find_upper(prices, task.model, task.body))
                running[task.id] = task, effects.Steps(batch.flow(task))
                assert self.spent <= self.limit * (1 + 1e-6)
            if not running:
                return
            task, steps = running[self.chance.choice(list(running))]
            if not steps.done:
                self.perform(task, steps)
            if steps.done:
                del running[task.id]
                self.finish(batch, prices, task, steps.value)

    def open_batch(self) -> Batch[Any]:
        storages = Storages(lambda _: None)  # type: ignore[arg-type, return-value]
        plan = partial(
            plan_requests,
            session=(session := Session(Addresses(URL), Key, self.journal)),
            requests=self.requests,
            prepare=partial(prepare_request, self.catalog),
            storages=storages,
            save_to=None,
            make_cap=self.make_cap,
            name="films",
            tag=None,
        )
        batch = Batch[Any](session, plan, self.chance.randint(1, 6), storages, lambda data, _: data)
        opening = effects.Steps(batch.open())
        while not opening.done:
            opening.answer(self.answer(opening.effect))
        return batch

    def make_cap(self, entries: Sequence[JournalEntry]) -> effects.Flow[CostCap]:
        yield effects.Now()
        return CostCap(self.limit, Prices(URL, entries, self.read_schema), self.allowance)

    def read_schema(self, model: str) -> Mapping[str, Any]:
        return SCHEMAS[model]

    def find_upper(self, prices: Prices, model: str, params: Mapping[str, Any]) -> float:
        high = prices.estimate(model, params).high
        if high is not None:
            return high
        return float("inf") if self.allowance is None else self.allowance

    def add_bill(self, task: Task, upper: float) -> None:
        assert task.tag is not None
        share = self.chance.choice([1.0, self.chance.random()])
        self.bills[task.tag] = Bill(self.chance.choice(ENDS), share, [upper])

    def finish(self, batch: Batch[Any], prices: Prices, task: Task, outcome: ka.Outcome[Any]) -> None:
        batch.finish(task, outcome)
        if outcome.result and outcome.result.metrics.cost is not None:
            is_counted = task.entry is not None and task.entry.cost is not None
            if not is_counted:
                prices.add(task.model, task.body, outcome.result.metrics.cost)
        assert self.spent <= self.limit * (1 + 1e-6)

    def perform(self, task: Task, steps: effects.Steps[Any]) -> None:
        try:
            outcome = self.answer(steps.effect, task)
        except Exception as error:  # noqa: BLE001  as the drivers do
            steps.fail(error)
        else:
            steps.answer(outcome)

    def answer(self, effect: effects.Effect, task: Task | None = None) -> Any:
        match effect:
            case effects.Send():
                assert task is not None
                return self.answer_request(effect.request, task)
            case effects.Now():
                return 0.0
            case effects.Call():
                return effect.function()
            case _:
                return None

    def answer_request(self, request: Request, task: Task) -> Answer:
        assert task.tag is not None
        bill = self.bills[task.tag]
        if request.method == "POST":
            if bill.end == "refused":
                return answer(400, {"error": "refused"})
            bill.is_started = bill.end != "not started"
            if bill.end in ("uncertain", "not started"):
                return answer(504, {})
            return answer(200, {"request_id": task.tag.replace("#", "-"), "status": "QUEUED"})
        if bill.end == "expired":
            return answer(404, {"error": "not found"})
        if bill.end == "failed":
            return answer(422, {"status": "FAILED", "error": "blocked"})
        if bill.end == "done" and not request.url.endswith("/status"):
            bill.cost = (
                max(0.0, round(bill.share * min(bill.bounds) - 5e-7, 6)) if bill.cost is None else bill.cost
            )
        metrics = {} if bill.cost is None else {"cost": bill.cost}
        return answer(200, {"status": "COMPLETED", "output": f"{URL}/a.mp4", "metrics": metrics})


SCHEMAS = {entry.slug: entry.json_schema() for entry in CATALOG}


def answer(status: int, body: Mapping[str, Any]) -> Answer:
    return Answer(status, {}, json.dumps(body).encode())


def test_random_batches_never_exceed_max_cost() -> None:
    spent = 0
    for seed in range(BATCHES):
        world = World(seed)
        for _ in range(world.chance.randint(1, 3)):
            world.run()
        spent += world.spent > world.limit / 2 > 0
    # The cap is useless if it stops everything.
    assert spent > BATCHES / 4


def test_unknown_price_needs_an_allowance(run: Runner, gateway: Gateway) -> None:
    image = {"model": "kling-3-text2image", "prompt": "image"}
    outcomes = run("map", [*make_requests("a", "b"), image], max_cost=50, name="films")
    errors = {outcome.index: outcome.error for outcome in outcomes}
    assert (
        str(errors[0])
        == str(errors[1])
        == (
            "max_cost is set, and the price of this kling-2 job is unknown: its spec has none, and no earlier job is like "
            "it. Pass allow_unknown_cost=CREDITS, the most that such a job may cost. Nothing was sent for it"
        )
    )
    assert isinstance(errors[0], ka.ConfigError)
    # The spec has the price of the third.
    assert (errors[2], gateway.submits) == (None, ["image"])
    assert len(run("map", make_requests("a", "b"), max_cost=50, name="films", allow_unknown_cost=2)) == 2
    assert sorted(gateway.submits) == ["a", "b", "image"]
    # From now on it is known.
    assert run("map", make_requests("a", "b", "c"), max_cost=50, name="films")[-1].error is None


def test_jobs_that_show_an_unknown_price_are_waited_for(run: Runner, gateway: Gateway) -> None:
    gateway.hangs = True
    run("map", make_requests("a"), name="films")
    gateway.hangs = False
    outcomes = run("map", make_requests("a", "b"), name="films", max_cost=2)
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert gateway.submits == ["a", "b"]


def test_larger_costs_than_expected_raise_what_is_set_aside(run: Runner, gateway: Gateway) -> None:
    outcomes = run("map", make_requests(*range(20)), max_cost=6, allow_unknown_cost=0.25, concurrency=4)
    # The first job has cost four times as much; each of those in flight is then counted at this price.
    assert len(outcomes) == len(gateway.submits) == 6


def test_uncertain_job_of_unknown_price_stops_a_batch(
    run: Runner, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.lost = ("lost",)
    image = {"model": "kling-3-text2image", "prompt": "image"}
    requests = [*make_requests("lost"), image]
    run("map", requests[:1], name="films")
    assert len(run("map", requests, name="films", max_cost=50)) == 1
    assert "a job of unknown price may still be billed" in caplog.text
    assert gateway.submits == ["lost"]
    run("map", requests, name="films", max_cost=50, allow_unknown_cost=3)
    assert gateway.submits == ["lost", "image"]
