"""The calls of both clients: checks of their arguments, and their flows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

# Python 3.15 imports these modules when a call needs them; earlier versions, at once.
__lazy_modules__ = (
    "kling_adapters.protocol.batch",
    "kling_adapters.protocol.earlier",
    "kling_adapters.protocol.plan",
    "kling_adapters.protocol.open_entries",
    "kling_adapters.protocol.run",
    "kling_adapters.protocol.task_flow",
    "kling_adapters.protocol.wait",
)

from kling_adapters.client import arguments
from kling_adapters.client.base import BaseClient, Driver, JobHandle, JobResult, Transport
from kling_adapters.errors import ConfigError
from kling_adapters.journal.entries import JournalEntry
from kling_adapters.protocol.batch import Batch
from kling_adapters.protocol.earlier import list_entries
from kling_adapters.protocol.effects import Flow
from kling_adapters.protocol.open_entries import reconcile_journal
from kling_adapters.protocol.plan import Plan, plan_requests, plan_resume
from kling_adapters.protocol.run import Run, submit_for_destination
from kling_adapters.protocol.session import JobRef
from kling_adapters.protocol.task_flow import Storages
from kling_adapters.protocol.wait import query_credits
from kling_adapters.result import Credits
from kling_adapters.schema.adapter import Adapter

if TYPE_CHECKING:
    from kling_adapters.client.requests import Extra, Prepared
    from kling_adapters.protocol.batch_requests import Request
    from kling_adapters.protocol.cost import CostCap
    from kling_adapters.protocol.estimate import Estimate
    from kling_adapters.protocol.usage import Usage
    from kling_adapters.schema.params import Params

Destination: TypeAlias = str | PathLike[str] | None
OnStart: TypeAlias = Callable[[tuple[JournalEntry, ...]], object] | None

T = TypeVar("T")
U = TypeVar("U")


class CallFlows(BaseClient[Driver, JobHandle, JobResult, Transport]):
    """Base of both clients, with one flow for each call."""

    def _prepare(
        self, model: str | Params, params: Mapping[str, Any], extra: Extra, unchecked: Extra
    ) -> Prepared:
        from kling_adapters.client.requests import prepare  # imports pydantic

        return prepare(self.catalog, model, params, extra, unchecked)

    def _submit_flow(
        self,
        model: str | Params,
        params: Mapping[str, Any],
        extra: Extra,
        unchecked: Extra,
        save_to: Destination,
        timeout: float | None,
        tag: str | None,
    ) -> Flow[JobHandle]:
        adapter, body, names = self._prepare(model, params, extra, unchecked)
        return self._job_flow(adapter.slug, body, adapter, save_to, timeout, tag, names)

    def _submit_raw_flow(
        self,
        slug: str,
        params: Mapping[str, Any],
        save_to: Destination,
        timeout: float | None,
        tag: str | None,
    ) -> Flow[JobHandle]:
        from kling_adapters.client.requests import prepare_raw  # imports pydantic

        body = prepare_raw(slug, params)
        return self._job_flow(slug, body, None, save_to, timeout, tag)

    def _job_flow(
        self,
        slug: str,
        body: Mapping[str, Any],
        adapter: Adapter | None,
        save_to: Destination,
        timeout: float | None,
        tag: str | None,
        unchecked: tuple[str, ...] = (),
    ) -> Flow[JobHandle]:
        seconds, destination = self._resolve_timeout(timeout), arguments.resolve_save_to(save_to)
        arguments.check_name("tag", tag)
        flow = submit_for_destination(
            self._session, slug, body, adapter, seconds, self._plugins.storage, destination, tag, unchecked
        )
        return _transform(flow, self._make_job)

    def _run_flow(
        self,
        make_flow: Callable[..., Run],
        model: str | Params,
        params: Mapping[str, Any],
        extra: Extra,
        unchecked: Extra,
        save_to: Destination,
        timeout: float | None,
        tag: str | None,
    ) -> Flow[JobResult]:
        adapter, body, names = self._prepare(model, params, extra, unchecked)
        seconds, destination = self._resolve_timeout(timeout), arguments.resolve_save_to(save_to)
        arguments.check_name("tag", tag)
        storage = self._plugins.storage
        flow = make_flow(self._session, adapter, body, seconds, storage, destination, tag, names)
        return _transform(flow, lambda stored: self._make_result(*stored))

    def _find_job(self, request_id: str, model: str | None) -> JobHandle:
        arguments.check_request_id(request_id)
        if model is not None:
            arguments.check_slug("model", model)
        entry = None if model is None else self.catalog.find(model)
        ref = JobRef(request_id, model, entry.latency, entry.returns) if entry else JobRef(request_id)
        return self._make_job(ref)

    def _map_batch(
        self,
        jobs: Iterable[Request],
        concurrency: int,
        save_to: Destination,
        max_cost: float | None,
        allow_unknown_cost: float | None,
        name: str | None,
        tag: str | None,
    ) -> Batch[JobResult]:
        from kling_adapters.client.requests import prepare_request  # imports pydantic

        arguments.check_requests(jobs)
        arguments.check_cap(max_cost, allow_unknown_cost)
        arguments.check_name("name", name)
        arguments.check_name("tag", tag)
        if name is not None and tag is not None:
            raise ConfigError(
                "Pass either name or tag, not both: a named batch tags its jobs. Nothing was sent"
            )
        destination = arguments.resolve_save_to(save_to)
        storages = Storages(self._plugins.storage)
        plan = partial(
            plan_requests,
            session=self._session,
            requests=jobs,
            prepare=partial(prepare_request, self.catalog),
            storages=storages,
            save_to=destination,
            make_cap=None if max_cost is None else partial(self._make_cap, max_cost, allow_unknown_cost),
            name=name,
            tag=tag,
        )
        return self._make_batch(plan, concurrency, storages)

    def _make_cap(
        self, limit: float, allowance: float | None, entries: Sequence[JournalEntry]
    ) -> Flow[CostCap]:
        from kling_adapters.protocol.cost import CostCap  # few programs need it
        from kling_adapters.protocol.prices import load_prices

        prices = yield from load_prices(self._session, entries, self._find_schema)
        return CostCap(limit, prices, allowance)

    def _resume_batch(self, concurrency: int, save_to: Destination, on_start: OnStart) -> Batch[JobResult]:
        destination = arguments.resolve_save_to(save_to)
        arguments.check_callback("on_start", on_start)
        plan = partial(
            plan_resume,
            session=self._session,
            find_adapter=self._find_adapter,
            save_to=destination,
            on_start=on_start,
        )
        return self._make_batch(plan, concurrency, Storages(self._plugins.storage))

    def _make_batch(
        self, make_plan: Callable[[Plan], Flow[None]], concurrency: int, storages: Storages
    ) -> Batch[JobResult]:
        self._session.check_open()
        arguments.check_concurrency(concurrency)
        return Batch(self._session, make_plan, concurrency, storages, self._make_result)

    def _find_adapter(self, model: str) -> Adapter | None:
        entry = self.catalog.get(model)
        return entry.load().adapter if entry else None

    def _estimate_flow(self, model: str | Params, params: Mapping[str, Any]) -> Flow[Estimate]:
        adapter, body, _ = self._prepare(model, params, None, None)
        return _transform(self._estimate_bodies([(adapter.slug, body)]), lambda estimates: estimates[0])

    def _estimate_all_flow(self, requests: Iterable[Request]) -> Flow[list[Estimate]]:
        from kling_adapters.client.requests import prepare_request  # imports pydantic

        arguments.check_requests(requests)
        prepared = [prepare_request(self.catalog, request) for request in requests]
        return self._estimate_bodies([(adapter.slug, body) for adapter, body in prepared])

    def _estimate_bodies(self, bodies: Sequence[tuple[str, Mapping[str, Any]]]) -> Flow[list[Estimate]]:
        from kling_adapters.protocol.prices import estimate_requests  # few programs need it

        return estimate_requests(self._session, bodies, self._find_schema)

    def _usage_flow(self, since: float) -> Flow[Usage]:
        from kling_adapters.protocol.usage import find_usage  # few programs need it

        arguments.check_time("since", since)
        return find_usage(self._session, since)

    def _entries_flow(self, changed_since: float) -> Flow[list[JournalEntry]]:
        arguments.check_time("changed_since", changed_since)
        return list_entries(self._session, changed_since)

    def _reconcile_flow(self) -> Flow[list[JournalEntry]]:
        return reconcile_journal(self._session)

    def _credits_flow(self) -> Flow[Credits]:
        return query_credits(self._session)

    def _resolve_timeout(self, timeout: float | None) -> float | None:
        arguments.check_seconds("timeout", timeout)
        return self._timeout if timeout is None else timeout


def _transform(flow: Flow[T], make: Callable[[T], U]) -> Flow[U]:
    return make((yield from flow))
