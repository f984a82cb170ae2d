"""Break the code in every small way, and see whether a test notices. `make mutants`.

First every test that may judge runs once, so that it is known which lines each reaches and how long it takes. Then each
change of `mutations.py` gets a process of its own, and there the tests that reach it run until one fails; those first
that have caught the most nearby. A change inside a function is put into a fork of a process that has collected all
tests already; any other into one that has only imported the libraries, and then imports our own modules with the
changed text. One with which a module cannot be imported does not count.

MUTANTS.md lists by id what no test catches, and why.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import random
import re
import resource
import shutil
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NoReturn

import coverage
import pytest
from hypothesis import Phase, settings

from benchmarks.mutations import Mutant, mutants

ROOT = Path(__file__).parents[1]
RUNTIME = ROOT / "kling_adapters"
OUT = ROOT / "out" / "mutants"
LIST = Path(__file__).with_name("MUTANTS.md")
JOBS = os.cpu_count() or 1
SECONDS_OF_TESTS = 10.0
"""Of the tests that reach a change, so many are run: one that all of them pass goes on the list, or needs a test."""

RULES = [
    *(f"tests/properties/test_{name}.py" for name in ("verdicts", "round_trips", "told_alike")),
    *(f"tests/runtime/test_{name}.py" for name in ("params", "inputs")),
]
FLOWS = [
    *(
        f"tests/runtime/test_{name}.py"
        for name in ("polling", "pace", "scenarios", "journal", "inputs", "registry")
    ),
    *(f"tests/faults/test_{name}.py" for name in ("records_and_events", "collecting")),
    *(f"tests/faults/test_{name}.py" for name in ("submit_once", "polls_survive", "run_sync", "uploads")),
    *(f"tests/faults/test_{name}.py" for name in ("files_whole", "key_destinations", "outputs_elsewhere")),
    "tests/plugins/test_keypool.py",
]
MODELS = {path.stem for path in (RUNTIME / "models").glob("kling_*.py")}
TARGETS: dict[str, list[str]] = {
    **dict.fromkeys(["flows", "polling", "models/_gateway"], FLOWS),
    **dict.fromkeys(["adapter", "params", *(f"models/{name}" for name in sorted(MODELS))], RULES),
}
PASSED, CAUGHT, STILLBORN = 0, 1, 77


@dataclass
class Tests:
    """What was seen of the tests as the code is: seconds of processor of each, and by which a line of a file is reached."""

    seconds: dict[str, float]
    reached: dict[str, dict[int, set[str]]]
    catches: dict[str, Counter[str]] = field(
        default_factory=partial(defaultdict[str, Counter[str]], Counter[str])
    )

    def ranked(self, mutant: Mutant) -> list[str]:
        """Return the tests for a mutant: first those that have caught others near it, then one of each function."""
        reaching, likely = self._reaching(mutant)
        turns = Counter[str]()
        turn: dict[str, int] = {}
        for test in sorted(reaching, key=lambda test: (self.seconds[test], test)):
            function = test.partition("[")[0]
            turn[test] = turns[function] = turns[function] + 1
        near, file = self.catches[mutant.place], self.catches[str(mutant.path)]
        spent = 0.0
        ranked: list[str] = []
        for test in sorted(
            reaching,
            key=lambda test: (-near[test], test not in likely, -file[test], turn[test], self.seconds[test]),
        ):
            spent += self.seconds[test]
            if ranked and spent > SECONDS_OF_TESTS:
                break
            ranked.append(test)
        return ranked

    def _reaching(self, mutant: Mutant) -> tuple[set[str], set[str]]:
        """Return all tests that may catch a mutant, and those among them that are likely to."""
        if not runs_early(mutant):
            lines = self.reached.get(str(mutant.path), {})
            reaching = {test for line in mutant.lines for test in lines.get(line, ())}
            return reaching, reaching
        if mutant.path.stem in MODELS:
            named = {
                test for test in self.seconds if re.sub("[-.]", "_", test).endswith(f"[{mutant.path.stem}]")
            }
            return named, named
        # It is read where its name is.
        name = re.compile(rf"\b{mutant.place.rpartition('.')[2]}\b")
        return set(self.seconds), {
            test
            for path, lines in self.reached.items()
            for number, text in enumerate(Path(path).read_text("utf-8").splitlines(), start=1)
            if name.search(text)
            for test in lines.get(number, ())
        }

    def note(self, mutant: Mutant, test: str) -> None:
        """Note that a test has caught a mutant."""
        self.catches[mutant.place][test] += 1
        self.catches[str(mutant.path)][test] += 1


class Watch:
    """A plugin of pytest that notes what failed, and runs what it is told to instead of everything in turn."""

    def __init__(self, loop: Callable[[Watch, pytest.Session], object]) -> None:
        self.loop = loop
        self.failed: list[str] = []

    def pytest_configure(self) -> None:
        """Every run draws the same examples, and none looks for a smaller one."""
        current = settings.get_profile(settings.get_current_profile_name())
        phases = [Phase.explicit, Phase.generate]
        settings.register_profile("mutants", current, phases=phases, derandomize=True, database=None)
        settings.load_profile("mutants")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Both clients run the same flows and rules; the blocking one is the quicker."""
        items[:] = [item for item in items if not re.search(r"\[.*\basync\b", item.nodeid)]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Hand over what was collected."""
        self.loop(self, session)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a failure."""
        self.failed += [report.nodeid] if report.failed else []

    def first_failed(self, session: pytest.Session, chosen: Iterable[str]) -> str:
        """Run tests in the order in which they are given, and return the first that fails, or nothing."""
        items = {item.nodeid: item for item in session.items}
        in_order = [items[test] for test in chosen if test in items]
        for item, following in zip(in_order, [*in_order[1:], None], strict=False):
            random.seed(0)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failed:
                return self.failed[0]
        return ""


