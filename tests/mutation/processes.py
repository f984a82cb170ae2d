"""Processes that test changes.

A change inside a function is put into a fork of a process that has collected all tests. Any other, and one of a line
that runs at import or collection, is put into a fork of a process that has imported the libraries only.
"""

# ruff: noqa: T201

from __future__ import annotations

import functools
import gc
import importlib
import inspect
import os
import pickle
import random
import re
import resource
import shutil
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import coverage
import pytest
from hypothesis import Phase, settings

from tests.mutation.changes import Mutant
from tests.mutation.ranking import Tests, name_function, split_words

ROOT = Path(__file__).parents[2]
OUT = ROOT / "out" / "mutants"
SLOW = re.compile("killed|any_order|storm|forks|processes|random|planted")
FIRST_TESTS = 6
"""Most changes are detected by one of them; the files of other tests need not be read."""
LONGEST_START = 60.0
"""Processor time of an import, or of the collection of tests."""
IDLE_SECONDS, IDLE_CHECKS = 4.0, 4
PASSED, DETECTED, NOT_IMPORTED = "not detected", "detected", "not imported"
Detect = Callable[[Mutant, Mapping[str, float]], str]
"""Put a change into this process and run tests; return the test that failed, or an empty text."""


class Loop:
    """A pytest plugin that hands the collected tests to a function instead of running them."""

    def __init__(self, work: Callable[[Loop, pytest.Session], object]) -> None:
        self.failed: list[str] = []
        self._work = work

    def pytest_configure(self) -> None:
        current = settings.get_profile(settings.get_current_profile_name())
        phases = [Phase.explicit, Phase.generate]
        settings.register_profile("mutants", current, phases=phases, derandomize=True, database=None)
        settings.load_profile("mutants")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        # Both clients share their flows; the blocking one is faster.
        items[:] = [item for item in items if not re.search(r"\[.*\basync\b", item.nodeid)]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._work(self, session)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed += [report.nodeid] if report.failed else []

    def run(self, session: pytest.Session, tests: Iterable[str]) -> Iterator[str]:
        """Yield the name of each test, then run it."""
        items = {item.nodeid: item for item in session.items}
        chosen = [items[test] for test in tests if test in items]
        for item, following in zip(chosen, [*chosen[1:], None], strict=False):
            yield item.nodeid
            random.seed(0)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)

    def find_failure(self, session: pytest.Session, tests: Mapping[str, float]) -> str:
        """Run tests until one fails; return it. This process ends if one takes much longer than its seconds."""
        for test in self.run(session, tests):
            signal.setitimer(signal.ITIMER_PROF, 4 + 4 * tests[test])
            if self.failed:
                break
        signal.setitimer(signal.ITIMER_PROF, LONGEST_START)
        if self.failed:
            with suppress(BaseException):
                session._setupstate.teardown_exact(None)
        return (self.failed or [""])[0]


def collect_tests(tests: Iterable[str], loop: Loop) -> int:
    """Collect tests in this process, and hand them to a plugin."""
    plugins = [f"-pno:{name}" for name in ("randomly", "xdist", "cacheprovider")]
    ignored = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    base = f"--basetemp={OUT / str(os.getpid())}"
    return pytest.main(["-q", "-s", *plugins, *ignored, base, *tests], [loop])


def test_mutants(mutants: list[Mutant], suites: list[str], jobs: int) -> dict[Mutant, str]:
    """Return the outcome of each change."""
    tests, libraries, outcomes = run_in_child(lambda: test_functions(mutants, suites, jobs))
    import_modules(libraries)
    at_import = [mutant for mutant in mutants if mutant not in outcomes]
    outcomes |= test_in_forks(at_import, tests, detect_at_import, jobs)
    return {mutant: outcomes[mutant] for mutant in mutants}


