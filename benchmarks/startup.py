"""Measure the start of a process that uses this package, against that of the smallest program that must import as much.

Each program is a whole process of its own, interpreter, end and all, in an environment without proxies, certificates
and settings of this package, and with bytecode. The programs run in turns; counted is the CPU time of a process, and
the best of all turns is compared. The detail has the ratio without the interpreter as well: both programs minus
`python -c pass`. `kling` is measured with the plugins of the environment, each of which it has to ask for commands.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import NamedTuple

from benchmarks.ratios import Ratio

TURNS = 20

_BARE = "pass"
_LIBRARIES = "import httpx, pydantic"
_CLICK = "import click"


class _Program(NamedTuple):
    name: str
    code: str
    floor: str
    bar: float
    arguments: tuple[str, ...] = ()


def _make_command(name: str, bar: float) -> _Program:
    code = "from kling_adapters.cli import main; main()"
    return _Program(f"kling {name} against {_CLICK}", code, _CLICK, bar, (name,))


PROGRAMS = (
    _Program(f"import kling_adapters against {_LIBRARIES}", "import kling_adapters", _LIBRARIES, 0.5),
    _Program(
        f"first client against {_LIBRARIES}",
        "from kling_adapters import Kling; Kling(api_key='SG_0000000000000001')",
        _LIBRARIES,
        1.25,
    ),
    _make_command("--help", 2.5),
    _make_command("models", 4),
)


def measure() -> Iterator[Ratio]:
    """Measure every program and its floor."""
    best = _measure_programs()
    count = len(entry_points(group="kling_adapters"))
    for program in PROGRAMS:
        seconds, floor = best[program.code, program.arguments], best[program.floor, ()]
        bare = best[_BARE, ()]
        detail = (
            f"{seconds * 1e3:.0f} against {floor * 1e3:.0f} ms; "
            f"{(seconds - bare) / (floor - bare):.2f} × without the interpreter"
        )
        if program.floor == _CLICK:
            detail += f"; {count} plugins"
        yield Ratio(program.name, seconds / floor, program.bar, is_upper_limit=True, detail=detail)


def _measure_programs() -> dict[tuple[str, tuple[str, ...]], float]:
    """Return the least seconds of CPU of each program, by its code and arguments."""
    programs = [(program.code, program.arguments) for program in PROGRAMS]
    programs += [(floor, ()) for floor in (_BARE, _LIBRARIES, _CLICK)]
    best = dict.fromkeys(programs, float("inf"))
    with tempfile.TemporaryDirectory() as folder:
        environment = _make_environment(folder)
        for turn in range(TURNS + 1):
            for code, arguments in programs:
                seconds = _measure_process([sys.executable, "-c", code, *arguments], environment)
                # The first turn writes the bytecode.
                if turn:
                    best[code, arguments] = min(best[code, arguments], seconds)
    return best


def _make_environment(bytecode_folder: str) -> dict[str, str]:
    """Return an environment without what a client or Python itself would have to read."""
    ignored = ("PYTHONDONTWRITEBYTECODE", "SSL_CERT_FILE", "SSL_CERT_DIR")
    variables = {
        name: value
        for name, value in os.environ.items()
        if name not in ignored and not name.startswith("KLING_") and not name.lower().endswith("_proxy")
    }
    return {**variables, "PYTHONPYCACHEPREFIX": bytecode_folder}


def _measure_process(command: list[str], environment: dict[str, str]) -> float:
    """Return the seconds of CPU of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
