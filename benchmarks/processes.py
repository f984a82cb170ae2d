"""Processes in which clients are measured, so that none uses the modules, connections or memory of another."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import NamedTuple, ParamSpec, TypeVar

from benchmarks.ratios import CONTINUED, PLAIN, hide_httpx2

P = ParamSpec("P")
T = TypeVar("T")


class Cost(NamedTuple):
    """Seconds on the clock and of all processors."""

    clock: float
    cpu: float


class Stopwatch:
    """The cost of a block of code, to be read after it."""

    cost: Cost


@contextmanager
def measure_cost() -> Generator[Stopwatch]:
    """Measure the cost of a block in this process, all threads included."""
    watch = Stopwatch()
    clock, cpu = time.perf_counter(), time.process_time()
    yield watch
    watch.cost = Cost(time.perf_counter() - clock, time.process_time() - cpu)


def run_in_process(transport: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function of a module in a new process.

    For a client, `transport` is its HTTP library, and it has the plugins of the core only, as after an installation
    without others: those of this repository are installed here to be developed, and would hear each event.
    """
    initializer = partial(_prepare_client, transport) if transport else None
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=initializer) as pool:
        return pool.submit(function, *args, **kwargs).result()


def _prepare_client(transport: str) -> None:
    os.environ["KLING_PLUGINS"] = "models"
    if transport == PLAIN:
        hide_httpx2()


def iter_transports() -> Iterator[str]:
    """Yield the HTTP libraries that the client of this environment can run on."""
    yield PLAIN
    if run_in_process(CONTINUED, _uses_httpx2):
        yield CONTINUED


def _uses_httpx2() -> bool:
    from kling_adapters import preload

    preload("kling-2")
    return sys.modules.get("httpx2") is not None