def test_functions(
    mutants: list[Mutant], suites: list[str], jobs: int
) -> tuple[Tests, list[str], dict[Mutant, str]]:
    """Collect all tests and test the changes inside functions.

    Returns:
        The measures of the tests, the names of imported libraries, and the outcomes.

    """
    results: list[Any] = []

    def work(loop: Loop, session: pytest.Session) -> None:
        tests, modules = run_in_child(lambda: measure_tests(loop, session))
        print(f"{len(tests.seconds)} tests, {sum(tests.seconds.values()):.0f} seconds", flush=True)
        import_modules(modules)
        measured.stop()
        data = measured.get_data()
        at_import = {path: set(data.lines(path) or ()) for path in data.measured_files()}
        functions = Functions()

        def detect(mutant: Mutant, ranked: Mapping[str, float]) -> str:
            load_changed(mutant)
            functions.change(mutant)
            # Each process has files of its own.
            session.config._tmp_path_factory._basetemp = OUT / str(os.getpid())  # type: ignore[attr-defined]
            (OUT / str(os.getpid())).mkdir()
            return loop.find_failure(session, ranked)

        late = [
            mutant
            for mutant in mutants
            if mutant.is_in_function and at_import.get(str(mutant.path), set()).isdisjoint(mutant.lines)
        ]
        gc.freeze()
        outcomes = test_in_forks(late, tests, detect, jobs)
        # Others may import the changed module.
        libraries = [
            name for name in modules if "site-packages" in str(getattr(sys.modules.get(name), "__file__", ""))
        ]
        results.extend((tests, libraries, outcomes))

    files = [path for suite in suites for path in sorted(ROOT.glob(f"{suite}/test_*.py")) or [ROOT / suite]]
    measured = measure_lines()
    collect_tests([str(path.relative_to(ROOT)) for path in files if not SLOW.search(path.name)], Loop(work))
    tests, libraries, outcomes = results
    return tests, libraries, {mutant: end for mutant, end in outcomes.items() if end != NOT_IMPORTED}


def import_modules(names: Iterable[str]) -> None:
    """Import modules once, instead of in the process of each change."""
    for name in names:
        with suppress(Exception):
            importlib.import_module(name)


def measure_lines() -> coverage.Coverage:
    """Start to record the lines that run."""
    measured = coverage.Coverage(data_file=None, config_file=False, include=[f"{ROOT}/kling_adapters/*"])
    measured.start()
    return measured


def measure_tests(loop: Loop, session: pytest.Session) -> tuple[Tests, list[str]]:
    """Run all tests with coverage; return their measures, and the names of all modules that they have imported.

    A test that fails without a change detects nothing.
    """
    measured = measure_lines()
    starts: dict[str, float] = {}
    caches = find_caches()
    for test in loop.run(session, [item.nodeid for item in session.items]):
        # A filled cache would hide the lines behind it from all tests but the first.
        clear_caches(caches)
        starts[test] = time.process_time()
        measured.switch_context(test)
    ends = [*starts.values(), time.process_time()][1:]
    measured.stop()
    data = measured.get_data()
    seconds = {
        test: end - start
        for (test, start), end in zip(starts.items(), ends, strict=True)
        if test not in loop.failed
    }
    lines = {
        path: {line: seconds.keys() & tests for line, tests in data.contexts_by_lineno(path).items()}
        for path in data.measured_files()
    }
    words = {
        name_function(item.nodeid): split_words(item.nodeid + inspect.getsource(item.function))  # type: ignore[attr-defined]
        for item in session.items
    }
    return Tests(seconds, lines, words), list(sys.modules)


def find_caches() -> list[Any]:
    """Return the functions of the package that cache what they return."""
    return [
        value
        for value in gc.get_objects()
        if type(value) is functools._lru_cache_wrapper and value.__module__.startswith("kling_adapters")
    ]


def clear_caches(caches: Iterable[Any]) -> None:
    """Let cached functions run again."""
    for cache in caches:
        cache.cache_clear()


class Functions:
    """The functions of this process, by module, name and first line."""

    def __init__(self) -> None:
        self._functions: dict[tuple[str, str, int], list[FunctionType]] = defaultdict(list)
        self._caches = find_caches()
        for value in gc.get_objects():
            if type(value) is FunctionType:
                self._functions[_identify(value.__code__)].append(value)

    def change(self, mutant: Mutant) -> None:
        """Replace the code of the functions of a module, if that is imported.

        Raises:
            ImportError: The changed function cannot be replaced.

        """
        if _name(mutant) not in sys.modules:
            return
        outer = dict[int, bool]()
        for code, is_outer in _find_codes(compile_changed(mutant)):
            for function in self._functions[_identify(code)]:
                try:
                    function.__code__ = code
                except ValueError as error:  # other variables of the function around it
                    raise ImportError(mutant.place) from error
                outer |= {code.co_firstlineno: True} if is_outer else {}
            if is_outer:
                outer.setdefault(code.co_firstlineno, False)
        if not outer[max(line for line in outer if line <= mutant.lines.start)]:
            raise ImportError(mutant.place)
        clear_caches(self._caches)