def collect(judges: Iterable[str], watch: Watch) -> int:
    """Collect tests in this process and hand them to a plugin."""
    without = [f"-pno:{name}" for name in ("randomly", "xdist", "cacheprovider")]
    # Libraries are imported already.
    ignored = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return pytest.main(
        ["-q", "-s", *without, *ignored, f"--basetemp={OUT / str(os.getpid())}", *judges], [watch]
    )


def main(wanted: list[str]) -> None:
    """Judge the mutants of the targets or with the ids that are given; without any, all."""
    os.chdir(ROOT)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    start = time.monotonic()
    found = {name: mutants(RUNTIME / f"{name}.py") for name in TARGETS}
    chosen = {
        mutant: name
        for name, those in found.items()
        for mutant in those
        if not wanted or name in wanted or mutant.id in wanted
    }
    judges = list(dict.fromkeys(judge for name in chosen.values() for judge in TARGETS[name]))
    late = [mutant for mutant in chosen if not runs_early(mutant)]
    tests, libraries, ends = in_child(lambda: in_functions(judges, late))
    for library in libraries:
        with suppress(Exception):
            importlib.import_module(library)
    ends |= judged([mutant for mutant in chosen if runs_early(mutant)], tests, declared)
    report(chosen, ends, time.monotonic() - start)


def in_functions(judges: list[str], chosen: list[Mutant]) -> tuple[Tests, list[str], dict[str, str]]:
    """Collect all tests, run them, then judge the mutants inside functions."""
    told: list[Any] = []

    def loop(watch: Watch, session: pytest.Session) -> None:
        tests: Tests = in_child(lambda: watched(watch, session))
        print(f"{len(tests.seconds)} tests, which take {sum(tests.seconds.values()):.0f} s", flush=True)
        functions: dict[tuple[str, str], list[FunctionType]] = defaultdict(list)
        for one in gc.get_objects():
            if type(one) is FunctionType:
                functions[one.__code__.co_filename, one.__code__.co_qualname].append(one)

        def put(mutant: Mutant, ranked: list[str]) -> str:
            # The text before it is as it was, so its function is found by the line in which it begins.
            for code in codes(compile(mutant.source(), str(mutant.path), "exec", dont_inherit=True)):
                for function in functions[code.co_filename, code.co_qualname]:
                    if function.__code__.co_firstlineno == code.co_firstlineno:
                        function.__code__ = code
            # Each process has files of its own.
            session.config._tmp_path_factory._basetemp = OUT / str(os.getpid())  # type: ignore[attr-defined]  # noqa: SLF001
            (OUT / str(os.getpid())).mkdir()
            return watch.first_failed(session, ranked)

        libraries = [
            name
            for name, module in sys.modules.items()
            if "site-packages" in str(getattr(module, "__file__", ""))
        ]
        told.extend((tests, libraries, judged(chosen, tests, put)))

    collect(judges, Watch(loop))
    return told[0], told[1], told[2]


def runs_early(mutant: Mutant) -> bool:
    """Whether it has effect when modules are imported, and so must be there before."""
    return not mutant.is_in_function or "__" in mutant.place or mutant.place == "_twins"


def codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the functions of a module, but not those that are made by calling them."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_flags & 2:  # has variables of its own: a function, and no class
                yield constant
            else:
                yield from codes(constant)


def watched(watch: Watch, session: pytest.Session) -> Tests:
    """Run all tests, and return what was seen. One that fails as the code is can judge nothing."""
    measured = coverage.Coverage(data_file=None, config_file=False, include=[f"{RUNTIME}/*"])
    measured.start()
    seconds: dict[str, float] = {}
    for item, following in zip(session.items, [*session.items[1:], None], strict=False):
        random.seed(0)
        measured.switch_context(item.nodeid)
        start = time.process_time()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        seconds[item.nodeid] = time.process_time() - start
    measured.stop()
    for test in watch.failed:
        seconds.pop(test, None)
    data = measured.get_data()
    return Tests(
        seconds,
        {
            path: {
                line: {test for test in by if test in seconds}
                for line, by in data.contexts_by_lineno(path).items()
            }
            for path in data.measured_files()
        },
    )


