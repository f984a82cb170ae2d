"""Spans and metrics as the SDK of a host exports them: through both clients, from jobs of real servers."""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from kling_opentelemetry import OpenTelemetry
from kling_sandbox import BLOCKED_TEXT, KEY_NO_CREDITS, Sandbox
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

import kling_adapters as ka
from kling_adapters import AsyncKling, Kling
from kling_adapters.testing import SimulatedClock
from tests.faults.stub import (
    JOB,
    KEY,
    VIDEO,
    Hangup,
    Reply,
    Stub,
    accepted,
    failed,
    finished,
    gateway,
    reply,
    state,
)
from tests.runtime.conftest import Play

PROMPT = "a lighthouse nobody may hear of"
README = Path(__file__).parents[2] / "plugins/opentelemetry/README.md"


class Host:
    """What an application sets up: providers of its own, and a look at what they export."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self.traces = TracerProvider()
        self.traces.add_span_processor(SimpleSpanProcessor(self._spans))
        self.tracer = self.traces.get_tracer("host")
        self._reader = InMemoryMetricReader()
        self.metrics = MeterProvider([self._reader])

    def plugin(self, **options: Any) -> OpenTelemetry:
        return OpenTelemetry(tracer_provider=self.traces, meter_provider=self.metrics, **options)

    @property
    def spans(self) -> list[ReadableSpan]:
        """In the order in which they ended."""
        return list(self._spans.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        [span] = self.named(name)
        return span

    def totals(self) -> dict[str, dict[tuple[Any, ...], Any]]:
        """By metric, what was counted by values of its attributes; of the histogram the number of jobs."""
        data = self._reader.get_metrics_data()
        return {
            metric.name: {
                tuple((point.attributes or {}).values()): getattr(
                    point, "value", getattr(point, "count", None)
                )
                for point in metric.data.data_points
            }
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def everything(self) -> str:
        """All that leaves the process."""
        data = self._reader.get_metrics_data()
        return "\n".join([*(span.to_json() for span in self.spans), data.to_json() if data else ""])


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.traces.shutdown()
    host.metrics.shutdown()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(timing="polls:2") as running:
        yield running


@pytest.fixture(params=[Kling, AsyncKling], ids=["sync", "async"])
def play(request: pytest.FixtureRequest, sandbox: Sandbox) -> Play:
    return Play(request.param, sandbox)


def facts(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def identity(span: ReadableSpan) -> int:
    assert span.context
    return int(span.context.span_id)


def length(span: ReadableSpan) -> float:
    """In seconds."""
    return ((span.end_time or 0) - (span.start_time or 0)) / 1e9


def test_a_job_is_a_span_within_the_current_one_and_its_steps_are_spans_within_it(
    play: Play, host: Host, tmp_path: Path
) -> None:
    async def scenario(kling: Any) -> Any:
        with host.tracer.start_as_current_span("make a teaser"):
            return await kling.run("kling-2", prompt=PROMPT, save_to=tmp_path)

    before = time.time_ns()
    result = play(scenario, plugins=[host.plugin()])
    assert Counter(span.name for span in host.spans) == Counter(
        ["make a teaser", "kling.job", "kling.submit", "kling.poll", "kling.store"]
    )
    outer, job = host.one("make a teaser"), host.one("kling.job")
    steps = [host.one(name) for name in ("kling.submit", "kling.poll", "kling.store")]
    assert parent(job) == identity(outer)
    assert {parent(step) for step in steps} == {identity(job)}
    assert len({span.context.trace_id for span in host.spans if span.context}) == 1

    submit, poll, store = steps
    about = {"gen_ai.request.model": "kling-2", "kling.request_id": result.request_id}
    assert facts(job) == {**about, "kling.outcome": "completed", "kling.cost": 0.5}
    assert facts(submit) == about
    assert facts(poll) == {**about, "kling.polls": 4}
    assert facts(store) == {**about, "kling.files": 1, "kling.bytes": result.saved[0].bytes}
    assert {span.status.status_code for span in host.spans} == {StatusCode.UNSET}
    assert [facts_of.attributes for facts_of in job.events] == [
        {"kling.state": "QUEUED"},
        {"kling.state": "PROCESSING"},
    ]
    assert host.totals() == {
        "kling.jobs": {("kling-2",): 1},
        "kling.cost": {("kling-2",): 0.5},
        "kling.polls": {("kling-2",): 4},
        "kling.job.duration": {("kling-2", "completed"): 1},
    }

    times = [before]
    for span in (submit, poll):
        times += [span.start_time or 0, span.end_time or 0]
    assert job.start_time == submit.start_time
    assert submit.end_time == poll.start_time
    assert job.end_time == poll.end_time
    assert all(first <= second for first, second in pairwise(times))
    assert (store.end_time or 0) > times[-1]


def test_spans_and_the_histogram_last_as_long_as_what_they_tell_of(host: Host, tmp_path: Path) -> None:
    clock = SimulatedClock()
    with (
        Stub() as stub,
        Kling(base_url=stub.url, api_key=KEY, clock=clock, plugins=[host.plugin()]) as kling,
    ):
        stub.play(
            gateway(
                submit=[reply(429), accepted()],
                result=[finished(f"{stub.url}/files/a.mp4")],
                files=[Hangup(), Reply(200, VIDEO)],
            )
        )
        job = kling.submit("kling-2", prompt=PROMPT)
        submitted = sum(clock.slept)
        result = job.wait()
        waited = sum(clock.slept)
        result.save(tmp_path)
    submit, store = host.one("kling.submit"), host.one("kling.store")
    assert 0 < submitted == pytest.approx(length(submit))
    assert 0 < sum(clock.slept) - waited == pytest.approx(length(store))
    assert host.one("kling.job").start_time == submit.start_time
    assert f'"sum": {length(host.one("kling.job"))}' in host.everything()


def test_without_a_current_span_every_job_is_a_trace_of_its_own(play: Play, host: Host) -> None:
    async def scenario(kling: Any) -> None:
        await kling.run("kling-2", prompt=PROMPT)
        await kling.run("kling-o1", prompt=PROMPT, image_urls=IMAGES)

    play(scenario, plugins=[host.plugin()])
    jobs = host.named("kling.job")
    assert [parent(job) for job in jobs] == [None, None]
    assert len({span.context.trace_id for span in host.spans if span.context}) == 2
    assert host.totals()["kling.jobs"] == {("kling-2",): 1, ("kling-o1",): 1}


def test_a_job_that_failed_is_an_error(play: Play, host: Host) -> None:
    async def scenario(kling: Any) -> None:
        await kling.run("kling-2", prompt=f"{PROMPT} {BLOCKED_TEXT}")

    with pytest.raises(ka.JobFailed):
        play(scenario, plugins=[host.plugin()])
    job = host.one("kling.job")
    assert (facts(job)["kling.outcome"], facts(job)["error.type"]) == ("failed", "failed")
    assert (job.status.status_code, job.status.description) == (StatusCode.ERROR, None)
    assert facts(host.one("kling.poll"))["kling.polls"] == 3
    assert host.totals() == {
        "kling.jobs": {("kling-2",): 1},
        "kling.failures": {("kling-2", "failed"): 1},
        "kling.polls": {("kling-2",): 3},
        "kling.job.duration": {("kling-2", "failed"): 1},
    }


def test_a_job_whose_record_has_expired_is_an_error(play: Play, host: Host) -> None:
    async def scenario(kling: Any) -> None:
        job = await kling.submit("kling-2", prompt=PROMPT)
        for _ in range(3):
            await job.status()  # which ends it
        play.sandbox.advance(2 * 3600)
        await job.wait()

    with pytest.raises(ka.JobExpired):
        play(scenario, plugins=[host.plugin()])
    job = host.one("kling.job")
    assert (facts(job)["kling.outcome"], facts(job)["error.type"]) == ("expired", "expired")
    assert job.status.status_code is StatusCode.ERROR
    assert host.totals()["kling.failures"] == {("kling-2", "expired"): 1}
    assert "kling.job.duration" not in host.totals()


def test_a_submit_that_failed_is_a_job_that_came_to_nothing(play: Play, host: Host) -> None:
    async def scenario(kling: Any) -> None:
        with host.tracer.start_as_current_span("outer"):
            await kling.submit("kling-2", prompt=PROMPT)

    with pytest.raises(ka.InsufficientCredits):
        play(scenario, plugins=[host.plugin()], api_key=KEY_NO_CREDITS)
    job, submit = host.one("kling.job"), host.one("kling.submit")
    assert (parent(job), parent(submit)) == (identity(host.one("outer")), identity(job))
    for span in (job, submit):
        assert facts(span) == {
            "gen_ai.request.model": "kling-2",
            "kling.outcome": "submit_failed",
            "error.type": "submit_failed",
        }
        assert span.status.status_code is StatusCode.ERROR
    assert host.totals() == {"kling.failures": {("kling-2", "submit_failed"): 1}}


def test_a_submit_that_is_uncertain_says_so(play: Play, host: Host) -> None:
    async def scenario(kling: Any) -> None:
        await kling.submit("kling-2", prompt=PROMPT)

    with Stub([Hangup()]) as stub, pytest.raises(ka.SubmitUncertain):
        play(scenario, plugins=[host.plugin()], base_url=stub.url, api_key=KEY)
    assert facts(host.one("kling.job"))["error.type"] == "uncertain"
    assert host.totals() == {"kling.failures": {("kling-2", "uncertain"): 1}}


def test_a_job_found_by_its_id_begins_with_the_first_that_is_heard_of_it(play: Play, host: Host) -> None:
    async def submit(kling: Any) -> Any:
        return (await kling.submit("kling-2", prompt=PROMPT)).request_id

    async def wait(kling: Any) -> None:
        with host.tracer.start_as_current_span("later"):
            await kling.job(request_id).wait()

    request_id = play(submit)
    play(wait, plugins=[host.plugin()])
    job = host.one("kling.job")
    assert parent(job) == identity(host.one("later"))
    assert facts(job) == {"kling.request_id": request_id, "kling.outcome": "completed", "kling.cost": 0.5}
    assert parent(host.one("kling.poll")) == identity(job)
    assert not host.named("kling.submit")
    # When it was submitted is not known, so neither is how long it took; and whoever did so has counted it.
    assert host.totals() == {"kling.cost": {(): 0.5}, "kling.polls": {(): 4}}


def test_a_job_that_is_waited_for_twice_is_counted_once(play: Play, host: Host) -> None:
    async def scenario(kling: Any) -> None:
        job = await kling.submit("kling-2", prompt=PROMPT)
        await job.wait()
        await kling.job(job.request_id).wait()

    play(scenario, plugins=[host.plugin()])
    assert facts(host.one("kling.poll"))["kling.polls"] == 4
    assert len(host.named("kling.job")) == 1
    totals = host.totals()
    assert (totals["kling.cost"], totals["kling.jobs"]) == ({("kling-2",): 0.5}, {("kling-2",): 1})
    assert totals["kling.polls"] == {("kling-2",): 4, (): 2}


def test_storing_again_and_later_is_still_within_the_job(play: Play, host: Host, tmp_path: Path) -> None:
    async def scenario(kling: Any) -> None:
        result = await kling.run("kling-2", prompt=PROMPT)
        with host.tracer.start_as_current_span("elsewhere"):
            for folder in ("a", "b"):
                await result.save(tmp_path / folder)

    play(scenario, plugins=[host.plugin()])
    job = host.one("kling.job")
    assert [parent(span) for span in host.named("kling.store")] == [identity(job)] * 2


def test_closing_the_client_ends_the_spans_of_jobs_nobody_waited_for(play: Play, host: Host) -> None:
    async def scenario(kling: Any) -> None:
        await kling.submit("kling-2", prompt=PROMPT)
        assert not host.named("kling.job")
        waited = await kling.submit("kling-2", prompt=PROMPT)
        with pytest.raises(ka.WaitTimeout):
            await waited.wait(timeout=0)

    play(scenario, plugins=[host.plugin()])
    jobs = host.named("kling.job")
    assert [facts(job)["kling.outcome"] for job in jobs] == ["unknown", "unknown"]
    assert [len(job.events) for job in jobs] == [0, 1]
    assert jobs[0].end_time == host.named("kling.submit")[0].end_time


def test_a_job_is_forgotten_an_hour_after_it_was_last_heard_of(
    sandbox: Sandbox, host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plugin, now, hour = host.plugin(), time.time_ns(), 3600 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: now)
    with Kling(
        base_url=sandbox.base_url, api_key=sandbox.api_key, clock=SimulatedClock(), plugins=[plugin]
    ) as kling:
        polled = kling.submit("kling-2", prompt=PROMPT)
        for _ in range(5):
            kling.submit("kling-2", prompt=PROMPT)
        result = kling.run("kling-2", prompt=PROMPT)
        now += hour
        with pytest.raises(ka.WaitTimeout):
            polled.wait(timeout=0)
        kling.run("kling-2", prompt=PROMPT)
        assert len(host.named("kling.job")) == 2
        now += 1
        last = kling.submit("kling-2", prompt=PROMPT)
        abandoned = host.named("kling.job")[2:]
        assert [facts(job)["kling.outcome"] for job in abandoned] == ["unknown"] * 5
        assert {job.end_time for job in abandoned} == {now - hour - 1}
        # What comes later than that still finds a place.
        with host.tracer.start_as_current_span("much later"):
            result.save(tmp_path)
        assert parent(host.one("kling.store")) == identity(host.one("much later"))
        last.wait()
        polled.wait()
    assert [facts(job)["kling.outcome"] for job in host.named("kling.job")[7:]] == ["completed"] * 2


def test_a_gateway_that_gives_an_id_twice_leaves_no_span_open(host: Host) -> None:
    with (
        Stub(gateway(status=[state("PROCESSING"), failed()])) as stub,
        Kling(base_url=stub.url, api_key=KEY, clock=SimulatedClock(), plugins=[host.plugin()]) as kling,
    ):
        kling.submit("kling-2", prompt=PROMPT)
        with pytest.raises(ka.JobFailed):
            kling.run("kling-2", prompt=PROMPT)
    assert [facts(job)["kling.outcome"] for job in host.named("kling.job")] == ["unknown", "failed"]


def test_two_clients_have_nothing_in_common_but_the_host(sandbox: Sandbox, host: Host) -> None:
    options: dict[str, Any] = {"base_url": sandbox.base_url, "api_key": sandbox.api_key}
    with Kling(clock=SimulatedClock(), plugins=[host.plugin()], **options) as first:
        waiting = first.submit("kling-2", prompt=PROMPT)
        with Kling(clock=SimulatedClock(), plugins=[host.plugin()], **options) as second:
            second.submit("kling-2", prompt=PROMPT)
        assert facts(host.one("kling.job"))["kling.outcome"] == "unknown"
        waiting.wait()
    assert [facts(job)["kling.outcome"] for job in host.named("kling.job")] == ["unknown", "completed"]
    assert host.totals()["kling.jobs"] == {("kling-2",): 2}


def each_job_is_within_its_own_span(host: Host, expected: int) -> None:
    outer = {identity(span): span for span in host.spans if span.name.startswith("outer ")}
    jobs = {identity(span): span for span in host.named("kling.job")}
    assert len(outer) == len(jobs) == expected
    for job in jobs.values():
        around = outer.pop(parent(job) or 0)
        assert facts(job)["kling.request_id"] == facts(around)["id"]
        assert facts(job)["kling.params.prompt"] == around.name
    for name in ("kling.submit", "kling.poll", "kling.store"):
        steps = {parent(span): span for span in host.named(name)}
        assert steps.keys() == jobs.keys()
        for around_id, step in steps.items():
            assert facts(step)["kling.request_id"] == facts(jobs[around_id or 0])["kling.request_id"]
    assert not outer
    assert host.totals()["kling.jobs"] == {("kling-o1",): expected}
    assert host.totals()["kling.job.duration"] == {("kling-o1", "completed"): expected}


IMAGES = ["https://example.com/a.png"]


def test_fifty_jobs_at_once_do_not_mix_in_threads(
    sandbox: Sandbox, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each submit reads all certificates of the world, which takes longer than the rest.
    certificates = ssl.create_default_context()
    monkeypatch.setattr(ssl, "create_default_context", lambda **_: certificates)
    with Kling(
        base_url=sandbox.base_url,
        api_key=sandbox.api_key,
        clock=SimulatedClock(),
        plugins=[host.plugin(params=True)],
    ) as kling:

        def one(number: int) -> None:
            with host.tracer.start_as_current_span(f"outer {number}") as span:
                result = kling.run("kling-o1", prompt=f"outer {number}", image_urls=IMAGES)
                result.save(tmp_path)
                span.set_attribute("id", result.request_id)

        with ThreadPoolExecutor(50) as threads:
            list(threads.map(one, range(50)))
    each_job_is_within_its_own_span(host, 50)


def test_fifty_jobs_at_once_do_not_mix_in_tasks(sandbox: Sandbox, host: Host, tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncKling(
            base_url=sandbox.base_url,
            api_key=sandbox.api_key,
            clock=SimulatedClock(),
            plugins=[host.plugin(params=True)],
        ) as kling:

            async def one(number: int) -> None:
                with host.tracer.start_as_current_span(f"outer {number}") as span:
                    result = await kling.run("kling-o1", prompt=f"outer {number}", image_urls=IMAGES)
                    await result.save(tmp_path)
                    span.set_attribute("id", result.request_id)

            async with anyio.create_task_group() as group:
                for number in range(50):
                    group.start_soon(one, number)

    anyio.run(main)
    each_job_is_within_its_own_span(host, 50)


def indiscreet() -> Stub:
    """A gateway whose reasons repeat the prompt."""
    return Stub(
        gateway(
            submit=[
                accepted(JOB),
                accepted(JOB.replace("5", "6")),
                reply(400, {"error": f"not a good prompt: {PROMPT}"}),
                Hangup(),
            ],
            status=[state("COMPLETED"), failed(f"blocked: {PROMPT}")],
            result=[finished("https://example.com/secret-address.mp4")],
        )
    )


@pytest.mark.parametrize("asked", ["no", "in code", "by the environment"])
def test_no_parameter_is_exported_unless_asked_and_the_key_never(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setenv("KLING_OPENTELEMETRY_PARAMS", "1" if asked == "by the environment" else "0")
    plugin = host.plugin(params=True) if asked == "in code" else host.plugin()
    with (
        indiscreet() as stub,
        Kling(base_url=stub.url, api_key=KEY, clock=SimulatedClock(), plugins=[plugin]) as kling,
    ):
        kling.submit_raw(
            "kling-o1", {"prompt": PROMPT, "n": 3, "loud": True, "image_urls": ["https://a/b.png"]}
        ).wait()
        for error in (ka.JobFailed, ka.BadRequest, ka.SubmitUncertain):
            with pytest.raises(error):
                kling.run("kling-2", prompt=PROMPT)
    assert len(host.named("kling.job")) == 4
    assert KEY not in host.everything()
    assert "secret-address" not in host.everything()
    if asked == "no":
        assert PROMPT not in host.everything()
        assert "b.png" not in host.everything()
        return
    completed, job_failed, submit_failed, uncertain = host.named("kling.job")
    assert {
        "kling.params.prompt": PROMPT,
        "kling.params.n": 3,
        "kling.params.loud": True,
        "kling.params.image_urls": '["https://a/b.png"]',
    }.items() <= facts(completed).items()
    assert job_failed.status.description == f"blocked: {PROMPT}"
    assert f"not a good prompt: {PROMPT}" in (submit_failed.status.description or "")
    assert "no usable answer" not in (uncertain.status.description or "no usable answer")


def run(code: str, folder: Path, sandbox: Sandbox) -> str:
    """Run a program of its own, in which every warning is an error, and return what it prints."""
    code = code.replace("Kling(", f"Kling(base_url={sandbox.base_url!r}, ")
    environment = {**os.environ, "SEGMIND_API_KEY": sandbox.api_key}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def test_the_examples_of_the_readme_run(tmp_path: Path) -> None:
    examples = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert len(examples) == 2
    with Sandbox() as sandbox:
        setup, options = (run(code, tmp_path, sandbox) for code in examples)
    assert len(list((tmp_path / "renders").iterdir())) == 1
    for name in ("make a teaser", "kling.job", "kling.submit", "kling.poll", "kling.store"):
        assert setup.count(f'"name": "{name}"') == 1
    assert setup.count('"name": "kling.job.duration"') == 1
    assert not options


def test_without_an_sdk_nothing_is_recorded_and_nothing_is_in_the_way(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["opentelemetry.sdk"] = None  # as if it were not installed
from kling_adapters import Kling, SubmitUncertain
with Kling(strict_plugins=True) as kling:
    [plugin] = [each for each in kling.plugins if each.name == "opentelemetry"]
    kling.submit("kling-2", prompt="never waited for")
    result = kling.run("kling-2", prompt="x", save_to=".")
print(plugin.state, plugin.hooks, len(result.saved))
"""
    with Sandbox() as sandbox:
        assert run(code, tmp_path, sandbox) == "loaded ('kling_close', 'kling_event') 1\n"


def test_every_name_that_is_exported_is_in_the_readme(host: Host, sandbox: Sandbox, tmp_path: Path) -> None:
    with Kling(
        base_url=sandbox.base_url, api_key=sandbox.api_key, clock=SimulatedClock(), plugins=[host.plugin()]
    ) as kling:
        kling.run("kling-2", prompt=PROMPT, save_to=tmp_path)
        with pytest.raises(ka.JobFailed):
            kling.run("kling-2", prompt=BLOCKED_TEXT)
    names = {name for span in host.spans for name in (span.name, *facts(span))} | host.totals().keys()
    readme = README.read_text("utf-8")
    assert len(names) == 15
    assert [name for name in sorted(names) if not re.search(rf"(`|── ){re.escape(name)}\b", readme)] == []
