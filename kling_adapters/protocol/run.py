"""A job from its submit to its stored files. An unusable destination is refused before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from kling_adapters.errors import StorageError
from kling_adapters.protocol.collect import Destination, FindStorage, collect, open_before_submit
from kling_adapters.protocol.effects import Flow, Now
from kling_adapters.protocol.session import JobRef, Session
from kling_adapters.protocol.submit import end_of, run_sync, submit
from kling_adapters.protocol.wait import wait
from kling_adapters.result import ResultData, StoredFile
from kling_adapters.schema.adapter import Adapter

Run: TypeAlias = Flow[tuple[ResultData, tuple[StoredFile, ...]]]
"""Flow that returns a result and its stored files."""


def submit_for_destination(
    session: Session,
    model: str,
    body: Mapping[str, Any],
    adapter: Adapter | None,
    timeout: float | None,
    find_storage: FindStorage,
    save_to: str | None,
    tag: str | None = None,
    unchecked: tuple[str, ...] = (),
) -> Flow[JobRef]:
    """Submit a job with the destination `save_to`, which the journal keeps for `resume`. Raises as `submit` does."""
    session.check_open()
    yield from _open(find_storage, save_to, adapter)
    return (yield from submit(session, model, body, adapter, save_to, tag, timeout, unchecked))


def run_and_collect(
    session: Session,
    adapter: Adapter,
    body: Mapping[str, Any],
    timeout: float | None,
    find_storage: FindStorage,
    save_to: str | None,
    tag: str | None = None,
    unchecked: tuple[str, ...] = (),
) -> Run:
    """Submit, wait and store, within `timeout` seconds in all.

    If the output cannot be stored, the StorageError carries it, and the journal has its destination for `resume`.
    Raises as `submit`, `wait` and `collect` do.
    """
    session.check_open()
    end = end_of((yield Now()), timeout)
    destination = yield from _open(find_storage, save_to, adapter)
    job = yield from submit(session, adapter.slug, body, adapter, save_to, tag, timeout, unchecked)
    remaining = None if timeout is None else max(0.0, end - (yield Now()))
    result = yield from wait(session, job, remaining)
    return result, (yield from _collect_paid(session, result, destination, end))


def run_sync_and_collect(
    session: Session,
    adapter: Adapter,
    body: Mapping[str, Any],
    timeout: float | None,
    find_storage: FindStorage,
    save_to: str | None,
    tag: str | None = None,
    unchecked: tuple[str, ...] = (),
) -> Run:
    """Run a job in one call, then store its output. Raises as `run_sync` and `collect` do."""
    session.check_open()
    destination = yield from _open(find_storage, save_to, adapter)
    result = yield from run_sync(session, adapter, body, timeout, tag, unchecked)
    return result, (yield from _collect_paid(session, result, destination))


def _open(
    find_storage: FindStorage, save_to: str | None, adapter: Adapter | None
) -> Flow[Destination | None]:
    if save_to is None:
        return None
    return (yield from open_before_submit(find_storage, save_to, adapter.returns if adapter else None))


def _collect_paid(
    session: Session, result: ResultData, destination: Destination | None, end: float = float("inf")
) -> Flow[tuple[StoredFile, ...]]:
    """Store a paid result. A StorageError carries it."""
    if destination is None:
        return ()
    try:
        return (yield from collect(session, result, destination, end))
    except StorageError as error:
        error.result = session.make_result(result)
        raise
