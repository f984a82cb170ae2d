"""Mutation tests: change modules in small ways, and list the changes that no test detects. `make mutants`.

All tests of SUITES run once, to find the lines that each reaches. Then each change gets a process of its own, which
imports the changed module and runs the tests that reach it until one fails. A change that prevents the import does
not count. Arguments are paths of packages or modules; the default is PACKAGES.
"""

# ruff: noqa: T201

from __future__ import annotations

import importlib
import os
import pickle
import re
import resource
import shutil
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, NamedTuple

import coverage
import pytest
from hypothesis import Phase, settings

from tests.mutation.changes import Mutant, make_mutants

ROOT = Path(__file__).parents[2]
OUT = ROOT / "out" / "mutants"
EQUIVALENT = Path(__file__).with_name("equivalent.txt")
PACKAGES = ["kling_adapters/protocol", "kling_adapters/schema", "kling_adapters/models"]
SUITES = [
    *(f"tests/{folder}" for folder in ("builtin", "client", "hooks", "http", "journal", "media")),
    *(f"tests/{folder}" for folder in ("promises", "protocol", "public", "schema", "properties")),
    "tests/plugins/test_keypool.py",
]
SLOW = re.compile("killed|any_order|storm|forks|processes|random|planted")
MAX_SECONDS = 10.0
"""Processor time of the tests of a change."""
REQUIRED_SHARE = 0.95
PASSED, DETECTED, NOT_IMPORTED = 0, 1, 77


class Tests(NamedTuple):
    """The processor time of each test, and the tests that reach each line of each module."""

    seconds: dict[str, float]
    lines: dict[str, dict[int, set[str]]]

    def rank(self, mutant: Mutant, detections: dict[str, Counter[str]]) -> list[str]:
        """Return the tests of a change: first those that detected changes nearby, then the fastest."""
        nearby, module = detections[mutant.place], detections[str(mutant.path)]
        order = sorted(
            self._reaching(mutant), key=lambda test: (-nearby[test], -module[test], self.seconds[test])
        )
        total, ranked = 0.0, list[str]()
        for test in order:
            total += self.seconds[test]
            if ranked and total > MAX_SECONDS:
                break
            ranked.append(test)
        return ranked

    def _reaching(self, mutant: Mutant) -> set[str]:
        reached = self.lines.get(str(mutant.path), {})
        if mutant.is_in_function:
            tests = {test for line in mutant.lines for test in reached.get(line, ())}
        else:
            tests = self._mentioning(mutant.place.rpartition(".")[2])
        slug = f"[{mutant.path.stem}]"  # of a generated model
        tests |= {test for test in self.seconds if re.sub("[-.]", "_", test).endswith(slug)}
        # No test reaches a line that runs at import.
        return tests or {test for line in reached.values() for test in line} or set(self.seconds)

    def _mentioning(self, name: str) -> set[str]:
        """Return the tests that reach a line with a name."""
        word = re.compile(rf"\b{name}\b")
        return {
            test
            for path, lines in self.lines.items()
            for number, text in enumerate(Path(path).read_text("utf-8").splitlines(), start=1)
            if word.search(text)
            for test in lines.get(number, ())
        }


class Recorder:
    """A pytest plugin that times tests and records failures. With coverage, each test is a context."""

    def __init__(self, measured: coverage.Coverage | None = None) -> None:
        self.failed: list[str] = []
        self.seconds: dict[str, float] = {}
        self._measured = measured

    def pytest_configure(self) -> None:
        current = settings.get_profile(settings.get_current_profile_name())
        phases = [Phase.explicit, Phase.generate]
        settings.register_profile("mutants", current, phases=phases, derandomize=True, database=None)
        settings.load_profile("mutants")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        # Both clients share their flows; the blocking one is faster.
        items[:] = [item for item in items if not re.search(r"\[.*\basync\b", item.nodeid)]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Any:
        if self._measured:
            self._measured.switch_context(item.nodeid)
        start = time.process_time()
        result = yield
        self.seconds[item.nodeid] = time.process_time() - start
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed += [report.nodeid] if report.failed else []


def run_tests(tests: Iterable[str], recorder: Recorder, *options: str) -> int:
    plugins = [f"-pno:{name}" for name in ("randomly", "xdist", "cacheprovider")]
    ignored = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    base = f"--basetemp={OUT / str(os.getpid())}"
    return pytest.main(["-q", "-s", *plugins, *ignored, base, *options, *tests], [recorder])


def measure_tests() -> tuple[Tests, list[str]]:
    """Run all tests; return their measures, and the names of the imported libraries."""
    measured = coverage.Coverage(data_file=None, config_file=False, include=[f"{ROOT}/kling_adapters/*"])
    recorder = Recorder(measured)
    files = [path for suite in SUITES for path in sorted(ROOT.glob(f"{suite}/test_*.py")) or [ROOT / suite]]
    measured.start()
    run_tests([str(path.relative_to(ROOT)) for path in files if not SLOW.search(path.name)], recorder)
    measured.stop()
    data = measured.get_data()
    seconds = {test: time for test, time in recorder.seconds.items() if test not in recorder.failed}
    lines = {
        path: {line: seconds.keys() & tests for line, tests in data.contexts_by_lineno(path).items()}
        for path in data.measured_files()
    }
    libraries = [
        name
        for name, module in sys.modules.items()
        if "site-packages" in str(getattr(module, "__file__", ""))
    ]
    return Tests(seconds, lines), libraries


