"""Mutation tests: change modules in small ways, and list the changes that no test detects. `make mutants`.

All tests of SUITES run once, to find the lines that each reaches. Then each change gets a process of its own, which
runs the tests that reach it until one fails; see `processes.py`. A change that prevents the import does not count.
Arguments are paths of packages or modules; the default is SCOPE. `--jobs N` is the number of processes.
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

from tests.mutation.changes import Mutant, make_mutants
from tests.mutation.processes import OUT, ROOT, test_mutants

EQUIVALENT = Path(__file__).with_name("equivalent.txt")
SCOPE = [
    "kling_adapters/schema",
    *(
        f"kling_adapters/protocol/{name}.py"
        for name in (
            *("submit", "start", "sending", "exchange", "retry", "responses", "failures", "uploads"),
            *("wait", "polling", "schedule", "timing", "collect", "fetch", "download", "outputs"),
            *("run", "recall", "records", "keys", "session", "effects"),
        )
    ),
]
"""Without kling_adapters/models: `make check` compares each byte of generated code with the specs."""
SUITES = [
    *(f"tests/{folder}" for folder in ("builtin", "client", "hooks", "http", "journal", "media")),
    *(f"tests/{folder}" for folder in ("promises", "protocol", "public", "schema", "properties")),
    "tests/plugins/test_keypool.py",
]
REQUIRED_SHARE = 0.99


def find_modules(paths: list[str]) -> list[Path]:
    """Return the modules at paths, or those of SCOPE."""
    return [
        module
        for place in (ROOT / path for path in paths or SCOPE)
        for module in (sorted(place.rglob("*.py")) if place.is_dir() else [place])
    ]


def report(outcomes: dict[Mutant, str]) -> float:
    """Print the changes that no test detects, and a table of the modules; return the detected share."""
    equivalent = Counter(EQUIVALENT.read_text("utf-8").splitlines())
    figures: dict[str, Counter[str]] = defaultdict(Counter)
    missed: list[str] = []
    for mutant, result in outcomes.items():
        outcome = result
        if result == "not detected":
            outcome = "equivalent" if equivalent[str(mutant)] > 0 else "missed"
            equivalent[str(mutant)] -= 1
            missed += [f"{mutant.path.stem}: {mutant}"] if outcome == "missed" else []
        for row in (str(mutant.path.relative_to(ROOT / "kling_adapters")), "all"):
            figures[row][outcome] += 1
    print(*sorted(missed), sep="\n")
    columns = ("detected", "equivalent", "missed")
    print(f"{'':50}{'changes':>12}", *(f"{column:>12}" for column in columns))
    for row, count in sorted(figures.items(), key=lambda row: (row[0] == "all", row[0])):
        changes = sum(count[column] for column in columns)
        print(f"{row:50}{changes:12}", *(f"{count[column]:12}" for column in columns))
    return figures["all"]["detected"] / max(1, figures["all"]["detected"] + figures["all"]["missed"])


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.mutation.run")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("paths", nargs="*")
    options = parser.parse_args()
    os.chdir(ROOT)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    start = time.monotonic()
    modules = find_modules(options.paths)
    mutants = [mutant for module in modules for mutant in make_mutants(module)]
    print(f"{len(mutants)} changes of {len(modules)} modules", flush=True)
    outcomes = test_mutants(mutants, SUITES, options.jobs)
    share = report({mutant: outcomes[mutant] for mutant in mutants})
    minutes = (time.monotonic() - start) / 60
    print(f"{share:.2%} of the changes that alter behaviour are detected; {minutes:.0f} minutes")
    sys.exit(share < REQUIRED_SHARE)


if __name__ == "__main__":
    main()
