"""The studio against its limits: half a second until it is ready, ten packages, ten megabytes, and 50 ms for an update.

Ready is the CPU time of a new process from the end of its imports to the first answer that it could give, with a sandbox
and all models; the best of ten processes. Packages and bytes are those that kling-serve needs and kling-adapters does
not, as installed. An update is one job of a journal with 1,000: on the server, the CPU time from a write of another
process to the event with the new row; in Chromium, the time from that event to the layout of the page with 1,000 rows.
Both are the median of twenty.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from importlib.metadata import distribution, requires
from pathlib import Path
from statistics import median

from packaging.requirements import Requirement

from benchmarks.ratios import Ratio

STARTS = 10
TURNS = 20
JOBS = 1000
READY_SECONDS = 0.5
PACKAGES = 10
BYTES = 10e6
UPDATE_SECONDS = 0.05
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

_START = """
import os, sys, time
from pathlib import Path
import kling_sandbox
from kling_serve.server import run
from kling_serve.settings import Settings

folder = Path(sys.argv[1])
start = time.process_time()

def end(*_):
    print(time.process_time() - start, flush=True)
    os._exit(0)

run(Settings(folder=folder / "studio", journal=folder / "journal.sqlite3"), "127.0.0.1", 0, end)
"""
_RECEIVE = """data => {
  const start = performance.now();
  receive({ data, lastEventId: "0" });
  document.body.getBoundingClientRect();
  return (performance.now() - start) / 1000;
}"""


def measure() -> Iterator[Ratio]:
    """Measure the start, the size and the updates of the studio."""
    ready = min(_measure_start() for _ in range(STARTS))
    yield _compare("ready after its imports", ready, READY_SECONDS, f"{ready * 1e3:.0f} ms of CPU")
    names = list_packages("kling-serve") - list_packages("kling-adapters")
    yield _compare("further packages", len(names), PACKAGES, ", ".join(sorted(names)))
    size = sum(_measure_size(name) for name in names)
    yield _compare("further bytes", size, BYTES, f"{size / 1e6:.1f} MB")
    with tempfile.TemporaryDirectory() as place:
        journal = Path(place) / "journal.sqlite3"
        _fill(journal)
        seconds = median(asyncio.run(_measure_updates(journal, Path(place) / "studio")))
        yield _compare(
            f"update of {JOBS:,} jobs on the server", seconds, UPDATE_SECONDS, f"{seconds * 1e3:.1f} ms"
        )
        seconds = median(_measure_browser(journal, Path(place) / "browser"))
        yield _compare(
            f"update of {JOBS:,} jobs in Chromium", seconds, UPDATE_SECONDS, f"{seconds * 1e3:.1f} ms"
        )


def _compare(name: str, value: float, limit: float, detail: str) -> Ratio:
    unit = {READY_SECONDS: "500 ms", PACKAGES: "10", BYTES: "10 MB", UPDATE_SECONDS: "50 ms"}[limit]
    return Ratio(f"studio: {name} against {unit}", value / limit, 1.0, is_upper_limit=True, detail=detail)


def _measure_start() -> float:
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-c", _START, place]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def list_packages(name: str) -> set[str]:
    """Return the names of a distribution and of everything that it requires here, without extras."""
    names: set[str] = set()
    open_names = {name}
    while open_names:
        current = open_names.pop()
        names.add(current)
        for text in requires(current) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                open_names.add(requirement.name.lower().replace("_", "-"))
        open_names -= names
    return names


def _measure_size(name: str) -> int:
    """Return the bytes of the installed files of a distribution, without bytecode."""
    if name == "kling-serve":  # editable here
        files = [path for path in Path("plugins/serve/kling_serve").rglob("*") if path.is_file()]
    else:
        files = [Path(str(file.locate())) for file in distribution(name).files or ()]
    return sum(path.stat().st_size for path in files if path.suffix != ".pyc" and path.is_file())


def _fill(journal: Path) -> None:
    """Write a journal of 1,000 jobs whose files are elsewhere."""
    from kling_adapters import Kling
    from kling_adapters.testing import FakeGateway, SimulatedClock

    with (
        FakeGateway() as gateway,
        tempfile.TemporaryDirectory() as folder,
        Kling(
            base_url=gateway.base_url,
            api_key=gateway.api_key,
            journal=journal,
            clock=SimulatedClock(),
            history=False,
        ) as kling,
    ):
        for _ in kling.map(
            ({"model": "kling-2", "prompt": f"A lighthouse, number {number}"} for number in range(JOBS)),
            save_to=folder,
        ):
            pass


def _write_change(journal: Path, turn: int) -> None:
    """Change one job, as another process would."""
    with closing(sqlite3.connect(journal)) as connection, connection:
        connection.execute("UPDATE jobs SET cost = ?, updated = ? WHERE id = 500", (turn / 100, time.time()))


async def _measure_updates(journal: Path, folder: Path) -> list[float]:
    from kling_serve.app import make_app
    from kling_serve.pages.events import stream
    from kling_serve.settings import Settings
    from kling_serve.studio import Studio
    from starlette.requests import Request
    from starlette.responses import StreamingResponse

    settings = Settings(
        folder=folder, journal=journal, api_key="SG_0000000000000001", uses_account=True, uses_sandbox=False
    )
    app = make_app(settings)
    studio: Studio = app.state.studio
    await studio.connections.open()
    watch = studio.jobs.watch
    await watch.refresh()
    seconds: list[float] = []
    for turn in range(TURNS):
        query = f"view=rows&since={watch.cursor}".encode()
        response = await stream(Request({"type": "http", "app": app, "query_string": query, "headers": []}))
        assert isinstance(response, StreamingResponse)
        events = aiter(response.body_iterator)
        await anext(events)
        event = asyncio.ensure_future(anext(events))
        _write_change(journal, turn + 1)
        start = time.process_time()
        await watch.refresh()
        assert "account-500" in str(await event)
        seconds.append(time.process_time() - start)
    await studio.connections.close()
    return seconds


def _measure_browser(journal: Path, folder: Path) -> list[float]:
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert path is not None, f"Chromium is needed: one of {', '.join(BROWSERS)}"
    code = "from kling_adapters.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", "--port", "0", "--no-sandbox"]
    environment = {
        **os.environ,
        "SEGMIND_API_KEY": "SG_0000000000000001",
        "KLING_BASE_URL": "http://127.0.0.1:9",
    }
    with (
        subprocess.Popen(
            [*command, "--folder", str(folder), "--journal", str(journal)],
            env=environment, stdout=subprocess.PIPE, text=True,
        ) as process,
        sync_playwright() as playwright,
    ):  # fmt: skip
        assert process.stdout is not None
        base_url, link = (process.stdout.readline().split()[-1] for _ in range(2))
        browser = playwright.chromium.launch(executable_path=path)
        page = browser.new_page()
        page.goto(link)
        page.goto(f"{base_url}/jobs")
        row = page.locator("#rows > tr").nth(JOBS // 2).evaluate("row => row.outerHTML")
        assert page.locator("#rows > tr").count() == JOBS
        seconds = [page.evaluate(_RECEIVE, row.replace(">Done<", f">Done {turn}<")) for turn in range(TURNS)]
        browser.close()
        process.terminate()
    return seconds