def test_mutant(mutant: Mutant, ranked: list[str], seconds: float) -> tuple[int, str]:
    """Import the changed module and run tests; return the exit status, and the test that failed."""
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(silent, stream)
    # An endless loop is a detected change.
    resource.setrlimit(resource.RLIMIT_CPU, (int(20 + 3 * seconds),) * 2)
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30,) * 2)
    signal.alarm(int(120 + 20 * seconds))
    load = SourceFileLoader.get_code

    def load_changed(loader: SourceFileLoader, fullname: str) -> Any:
        if loader.path == str(mutant.path):
            return compile(mutant.source(), loader.path, "exec", dont_inherit=True)
        return load(loader, fullname)

    SourceFileLoader.get_code = load_changed  # type: ignore[method-assign, assignment]
    try:
        importlib.import_module(".".join(mutant.path.relative_to(ROOT).with_suffix("").parts))
        importlib.import_module("kling_adapters.client.client")
    except BaseException:  # noqa: BLE001
        return NOT_IMPORTED, ""
    recorder = Recorder()
    status = run_tests(ranked, recorder, "-x") if ranked else 0
    return (DETECTED, (recorder.failed or ["collection"])[0]) if status else (PASSED, "")


def run_in_child(work: Callable[[], Any]) -> tuple[int, Any]:
    """Start work in a forked process; return its id and the pipe of its pickled result."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        with os.fdopen(write, "wb") as pipe:
            pickle.dump(work(), pipe)
        os._exit(0)
    os.close(write)
    return pid, os.fdopen(read, "rb")


def test_mutants(mutants: list[Mutant], tests: Tests) -> dict[Mutant, str]:
    """Return the outcome of each change: "detected", "not imported", or "not detected"."""
    outcomes: dict[Mutant, str] = {}
    detections: dict[str, Counter[str]] = defaultdict(Counter)
    waiting, running = list(reversed(mutants)), dict[int, tuple[Mutant, Any]]()
    while waiting or running:
        while waiting and len(running) < (os.cpu_count() or 1):
            mutant = waiting.pop()
            ranked = tests.rank(mutant, detections)
            seconds = sum(tests.seconds[test] for test in ranked)
            pid, pipe = run_in_child(lambda: test_mutant(mutant, ranked, seconds))  # noqa: B023  called at once
            running[pid] = mutant, pipe
        pid, _ = os.wait()
        mutant, pipe = running.pop(pid)
        status, test = DETECTED, "time limit"
        with pipe, suppress(EOFError, pickle.UnpicklingError):
            status, test = pickle.load(pipe)
        shutil.rmtree(OUT / str(pid), ignore_errors=True)
        outcomes[mutant] = {PASSED: "not detected", NOT_IMPORTED: "not imported"}.get(status, "detected")
        if status == DETECTED:
            detections[mutant.place][test] += 1
            detections[str(mutant.path)][test] += 1
        print(f"{outcomes[mutant]:13}{mutant.path.stem}.{mutant}  {test}", flush=True)
    return outcomes


def main(paths: list[str]) -> None:
    os.chdir(ROOT)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    start = time.monotonic()
    places = [ROOT / path for path in paths or PACKAGES]
    modules = [
        path for place in places for path in (sorted(place.rglob("*.py")) if place.is_dir() else [place])
    ]
    mutants = [mutant for module in modules for mutant in make_mutants(module)]
    print(f"{len(mutants)} changes of {len(modules)} modules", flush=True)
    pid, pipe = run_in_child(measure_tests)
    with pipe:
        tests, libraries = pickle.load(pipe)
    os.waitpid(pid, 0)
    print(f"{len(tests.seconds)} tests, {sum(tests.seconds.values()):.0f} seconds", flush=True)
    for library in libraries:
        with suppress(Exception):
            importlib.import_module(library)
    outcomes = test_mutants(mutants, tests)
    survivors = Counter(str(mutant) for mutant in mutants if outcomes[mutant] == "not detected")
    missed = survivors - Counter(EQUIVALENT.read_text("utf-8").splitlines())
    detected = sum(outcome == "detected" for outcome in outcomes.values())
    share = detected / max(1, detected + missed.total())
    minutes = (time.monotonic() - start) / 60
    print(*sorted(missed.elements()), sep="\n")
    print(f"{detected} detected, {missed.total()} missed: {share:.1%}; {minutes:.0f} minutes")
    sys.exit(share < REQUIRED_SHARE)


if __name__ == "__main__":
    main(sys.argv[1:])