def declared(mutant: Mutant, ranked: list[str]) -> str:
    """Import our modules with a mutant in place of its file, and return which test fails. Ends if it cannot be imported."""
    sound = SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, fullname: str) -> Any:
        if loader.path == str(mutant.path):
            return compile(mutant.source(), loader.path, "exec", dont_inherit=True)
        return sound(loader, fullname)

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]
    try:
        importlib.import_module(".".join(mutant.path.relative_to(ROOT).with_suffix("").parts))
        importlib.import_module("kling_adapters.models.kling_2")
    except BaseException:  # noqa: BLE001  whatever it is
        os._exit(STILLBORN)
    # Most are caught by the first, and no other file of tests needs to be read.
    for part in (ranked[:6], ranked[6:]):
        watch = Watch(partial(Watch.first_failed, chosen=part))
        # Tests that cannot be collected have failed, too.
        if part and collect(dict.fromkeys(test.partition("::")[0] for test in part), watch) > 1:
            return "collecting"
        if watch.failed:
            return watch.failed[0]
    return ""


def judged(chosen: list[Mutant], tests: Tests, failing: Callable[[Mutant, list[str]], str]) -> dict[str, str]:
    """Return by id what caught each mutant: "tests", "import", "time", or "" for nothing."""
    ends: dict[str, str] = {}
    waiting = list(reversed(chosen))
    running: dict[int, tuple[Mutant, int]] = {}
    while waiting or running:
        while waiting and len(running) < JOBS:
            mutant = waiting.pop()
            ranked = tests.ranked(mutant)
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:
                judge(mutant, ranked, sum(tests.seconds[test] for test in ranked), failing, write)
            os.close(write)
            running[pid] = mutant, read
        pid, status = os.wait()
        mutant, read = running.pop(pid)
        with os.fdopen(read) as pipe:
            test = pipe.read()
        shutil.rmtree(OUT / str(pid), ignore_errors=True)
        code = os.waitstatus_to_exitcode(status)
        ends[mutant.id] = {PASSED: "", CAUGHT: "tests", STILLBORN: "import"}.get(code, "time")
        if test:
            tests.note(mutant, test)
        print(f"{mutant.id} {ends[mutant.id] or 'NOT CAUGHT':10} {mutant}", test, flush=True)
    return ends


def judge(
    mutant: Mutant,
    ranked: list[str],
    seconds: float,
    failing: Callable[[Mutant, list[str]], str],
    write: int,
) -> NoReturn:
    """Run tests with a mutant; the exit status says what came of it."""
    quiet()
    # A change that makes a loop endless is caught by a test that does not end.
    resource.setrlimit(resource.RLIMIT_CPU, (int(10 + 3 * seconds),) * 2)
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30,) * 2)
    signal.alarm(int(120 + 20 * seconds))
    try:
        test = failing(mutant, ranked)
    except BaseException as error:  # noqa: BLE001  whatever it does to pytest
        test = type(error).__name__
    os.write(write, test.encode())
    os._exit(CAUGHT if test else PASSED)


def in_child(work: Callable[[], Any]) -> Any:
    """Return what `work` returns in a process of its own, so that nothing of it stays in this one."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            told = work()
        except BaseException as error:  # noqa: BLE001  it is raised again by whoever asked
            told = error
        with os.fdopen(write, "wb") as pipe:
            pickle.dump(told, pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        told = pickle.load(pipe)  # noqa: S301  our own
    os.waitpid(pid, 0)
    if isinstance(told, BaseException):
        raise told
    return told


def quiet() -> None:
    """Print nothing from now on."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nothing, stream)


def report(chosen: dict[Mutant, str], ends: dict[str, str], seconds: float) -> None:
    """Print what was caught of each target. Ends with an error if that is too little, or a survivor is not listed."""
    same, _, missed = LIST.read_text("utf-8").partition("## Not caught")
    equivalent, known = (
        set(re.findall(r"^\| `([0-9a-f]{8})`", text, re.MULTILINE)) for text in (same, missed)
    )
    figures: dict[str, Counter[str]] = defaultdict(Counter)
    for mutant, name in chosen.items():
        if ends[mutant.id] != "import":
            end = "caught" if ends[mutant.id] else "equivalent" if mutant.id in equivalent else "not caught"
            for row in ("models" if mutant.path.stem in MODELS else name, "all"):
                figures[row][end] += 1
    columns = ("caught", "equivalent", "not caught")
    print(f"\n{'':16}{'made':>12}" + "".join(f"{column:>12}" for column in columns))
    for row, count in sorted(figures.items(), key=lambda row: row[0] == "all"):
        print(f"{row:16}{count.total():12}" + "".join(f"{count[column]:12}" for column in columns))
    every = figures["all"]
    share = every["caught"] / (every.total() - every["equivalent"])
    print(f"{share:.1%} of those that change behaviour are caught; {seconds / 60:.0f} minutes")
    survivors = [mutant for mutant in chosen if not ends[mutant.id] and mutant.id not in equivalent | known]
    for mutant in survivors:
        print(f"| `{mutant.id}` | `{mutant}` |  |")
    stale = [name for name in sorted(equivalent | known) if ends.get(name)]
    print(*(f"{name} is listed and caught" for name in stale), sep="\n")
    sys.exit(bool(survivors) or share < 0.95)


if __name__ == "__main__":
    main(sys.argv[1:])
