"""Steps of a client against the sandbox, with faults, time and kills, and the promises that are checked after each."""

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
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)
from kling_sandbox import BLOCKED_TEXT, Faults, ReceivedRequest, Sandbox

from kling_adapters.journal.journal import Journal
from tests.promises.fault_plans import CUTS, FILES, HOUR, POLLS, REQUESTS, SUBMITS, FaultPlan, fault_plans

from .client_process import ClientProcess, ProcessFactory, ProcessKilled, Raised

SLACK: Final = 900.0
"""Seconds: more than the work of a client in progress takes, and more than an example really takes."""
LINES: Final[list[dict[str, Any]]] = [
    {"model": "kling-2", "prompt": "a lighthouse", "negative_prompt": "line 1"},
    {"model": "kling-2.5-turbo", "prompt": "a harbour", "aspect_ratio": "1:1", "negative_prompt": "line 2"},
    {"model": "kling-2", "prompt": BLOCKED_TEXT, "negative_prompt": "line 3"},
]
LATENCY: Final = {"kling-o1": 5.8, "kling-2": 30.1, "kling-2.5-turbo": 6.0}
"""Seconds from a submit to the end of its job, with `latency:0.1`."""
UNCERTAIN_FAULTS: Final = {*CUTS, "503"}
"""Faults after which a client cannot know whether a job was started."""
REFUSALS: Final = {
    "RateLimited", "ServerError", "BadGateway", "BadRequest", "Unauthorized", "Forbidden", "NotFound",
    "NotAcceptable", "InsufficientCredits", "ModelRetired",
}  # fmt: skip


def describe_body(model: str, params: dict[str, Any]) -> str:
    """Return a text that is the same for equal requests only."""
    return f"{model} {json.dumps(params, sort_keys=True)}"


@dataclass
class Job:
    """A job that the sandbox has accepted: for which intent of the user, with which `body`, and at which time."""

    intent: str
    model: str
    body: str
    submitted: float
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
    def body(self) -> str:
        return describe_body(self.model, self.params)

    @property
    def is_open(self) -> bool:
        """Whether it is unknown if a job was started."""
        return self.state in ("UNCERTAIN", "SUBMITTING")

    @property
    def has_ended(self) -> bool:
        return self.state in ("COMPLETED", "FAILED", "EXPIRED", "REFUSED")