def _name(mutant: Mutant) -> str:
    return ".".join(mutant.path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _identify(code: CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _find_codes(code: CodeType, *, is_outer: bool = True) -> Iterator[tuple[CodeType, bool]]:
    """Yield each function of a module, and whether no other is around it."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            is_function = bool(constant.co_flags & inspect.CO_NEWLOCALS)
            if is_function:
                yield constant, is_outer
            yield from _find_codes(constant, is_outer=is_outer and not is_function)


def compile_changed(mutant: Mutant) -> CodeType:
    """Return the code of the changed module."""
    code: CodeType = compile(mutant.source(), str(mutant.path), "exec", dont_inherit=True)
    return code


def load_changed(mutant: Mutant) -> None:
    """Import the changed module instead of its file from now on."""
    load = SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, fullname: str) -> Any:
        return compile_changed(mutant) if loader.path == str(mutant.path) else load(loader, fullname)

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]


def detect_at_import(mutant: Mutant, ranked: Mapping[str, float]) -> str:
    """Import the changed module and run tests; return the test that failed.

    Raises:
        ImportError: The change prevents the import.

    """
    load_changed(mutant)
    try:
        importlib.import_module(_name(mutant))
        importlib.import_module("kling_adapters.client.client")
    except BaseException as error:
        raise ImportError(mutant.place) from error
    order = list(ranked)
    for names in (order[:1], order[1:FIRST_TESTS], order[FIRST_TESTS:]):
        part = {name: ranked[name] for name in names}
        failed = list[str]()

        def work(loop: Loop, session: pytest.Session) -> None:
            failed.append(loop.find_failure(session, part))  # noqa: B023  called at once

        status = (
            collect_tests(dict.fromkeys(test.partition("::")[0] for test in part), Loop(work)) if part else 0
        )
        if status > pytest.ExitCode.TESTS_FAILED or any(failed):
            return "".join(failed) or "collection"
    return ""


def test_in_forks(mutants: list[Mutant], tests: Tests, detect: Detect, jobs: int) -> dict[Mutant, str]:
    """Test each change in a process of its own; return the outcomes."""
    outcomes: dict[Mutant, str] = {}
    waiting, running = list(reversed(mutants)), dict[int, tuple[Mutant, Any]]()
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            ranked = tests.rank(mutant)
            pid, pipe = start_child(lambda: test_mutant(mutant, ranked, detect))  # noqa: B023  called at once
            running[pid] = mutant, pipe
        pid, _ = os.wait()
        mutant, pipe = running.pop(pid)
        outcome, test = DETECTED, "time limit"
        with pipe, suppress(EOFError, pickle.UnpicklingError):
            outcome, test = pickle.load(pipe)
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # what its tests left
        shutil.rmtree(OUT / str(pid), ignore_errors=True)
        outcomes[mutant] = outcome
        if outcome == DETECTED:
            tests.note_detection(mutant, test)
        print(f"{outcome:13}{mutant.path.stem}.{mutant}  {test}", flush=True)
    return outcomes


def test_mutant(mutant: Mutant, ranked: Mapping[str, float], detect: Detect) -> tuple[str, str]:
    """Detect a change within limits; return the outcome, and the test that failed."""
    os.setpgid(0, 0)
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(silent, stream)
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    # An endless loop is a detected change.
    signal.setitimer(signal.ITIMER_PROF, LONGEST_START)
    end_when_idle()
    try:
        test = detect(mutant, ranked)
    except ImportError:
        return NOT_IMPORTED, ""
    except BaseException as error:  # noqa: BLE001  of pytest, because of the change
        return DETECTED, type(error).__name__
    return (DETECTED, test) if test else (PASSED, "")


def end_when_idle() -> None:
    """End this process when it waits for something that does not come; that is a detected change, too."""
    active, idle_checks = 0, 0

    def check(number: int, frame: object) -> None:
        nonlocal active, idle_checks
        with suppress(OSError):  # a thread has ended
            tasks = list(Path("/proc/self/task").iterdir())
            # Nanoseconds on a processor and in its queue, so that a busy machine does not look like a long wait.
            now = sum(int(text) for task in tasks for text in (task / "schedstat").read_text().split()[:2])
            # A task that reads a file or memory from a disk is in the state D.
            is_blocked = any(") D " in (task / "stat").read_text() for task in tasks)
            has_children = any((task / "children").read_text() for task in tasks)
            is_idle = now - active < 100_000_000 and not is_blocked and not has_children
            active, idle_checks = now, idle_checks + 1 if is_idle else 0
            if idle_checks == IDLE_CHECKS:
                os._exit(1)

    signal.signal(signal.SIGALRM, check)
    signal.setitimer(signal.ITIMER_REAL, IDLE_SECONDS, IDLE_SECONDS)


def start_child(work: Callable[[], Any]) -> tuple[int, Any]:
    """Start work in a forked process; return its id and the pipe of its pickled result."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        with os.fdopen(write, "wb") as pipe:
            pickle.dump(work(), pipe)
        os._exit(0)
    os.close(write)
    return pid, os.fdopen(read, "rb")


def run_in_child(work: Callable[[], Any]) -> Any:
    """Return the result of work in a forked process."""
    pid, pipe = start_child(work)
    with pipe:
        result = pickle.load(pipe)
    os.waitpid(pid, 0)
    return result
