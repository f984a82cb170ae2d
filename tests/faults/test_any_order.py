"""Promises 1, 2 and 6 after every step of any order of steps: a client against the sandbox, with faults, time and death.

The client is a process that is really killed (see mortal.py), and its time is the sandbox's. What is judged is what is
on disk and what the sandbox received: the journal is read as the SQLite file that it is.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import sys
import tempfile
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from kling_sandbox import BLOCKED_TEXT, Fault, Faults, ReceivedRequest, Sandbox

from kling_adapters.journal.journal import Journal

from .mortal import Died, Life, Nursery, Raised

HOUR: Final = 3600.0
SLACK: Final = 900.0
"""Seconds: more than a client needs for what it has under way, and than an example takes in earnest."""
PICTURE: Final = bytes.fromhex(  # 1 x 1
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
)
# Few, because the sandbox renders each once.
REQUESTS: Final[list[tuple[str, dict[str, Any]]]] = [
    ("kling-o1", {"prompt": "a cat", "image_urls": ["https://pictures.example/cat.png"]}),
    ("kling-2", {"prompt": "a lighthouse"}),
    ("kling-2", {"prompt": "a lighthouse", "start_image": PICTURE}),
    ("kling-2.5-turbo", {"prompt": "a harbour", "aspect_ratio": "1:1"}),
    ("kling-2", {"prompt": BLOCKED_TEXT}),
]
LINES: Final[list[dict[str, Any]]] = [
    {"model": "kling-2", "prompt": "a lighthouse", "negative_prompt": "line 1"},
    {"model": "kling-2.5-turbo", "prompt": "a harbour", "aspect_ratio": "1:1", "negative_prompt": "line 2"},
    {"model": "kling-2", "prompt": BLOCKED_TEXT, "negative_prompt": "line 3"},
]
LATENCY: Final = {"kling-o1": 5.8, "kling-2": 30.1, "kling-2.5-turbo": 6.0}
"""Seconds from a submit to the end of its job, with `latency:0.1`."""

CUTS: Final = ("reset-early", "reset-late", "reset", "truncate", "length", "504", "garbage")
UNKNOWABLE: Final = {*CUTS, "503"}
"""What a client cannot tell from a job that was started."""
BUSY: Final = ("429", "500", "502", "503", "html")
Place: TypeAlias = tuple[str, str, Sequence[str]]
REFUSED: Final = ("400", "401", "403", "404", "406", "410")
SUBMITS: Final = "POST", "*", (*CUTS, *BUSY, *REFUSED, "failed", "type")  # uploads, too
POLLS: Final = "GET", "/v2/requests/*", (*CUTS, *BUSY, "404", "restart", "flap", "type")
FILES: Final = "GET", "/media/*", (*CUTS, *BUSY)
REFUSALS: Final = {
    "RateLimited", "ServerError", "BadGateway", "BadRequest", "Unauthorized", "Forbidden", "NotFound",
    "NotAcceptable", "InsufficientCredits", "ModelRetired",
}  # fmt: skip


@dataclass(frozen=True)
class Fate:
    """What happens to a deed: a `fault`; and a `death` after so many effects, or in the end if it has fewer."""

    fault: Fault | None = None
    death: int | None = None


@st.composite
def fates(draw: st.DrawFn, *places: Place) -> Fate:
    """Draw a fault of a few requests there; a single 404 or two must not lose a job."""
    fault = None
    if draw(st.booleans()):
        method, path, kinds = draw(st.sampled_from(places))
        kind, nth = draw(st.sampled_from(kinds)), draw(st.sampled_from([1, 1, 2, 3]))
        burst = draw(st.integers(1, 2 if (method, kind) == ("GET", "404") else 3))
        fault = Fault(kind, method=method, path=path, nth=nth, burst=burst)
    death = draw(st.integers(0, 25) | st.integers(0, 170)) if draw(st.booleans()) else None
    return Fate(fault, death)


@dataclass
class Job:
    """A job that the sandbox has accepted: for which wish of the user, and when."""

    wish: str
    model: str
    born: float
    fails: bool


@dataclass
class Row:
    """A row of the journal."""

    id: int
    request_id: str | None
    state: str
    model: str
    tag: str | None
    params: dict[str, Any]
    save_to: str | None
    files: list[dict[str, Any]]

    @property
    def is_open(self) -> bool:
        """Whether nobody knows if it has a job."""
        return self.state in ("UNCERTAIN", "SUBMITTING")

    @property
    def has_ended(self) -> bool:
        return self.state in ("COMPLETED", "FAILED", "EXPIRED", "REFUSED")


class AnyOrder(RuleBasedStateMachine):
    """What a user, the gateway, time and death may do. `now`: seconds of simulated time."""

    def __init__(self, sandbox: Sandbox, nursery: Nursery, key: str) -> None:
        super().__init__()
        self.sandbox, self.nursery, self.key = sandbox, nursery, key
        self.first = len(sandbox.requests)
        # Where to wait for a disk takes no time: what a process has written outlives it anywhere.
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.journal, self.target = self.folder / "state" / "journal.sqlite3", self.folder / "films"
        self.life: Life | None = None
        self.deaths = 0
        self.now = 0.0
        self.numbers = count(1)
        self.wish = ""
        self.wishes: dict[int, str] = {}
        self.rows: list[Row] = []
        self.jobs: dict[str, Job] = {}
        self.orphans: set[int] = set()
        self.ended: dict[int, str] = {}
        self.rendered: dict[str, bytes] = {}

    def do(self, fate: Fate, what: str, *arguments: Any, wish: str = "") -> Any:
        """Let the client do something, and look at what came of it. Raises Died if that was its fate."""
        if self.life is None:
            self.life = self.nursery.bear(self.sandbox.base_url, self.key, self.journal, self.sleep)
        self.wish = wish
        self.sandbox.faults = Faults([fate.fault] if fate.fault else [])
        try:
            return self.life.do(what, *arguments, now=self.now, dies_at=fate.death)
        except Died:
            self.life = None
            self.deaths += 1
            for _ in range(2):  # by the time that these are answered, what it had sent has arrived
                with pytest.raises(urllib.error.HTTPError) as nothing:
                    urllib.request.urlopen(f"{self.sandbox.base_url}/_sandbox/nothing")
                nothing.value.close()
            raise
        finally:
            self.look()
            if self.life is None:
                self.orphans = {row.id for row in self.rows if row.state == "SUBMITTING"}

    def sleep(self, seconds: float) -> None:
        """Let time pass, for both."""
        self.look_at_sandbox()
        self.now += seconds
        self.sandbox.advance(seconds)

    def look(self) -> None:
        """Read the journal, and what the sandbox received."""
        self.look_at_sandbox()
        self.rows = list(self.read_journal())
        for row in self.rows:
            self.wishes.setdefault(row.id, row.params["negative_prompt"] if row.tag else self.wish)

    def look_at_sandbox(self) -> None:
        for entry in self.submits():
            if entry.request_id is not None and entry.request_id not in self.jobs:
                wish = entry.json.get("negative_prompt", self.wish)
                fails = entry.fault == "failed" or entry.json["prompt"] == BLOCKED_TEXT
                self.jobs[entry.request_id] = Job(wish, entry.path.removeprefix("/v2/"), self.now, fails)

    def read_journal(self) -> Iterator[Row]:
        if not self.journal.exists():
            return
        with closing(sqlite3.connect(self.journal)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            if connection.execute("PRAGMA user_version").fetchone() == (0,):
                return  # it died while it made the journal
            for *plain, params, save_to, files in connection.execute(
                "SELECT id, request_id, state, model, tag, params, save_to, files FROM jobs ORDER BY id"
            ):
                row = [*plain, json.loads(params), save_to, json.loads(files or "[]")]
                yield Row(*row)

    def received(self, method: str, path: str) -> list[ReceivedRequest]:
        """What the sandbox was sent of this example."""
        return [
            entry
            for entry in self.sandbox.requests[self.first :]
            if entry.method == method and entry.path.startswith(path)
        ]

    def submits(self) -> list[ReceivedRequest]:
        return self.received("POST", "/v2/")

    def doubts(self) -> int:
        """How many submits have been answered so that nobody could know what became of them."""
        return sum(entry.fault in UNKNOWABLE for entry in self.submits())

    # What may happen.

    @initialize(fate=fates(SUBMITS), request=st.sampled_from(REQUESTS), is_saved=st.booleans())
    def begin(self, fate: Fate, request: tuple[str, dict[str, Any]], is_saved: bool) -> None:
        self.submit(fate, request, is_saved)

    @rule(fate=fates(SUBMITS), request=st.sampled_from(REQUESTS), is_saved=st.booleans())
    def submit(self, fate: Fate, request: tuple[str, dict[str, Any]], is_saved: bool) -> None:
        model, params = request
        wish, doubts = f"wish {next(self.numbers)}", self.doubts()
        what, rest = ("run", (str(self.target),)) if is_saved else ("submit", ())
        with suppress(Died):
            told = self.do(fate, what, model, params, *rest, wish=wish)
            own = [job_id for job_id, job in self.jobs.items() if job.wish == wish]
            if not isinstance(told, Raised):
                assert [told] == own == [row.request_id for row in self.rows if self.wishes[row.id] == wish]
            elif told.name == "SubmitUncertain":
                assert self.doubts() == doubts + 1
                assert self.wishes[told.entry or 0] == wish
            elif told.name in {"JobFailed", "StorageError"}:
                assert own
                assert is_saved
            else:
                assert told.name in REFUSALS
                assert not own

    @rule(fate=fates(SUBMITS, POLLS, FILES))
    def batch(self, fate: Fate) -> None:
        with suppress(Died):
            assert len(self.do(fate, "map", LINES, str(self.target))) == len(LINES)

    @rule(fate=fates(POLLS), index=st.integers(0, 20))
    def status(self, fate: Fate, index: int) -> None:
        self.ask(fate, "status", index)

    @rule(fate=fates(POLLS), index=st.integers(0, 20), timeout=st.sampled_from([None, 0.0, 5.0]))
    def wait(self, fate: Fate, index: int, timeout: float | None) -> None:
        self.ask(fate, "wait", index, timeout)

    @rule(fate=fates(POLLS, FILES), index=st.integers(0, 20))
    def save(self, fate: Fate, index: int) -> None:
        self.ask(fate, "save", index, str(self.target))

    def ask(self, fate: Fate, what: str, index: int, *arguments: Any) -> None:
        # Not a precondition, here and below: the threads of a batch decide, and a rule has to be as free another time.
        if not self.known():
            return
        row = self.known()[index % len(self.known())]
        job, spoilt = self.jobs[row.request_id or ""], self.spoilt()
        with suppress(Died):
            told = self.do(fate, what, row.request_id, row.model, *arguments)
            if not isinstance(told, Raised):
                assert what == "status" or not job.fails
                return
            is_right = {
                "JobFailed": job.fails,
                "JobExpired": self.may_have_expired(job),
                "WaitTimeout": what == "wait" and arguments != (None,),
                "StorageError": self.spoilt() > spoilt,
            }
            assert is_right[told.name], told

    def known(self) -> list[Row]:
        return [row for row in self.rows if row.request_id is not None]

    def may_have_expired(self, job: Job) -> bool:
        return self.now + SLACK > job.born + LATENCY[job.model] + HOUR

    def spoilt(self) -> int:
        """How many files came as something else, which a client cannot know to be whole another time."""
        return sum(entry.fault == "garbage" for entry in self.received("GET", "/media/"))

    @rule(seconds=st.sampled_from([1.0, 10.0, 60.0, 1800.0, HOUR, HOUR + 60]))
    def time_passes(self, seconds: float) -> None:
        self.sleep(seconds)

    @rule()
    def close(self) -> None:
        if self.life is not None:
            self.life.end()
            self.life = None

    @rule()
    def look_up(self) -> None:
        """As `kling jobs` does, in another process than the client."""
        with closing(Journal(self.journal)) as journal:
            journal.entries()
        self.look()
        assert not [row for row in self.rows if row.state == "SUBMITTING"]
        self.orphans.clear()

    @rule()
    def resolve(self) -> None:
        """As `kling jobs resolve` does; the user knows what to look for."""
        row = next((row for row in self.rows if row.state == "UNCERTAIN"), None)
        if row is None:
            return
        found = [job_id for job_id, job in self.jobs.items() if job.wish == self.wishes[row.id]]
        with closing(Journal(self.journal)) as journal:
            journal.resolve(row.id, found[0] if found else None)
        self.look()

    @rule(fate=fates(POLLS, FILES), concurrency=st.sampled_from([1, 4]))
    def resume(self, fate: Fate, concurrency: int) -> None:
        submits, spoilt = self.submits(), self.spoilt()
        unfinished = [row.id for row in self.rows if not row.has_ended or (row.save_to and not row.files)]
        alive = [job_id for job_id, job in self.jobs.items() if not self.may_have_expired(job)]
        try:
            told = dict(self.do(fate, "resume", str(self.target), concurrency))
        except Died:
            assert self.submits() == submits
            return
        assert self.submits() == submits
        self.orphans.clear()
        assert {row.id for row in self.rows if row.is_open} == {
            number for number, error in told.items() if error == "SubmitUncertain"
        }
        for row in self.rows:
            assert row.is_open or row.has_ended
            if row.id in unfinished and row.request_id in alive:
                assert row.state in ("COMPLETED", "FAILED")
            if row.id in unfinished and row.state == "COMPLETED" and not row.files:
                assert told[row.id] == "StorageError"
                assert self.spoilt() > spoilt
            elif row.id in unfinished and row.state == "COMPLETED":
                assert not [*self.target.glob(f".*{row.request_id}*")]

    def teardown(self) -> None:
        """Whatever happened, in the end nothing is left open."""
        try:
            if sys.exc_info()[0] is None:
                self.resume(Fate(), 4)
                self.judge()
        finally:
            if self.life is not None:
                self.life.end()
            shutil.rmtree(self.folder)

    # What always holds.

    @invariant()
    def judge(self) -> None:
        self.one_job_a_wish()
        self.nothing_is_lost()
        self.files_are_whole()

    def one_job_a_wish(self) -> None:
        """Promise 1. Every job is that of one entry, by its id, or perhaps, where the entry is said to be uncertain."""
        assert max(Counter(job.wish for job in self.jobs.values()).values(), default=1) == 1
        for job_id, job in self.jobs.items():
            rows = [row for row in self.rows if self.wishes[row.id] == job.wish]
            own = [row for row in rows if row.request_id == job_id or row.is_open]
            assert len(own) == 1
            assert own[0].model == job.model
            assert all(row.state == "REFUSED" for row in rows if row is not own[0])
        assert all(row.request_id in self.jobs for row in self.known())

    def nothing_is_lost(self) -> None:
        """Promise 2. What is said to have ended has, that way; no more is uncertain than has a reason to be."""
        for row in self.rows:
            assert row.state != "SUBMITTING" or row.id in self.orphans
            if row.has_ended or row.id in self.ended:
                assert self.ended.setdefault(row.id, row.state) == row.state
            job = self.jobs.get(row.request_id or "")
            if job is not None:
                assert row.state != "REFUSED"
                assert row.state not in ("COMPLETED", "FAILED") or job.fails == (row.state == "FAILED")
                assert row.state != "EXPIRED" or self.may_have_expired(job)
        assert sum(row.is_open for row in self.rows) <= self.deaths + self.doubts()

    def files_are_whole(self) -> None:
        """Promise 6."""
        stored = {file["url"]: file for row in self.rows for file in row.files}
        parts = 0
        for path in self.target.glob("*"):
            if path.name.startswith("."):
                parts += 1
                continue
            content = path.read_bytes()
            assert content == self.true_content(path)
            file = stored.pop(path.as_uri(), None)
            assert file is None or (file["bytes"], file["sha256"]) == (
                len(content),
                hashlib.sha256(content).hexdigest(),
            )
        assert not stored
        assert parts <= self.deaths

    def true_content(self, path: Path) -> bytes:
        """What the sandbox rendered for the job that a file is named after."""
        [job_id] = [job_id for job_id in self.jobs if path.stem.endswith(job_id)]
        assert path.stem == f"{self.jobs[job_id].model}-{job_id}"
        if job_id not in self.rendered:
            faults, self.sandbox.faults = self.sandbox.faults, Faults()
            with urllib.request.urlopen(f"{self.sandbox.base_url}/media/{job_id}{path.suffix}") as answer:
                self.rendered[job_id] = answer.read()
            self.sandbox.faults = faults
        return self.rendered[job_id]


@pytest.fixture(scope="module")
def machine() -> Iterator[type[AnyOrder]]:
    """Each has an account of its own, with credits for some eight films."""
    keys = [f"SG_{number:016x}" for number in range(20000)]
    unused = iter(keys)
    with Sandbox(timing="latency:0.1", api_keys=keys, credits=4.0) as sandbox, Nursery() as nursery:

        class Here(AnyOrder):
            def __init__(self) -> None:
                super().__init__(sandbox, nursery, next(unused))

        yield Here


def alone(machine: Callable[[], AnyOrder], fate: Fate, request: int, *, is_saved: bool) -> None:
    """One deed, and what is left to do after it."""
    begun = machine()
    try:
        begun.submit(fate, REQUESTS[request], is_saved)
        begun.judge()
    finally:
        begun.teardown()


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [(method, path, kind) for method, path, kinds in (SUBMITS, POLLS, FILES) for kind in kinds],
)
def test_each_fault_alone(machine: Callable[[], AnyOrder], method: str, path: str, kind: str) -> None:
    alone(machine, Fate(Fault(kind, method=method, path=path, nth=1)), 0, is_saved=True)


def test_each_death_alone(machine: Callable[[], AnyOrder]) -> None:
    """Any of the submit, in a journal that it makes, some of the polls, and any of the file."""
    for effect in (*range(28), *range(28, 54, 4), *range(54, 72)):
        alone(machine, Fate(death=effect), 0, is_saved=True)


def test_any_order(machine: type[AnyOrder]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=settings().max_examples // 5))
