"""Promises 1, 2 and 6 hold after any order of steps of a client against the sandbox, with faults, time and kills.

The request history is one more thing that is late, down or wrong. Equal requests of several intents are interchangeable
there, so that their jobs may be swapped, but never shared. The client is a process that is really killed (see
client_process.py), and its clock is the clock of the sandbox. The steps are in any_order.py. The checks there read the files on disk, the journal as an SQLite file, and the requests that the sandbox received.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from kling_sandbox import Fault, Sandbox

from tests.promises.any_order import AnyOrder
from tests.promises.fault_plans import FILES, HISTORY, HOUR, POLLS, REQUESTS, SUBMITS, FaultPlan

from .client_process import ProcessFactory


@pytest.fixture(scope="module")
def machine() -> Iterator[type[AnyOrder]]:
    """Each machine has an account of its own, with credits for about eight films."""
    keys = [f"SG_{number:016x}" for number in range(20000)]
    unused = iter(keys)
    options: Any = {"timing": "latency:0.1", "api_keys": keys, "credits": 4.0, "history_defaults": True}
    with Sandbox(**options) as sandbox, ProcessFactory() as processes:

        class Machine(AnyOrder):
            def __init__(self) -> None:
                super().__init__(sandbox, processes, next(unused))

        yield Machine


def run_one_command(
    machine: Callable[[], AnyOrder], plan: FaultPlan, request: int, *, is_saved: bool
) -> None:
    """Submit one job, then resume it."""
    steps = machine()
    try:
        steps.submit(plan, REQUESTS[request], is_saved)
        steps.judge()
    finally:
        steps.teardown()


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [(method, path, kind) for method, path, kinds in (SUBMITS, POLLS, FILES) for kind in kinds],
)
def test_job_survives_each_single_fault(
    machine: Callable[[], AnyOrder], method: str, path: str, kind: str
) -> None:
    run_one_command(machine, FaultPlan(Fault(kind, method=method, path=path, nth=1)), 0, is_saved=True)


def test_job_survives_a_kill_at_each_effect(machine: Callable[[], AnyOrder]) -> None:
    """Every effect of the submit with a new journal, some of the polls, and every effect of the file."""
    for effect in (*range(28), *range(28, 54, 4), *range(54, 72)):
        run_one_command(machine, FaultPlan(kill_at=effect), 0, is_saved=True)


@pytest.mark.parametrize("kind", HISTORY)
def test_equal_lost_jobs_survive_each_fault_of_the_history(
    machine: Callable[[], AnyOrder], kind: str
) -> None:
    """Of three jobs of one request two are lost, and all expire, while the history is wrong or down."""
    history = Fault(kind, method="GET", path="/inference-request/*")
    steps = machine()
    try:
        steps.submit(FaultPlan(), REQUESTS[0], is_saved=False)
        for _ in range(2):
            steps.submit(
                FaultPlan(Fault("504", method="POST", nth=1), history=history), REQUESTS[0], is_saved=True
            )
        steps.reconcile(FaultPlan(history=history))
        steps.judge()
        steps.time_passes(HOUR + 60)
        steps.resume(FaultPlan(history=history), 4)
        steps.judge()
    finally:
        steps.teardown()


def test_promises_hold_after_any_order_of_steps(machine: type[AnyOrder]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=settings().max_examples // 5))