class AnyOrder(RuleBasedStateMachine):
    """Steps of a user, of the gateway, of time and of kills. `now` is the simulated time in seconds."""

    def __init__(self, sandbox: Sandbox, processes: ProcessFactory, key: str) -> None:
        super().__init__()
        self.sandbox, self.processes, self.key = sandbox, processes, key
        self.first = len(sandbox.requests)
        # In memory, syncing takes no time; the writes of a process outlive it in any file system.
        memory = Path("/dev/shm")
        self.folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.journal, self.target = self.folder / "state" / "journal.sqlite3", self.folder / "films"
        self.client: ClientProcess | None = None
        self.kills = 0
        self.now = 0.0
        self.numbers = count(1)
        self.intent = ""
        self.intents: dict[int, str] = {}
        self.rows: list[Row] = []
        self.jobs: dict[str, Job] = {}
        self.abandoned: set[int] = set()
        self.ended: dict[int, str] = {}
        self.rendered: dict[str, bytes] = {}
        sandbox.delay_history(0.0)

    def call(self, plan: FaultPlan, command: str, *arguments: Any, intent: str = "") -> Any:
        """Call a command of the client and observe the effects. Raises ProcessKilled if the plan kills the client."""
        if self.client is None:
            self.client = self.processes.spawn(self.sandbox.base_url, self.key, self.journal, self.sleep)
        self.intent = intent
        self.sandbox.faults = Faults(plan.faults)
        try:
            return self.client.call(command, *arguments, now=self.now, kill_at=plan.kill_at)
        except ProcessKilled:
            self.client = None
            self.kills += 1
            for _ in range(2):  # once these are answered, the requests of the process have arrived
                with pytest.raises(urllib.error.HTTPError) as nothing:
                    urllib.request.urlopen(f"{self.sandbox.base_url}/_sandbox/nothing")
                nothing.value.close()
            raise
        finally:
            self.observe()
            if self.client is None:
                self.abandoned = {row.id for row in self.rows if row.state == "SUBMITTING"}

    def sleep(self, seconds: float) -> None:
        """Advance the time of the client and of the sandbox."""
        self.observe_sandbox()
        self.now += seconds
        self.sandbox.advance(seconds)

    def observe(self) -> None:
        """Read the journal and the requests that the sandbox received."""
        self.observe_sandbox()
        self.rows = list(self.read_journal())
        for row in self.rows:
            self.intents.setdefault(row.id, row.params["negative_prompt"] if row.tag else self.intent)

    def observe_sandbox(self) -> None:
        for entry in self.submits():
            if entry.request_id is not None and entry.request_id not in self.jobs:
                intent = entry.json.get("negative_prompt", self.intent)
                fails = entry.fault == "failed" or entry.json["prompt"] == BLOCKED_TEXT
                model = entry.path.removeprefix("/v2/")
                body = describe_body(model, entry.json)
                self.jobs[entry.request_id] = Job(intent, model, body, self.now, fails)

    def read_journal(self) -> Iterator[Row]:
        if not self.journal.exists():
            return
        with closing(sqlite3.connect(self.journal)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            if connection.execute("PRAGMA user_version").fetchone() == (0,):
                return  # it was killed while it created the journal
            for *plain, params, save_to, files in connection.execute(
                "SELECT id, request_id, state, model, tag, params, save_to, files FROM jobs ORDER BY id"
            ):
                row = [*plain, json.loads(params), save_to, json.loads(files or "[]")]
                yield Row(*row)

    def received(self, method: str, path: str) -> list[ReceivedRequest]:
        """Return the requests of this example."""
        return [
            entry
            for entry in self.sandbox.requests[self.first :]
            if entry.method == method and entry.path.startswith(path)
        ]

    def submits(self) -> list[ReceivedRequest]:
        return self.received("POST", "/v2/")

    def count_uncertain(self) -> int:
        """Count the submits whose outcome a client cannot know."""
        return sum(entry.fault in UNCERTAIN_FAULTS for entry in self.submits())

    # Steps.

    @initialize(plan=fault_plans(SUBMITS), request=st.sampled_from(REQUESTS), is_saved=st.booleans())
    def begin(self, plan: FaultPlan, request: tuple[str, dict[str, Any]], is_saved: bool) -> None:
        self.submit(plan, request, is_saved)

    @rule(plan=fault_plans(SUBMITS), request=st.sampled_from(REQUESTS), is_saved=st.booleans())
    def submit(self, plan: FaultPlan, request: tuple[str, dict[str, Any]], is_saved: bool) -> None:
        model, params = request
        intent, uncertain = f"intent {next(self.numbers)}", self.count_uncertain()
        command, arguments = ("run", (str(self.target),)) if is_saved else ("submit", ())
        with suppress(ProcessKilled):
            outcome = self.call(plan, command, model, params, *arguments, intent=intent)
            recorded = [row.request_id for row in self.rows if self.intents[row.id] == intent]
            if not isinstance(outcome, Raised):
                assert [outcome] == recorded
            elif outcome.name == "SubmitUncertain":
                assert self.count_uncertain() == uncertain + 1
                assert self.intents[outcome.entry or 0] == intent
            elif outcome.name in {"JobFailed", "StorageError", "JobExpired"}:
                assert is_saved
                [request_id] = recorded
                # It may be an older one, of an equal request.
                assert outcome.name != "JobExpired" or self.may_have_expired(self.jobs[request_id or ""])
            else:
                assert outcome.name in REFUSALS
                assert not [job for job in self.jobs.values() if job.intent == intent]

    @rule(plan=fault_plans(SUBMITS, POLLS, FILES))
    def batch(self, plan: FaultPlan) -> None:
        with suppress(ProcessKilled):
            errors = self.call(plan, "map", LINES, str(self.target))
            # A batch ends early once the gateway refuses the account.
            assert len(errors) == len(LINES) or {"Unauthorized", "InsufficientCredits"} & set(errors)

    @rule(plan=fault_plans(POLLS), index=st.integers(0, 20))
    def status(self, plan: FaultPlan, index: int) -> None:
        self.query(plan, "status", index)

    @rule(plan=fault_plans(POLLS), index=st.integers(0, 20), timeout=st.sampled_from([None, 0.0, 5.0]))
    def wait(self, plan: FaultPlan, index: int, timeout: float | None) -> None:
        self.query(plan, "wait", index, timeout)

    @rule(plan=fault_plans(POLLS, FILES), index=st.integers(0, 20))
    def save(self, plan: FaultPlan, index: int) -> None:
        self.query(plan, "save", index, str(self.target))

    def query(self, plan: FaultPlan, command: str, index: int, *arguments: Any) -> None:
        # Not a precondition, here and below: it depends on the threads of a batch, and a repeated example must be able to run it.
        if not self.submitted_rows():
            return
        row = self.submitted_rows()[index % len(self.submitted_rows())]
        job, corrupted = self.jobs[row.request_id or ""], self.count_corrupted()
        with suppress(ProcessKilled):
            outcome = self.call(plan, command, row.request_id, row.model, *arguments)
            if not isinstance(outcome, Raised):
                assert command == "status" or not job.fails
                return
            # A status is asked for a short time, which other failures may use up before the third 404.
            is_cut_short = command == "status" and self.may_have_expired(job)
            is_expected = {
                "JobFailed": job.fails or self.may_be_misreported(job),
                "JobExpired": self.may_have_expired(job),
                "NotFound": is_cut_short,
                "TransportError": is_cut_short,
                "WaitTimeout": command == "wait" and arguments != (None,),
                "StorageError": self.count_corrupted() > corrupted,
            }
            assert is_expected[outcome.name], outcome

    def submitted_rows(self) -> list[Row]:
        return [row for row in self.rows if row.request_id is not None]

    def unrecorded_jobs(self) -> dict[str, Job]:
        """Return the jobs that no entry has."""
        recorded = {row.request_id for row in self.rows}
        return {job_id: job for job_id, job in self.jobs.items() if job_id not in recorded}

    def may_have_expired(self, job: Job) -> bool:
        return self.now + SLACK > job.submitted + LATENCY[job.model] + HOUR

    def may_be_misreported(self, job: Job) -> bool:
        """Return whether only the history can know a job, and has called all jobs FAILED."""
        answers = self.received("GET", "/inference-request/")
        return self.may_have_expired(job) and any(answer.fault == "misreport" for answer in answers)

    def count_corrupted(self) -> int:
        """Count the files that arrived as something else, so that a client cannot know whether they are whole."""
        return sum(entry.fault == "garbage" for entry in self.received("GET", "/media/"))

    @rule(seconds=st.sampled_from([1.0, 10.0, 60.0, 1800.0, HOUR, HOUR + 60]))
    def time_passes(self, seconds: float) -> None:
        self.sleep(seconds)

    @rule(seconds=st.sampled_from([0.0, 1.0, 90.0, 600.0, 2 * HOUR]))
    def history_lags(self, seconds: float) -> None:
        """Delay all rows of the history, also those that are there already."""
        self.sandbox.delay_history(seconds)

    @rule(plan=fault_plans())
    def reconcile(self, plan: FaultPlan) -> None:
        submits, before = self.submits(), {row.id for row in self.rows if row.is_open}
        expired = {row.id for row in self.rows if row.state == "EXPIRED"}
        with suppress(ProcessKilled):
            states = dict(self.call(plan, "reconcile"))
            # An expired job is in the list if the request history has it again.
            assert before <= set(states) <= before | expired
            assert {states[number] for number in expired & set(states)} <= {"QUEUED"}
            assert {row.id for row in self.rows if row.is_open} == {
                number for number, state in states.items() if state == "UNCERTAIN"
            }
            self.abandoned.clear()
        assert self.submits() == submits

    @rule()
    def close(self) -> None:
        if self.client is not None:
            self.client.end()
            self.client = None

    @rule()
    def look_up(self) -> None:
        """Read the journal as `kling jobs` does, in another process than the client."""
        with closing(Journal(self.journal)) as journal:
            journal.entries()
        self.observe()
        assert not [row for row in self.rows if row.state == "SUBMITTING"]
        self.abandoned.clear()

    @rule()
    def resolve(self) -> None:
        """Resolve an entry as `kling jobs resolve` does, for a user who has found the job."""
        row = next((row for row in self.rows if row.state == "UNCERTAIN"), None)
        if row is None:
            return
        job_ids = [job_id for job_id, job in self.unrecorded_jobs().items() if job.body == row.body]
        with closing(Journal(self.journal)) as journal:
            journal.resolve(row.id, job_ids[0] if job_ids else None)
        self.observe()

    @rule(plan=fault_plans(POLLS, FILES), concurrency=st.sampled_from([1, 4]))
    def resume(self, plan: FaultPlan, concurrency: int) -> None:
        submits, corrupted = self.submits(), self.count_corrupted()
        unfinished = [row.id for row in self.rows if not row.has_ended or (row.save_to and not row.files)]
        alive = [job_id for job_id, job in self.jobs.items() if not self.may_have_expired(job)]
        try:
            errors = dict(self.call(plan, "resume", str(self.target), concurrency))
        except ProcessKilled:
            assert self.submits() == submits
            return
        assert self.submits() == submits
        self.abandoned.clear()
        assert {row.id for row in self.rows if row.is_open} == {
            number for number, error in errors.items() if error == "SubmitUncertain"
        }
        for row in self.rows:
            assert row.is_open or row.has_ended
            if row.id in unfinished and row.request_id in alive:
                assert row.state in ("COMPLETED", "FAILED")
            if row.id in unfinished and row.state == "COMPLETED" and not row.files:
                assert errors[row.id] == "StorageError"
                assert self.count_corrupted() > corrupted
            elif row.id in unfinished and row.state == "COMPLETED":
                assert not [*self.target.glob(f".*{row.request_id}*")]

    def teardown(self) -> None:
        """Resume everything when the history is complete: every job is found, and has ended."""
        try:
            if sys.exc_info()[0] is None:
                self.sandbox.delay_history(0.0)
                self.resume(FaultPlan(), 4)
                self.judge()
                assert not self.unrecorded_jobs()
                assert all(row.state in ("COMPLETED", "FAILED") for row in self.submitted_rows())
        finally:
            if self.client is not None:
                self.client.end()
            shutil.rmtree(self.folder)

    # Invariants.

    @invariant()
    def judge(self) -> None:
        self.check_one_entry_per_job()
        self.check_no_job_is_lost()
        self.check_files_are_whole()

    def check_one_entry_per_job(self) -> None:
        """Promise 1: every intent has one job, and every job one entry: by its id, or one of its body that is uncertain."""
        assert max(Counter(job.intent for job in self.jobs.values()).values(), default=1) == 1
        started = [self.intents[row.id] for row in self.rows if row.state != "REFUSED"]
        assert len(started) == len(set(started))
        submitted = self.submitted_rows()
        assert len({row.request_id for row in submitted}) == len(submitted)
        assert all(self.jobs[row.request_id or ""].body == row.body for row in submitted)
        waiting = Counter(job.body for job in self.unrecorded_jobs().values())
        assert waiting <= Counter(row.body for row in self.rows if row.is_open)

    def check_no_job_is_lost(self) -> None:
        """Promise 2: an ended entry keeps its true state, and no more entries are uncertain than have a reason."""
        for row in self.rows:
            assert row.state != "SUBMITTING" or row.id in self.abandoned
            # What has expired may be found in the history later, and goes on.
            assert self.ended.pop(row.id, None) in (None, row.state, "EXPIRED")
            if row.has_ended:
                self.ended[row.id] = row.state
            job = self.jobs.get(row.request_id or "")
            if job is not None:
                assert row.state != "REFUSED"
                assert row.state != "COMPLETED" or not job.fails
                assert row.state != "FAILED" or job.fails or self.may_be_misreported(job)
                assert row.state != "EXPIRED" or self.may_have_expired(job)
        assert sum(row.is_open for row in self.rows) <= self.kills + self.count_uncertain()

    def check_files_are_whole(self) -> None:
        """Promise 6: every file is whole."""
        stored = {file["url"]: file for row in self.rows for file in row.files}
        parts = 0
        for path in self.target.glob("*"):
            if path.name.startswith("."):
                parts += 1
                continue
            content = path.read_bytes()
            assert content == self.rendered_content(path)
            file = stored.pop(path.as_uri(), None)
            assert file is None or (file["size"], file["sha256"]) == (
                len(content),
                hashlib.sha256(content).hexdigest(),
            )
        assert not stored
        assert parts <= self.kills

    def rendered_content(self, path: Path) -> bytes:
        """Return the file that the sandbox rendered for the job in the name of a file."""
        [job_id] = [job_id for job_id in self.jobs if path.stem.endswith(job_id)]
        assert path.stem == f"{self.jobs[job_id].model}-{job_id}"
        if job_id not in self.rendered:
            faults, self.sandbox.faults = self.sandbox.faults, Faults()
            with urllib.request.urlopen(f"{self.sandbox.base_url}/media/{job_id}{path.suffix}") as answer:
                self.rendered[job_id] = answer.read()
            self.sandbox.faults = faults
        return self.rendered[job_id]
