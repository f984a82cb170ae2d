"""Exported spans and metrics of the jobs of both clients, with real servers."""

from __future__ import annotations

import ssl
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from kling_sandbox import BLOCKED_TEXT, KEY_NO_CREDITS, Sandbox
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

import kling_adapters as ka
from kling_adapters import AsyncKling, Kling
from kling_adapters.testing import MP4, SimulatedClock
from tests.plugins.opentelemetry.conftest import PROMPT, Host, attributes
from tests.support.clients import OpenClient
from tests.support.scripted_server import (
    KEY,
    Hangup,
    Reply,
    ScriptedServer,
    failure_reply,
    gateway_script,
    json_reply,
    result_reply,
    status_reply,
    submit_reply,
)


def parent_id(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def span_id(span: ReadableSpan) -> int:
    assert span.context
    return int(span.context.span_id)


def duration(span: ReadableSpan) -> float:
    """Return the duration of a span in seconds."""
    return ((span.end_time or 0) - (span.start_time or 0)) / 1e9


def test_job_span_has_parent_and_step_children(
    open_client: OpenClient, sandbox: Sandbox, host: Host, tmp_path: Path
) -> None:
    def scenario(kling: Any) -> Any:
        with host.tracer.start_as_current_span("make a teaser"):
            return kling.run("kling-2", prompt=PROMPT, save_to=tmp_path)

    before = time.time_ns()
    with open_client(sandbox, plugins=[host.plugin()]) as kling:
        result = scenario(kling)
    assert Counter(span.name for span in host.spans) == Counter(
        ["make a teaser", "kling.job", "kling.submit", "kling.poll", "kling.store"]
    )
    outer, job = host.single_span("make a teaser"), host.single_span("kling.job")
    steps = [host.single_span(name) for name in ("kling.submit", "kling.poll", "kling.store")]
    assert parent_id(job) == span_id(outer)
    assert {parent_id(step) for step in steps} == {span_id(job)}
    assert len({span.context.trace_id for span in host.spans if span.context}) == 1

    submit, poll, store = steps
    common = {"gen_ai.request.model": "kling-2", "kling.request_id": result.request_id}
    assert attributes(job) == {**common, "kling.outcome": "completed", "kling.cost": 0.5}
    assert attributes(submit) == common
    assert attributes(poll) == {**common, "kling.polls": 4}
    assert attributes(store) == {**common, "kling.files": 1, "kling.bytes": result.saved[0].size}
    assert {span.status.status_code for span in host.spans} == {StatusCode.UNSET}
    assert [event.attributes for event in job.events] == [
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


def test_spans_and_histogram_have_real_durations(host: Host, tmp_path: Path) -> None:
    clock = SimulatedClock()
    with (
        ScriptedServer() as server,
        Kling(base_url=server.url, api_key=KEY, clock=clock, plugins=[host.plugin()]) as kling,
    ):
        server.play(
            gateway_script(
                submit=[json_reply(429), submit_reply()],
                result=[result_reply(f"{server.url}/files/a.mp4")],
                files=[Hangup(), Reply(200, MP4)],
            )
        )
        job = kling.submit("kling-2", prompt=PROMPT)
        submit_seconds = sum(clock.slept)
        result = job.wait()
        wait_end = sum(clock.slept)
        result.save(tmp_path)
    submit, store = host.single_span("kling.submit"), host.single_span("kling.store")
    assert 0 < submit_seconds == pytest.approx(duration(submit))
    assert 0 < sum(clock.slept) - wait_end == pytest.approx(duration(store))
    assert host.single_span("kling.job").start_time == submit.start_time
    assert f'"sum": {duration(host.single_span("kling.job"))}' in host.exported_text()


def test_jobs_without_current_span_are_separate_traces(
    open_client: OpenClient, sandbox: Sandbox, host: Host
) -> None:
    with open_client(sandbox, plugins=[host.plugin()]) as kling:
        kling.run("kling-2", prompt=PROMPT)
        kling.run("kling-o1", prompt=PROMPT, image_urls=IMAGES)
    jobs = host.spans_named("kling.job")
    assert [parent_id(job) for job in jobs] == [None, None]
    assert len({span.context.trace_id for span in host.spans if span.context}) == 2
    assert host.totals()["kling.jobs"] == {("kling-2",): 1, ("kling-o1",): 1}


def test_failed_job_is_error(open_client: OpenClient, sandbox: Sandbox, host: Host) -> None:
    with pytest.raises(ka.JobFailed), open_client(sandbox, plugins=[host.plugin()]) as kling:
        kling.run("kling-2", prompt=f"{PROMPT} {BLOCKED_TEXT}")
    job = host.single_span("kling.job")
    assert (attributes(job)["kling.outcome"], attributes(job)["error.type"]) == ("failed", "failed")
    assert (job.status.status_code, job.status.description) == (StatusCode.ERROR, None)
    assert attributes(host.single_span("kling.poll"))["kling.polls"] == 3
    assert host.totals() == {
        "kling.jobs": {("kling-2",): 1},
        "kling.failures": {("kling-2", "failed"): 1},
        "kling.polls": {("kling-2",): 3},
        "kling.job.duration": {("kling-2", "failed"): 1},
    }


def test_expired_job_is_error(open_client: OpenClient, sandbox: Sandbox, host: Host) -> None:
    with open_client(sandbox, plugins=[host.plugin()], history=False) as kling:
        job = kling.submit("kling-2", prompt=PROMPT)
        for _ in range(3):
            job.status()  # the last poll ends the job
        sandbox.advance(2 * 3600)
        with pytest.raises(ka.JobExpired):
            job.wait()
    job = host.single_span("kling.job")
    assert (attributes(job)["kling.outcome"], attributes(job)["error.type"]) == ("expired", "expired")
    assert job.status.status_code is StatusCode.ERROR
    assert host.totals()["kling.failures"] == {("kling-2", "expired"): 1}
    assert "kling.job.duration" not in host.totals()


def test_failed_submit_is_job_with_error(open_client: OpenClient, sandbox: Sandbox, host: Host) -> None:
    with (
        open_client(sandbox, plugins=[host.plugin()], api_key=KEY_NO_CREDITS) as kling,
        host.tracer.start_as_current_span("outer"),
        pytest.raises(ka.InsufficientCredits),
    ):
        kling.submit("kling-2", prompt=PROMPT)
    job, submit = host.single_span("kling.job"), host.single_span("kling.submit")
    assert (parent_id(job), parent_id(submit)) == (span_id(host.single_span("outer")), span_id(job))
    for span in (job, submit):
        assert attributes(span) == {
            "gen_ai.request.model": "kling-2",
            "kling.outcome": "submit_failed",
            "error.type": "submit_failed",
        }
        assert span.status.status_code is StatusCode.ERROR
    assert host.totals() == {"kling.failures": {("kling-2", "submit_failed"): 1}}


def test_uncertain_submit_has_error_type(open_client: OpenClient, sandbox: Sandbox, host: Host) -> None:
    with (
        ScriptedServer([Hangup()]) as server,
        pytest.raises(ka.SubmitUncertain),
        open_client(server.url, plugins=[host.plugin()], api_key=KEY) as kling,
    ):
        kling.submit("kling-2", prompt=PROMPT)
    assert attributes(host.single_span("kling.job"))["error.type"] == "uncertain"
    assert host.totals() == {"kling.failures": {("kling-2", "uncertain"): 1}}


def test_job_opened_by_id_starts_at_first_event(
    open_client: OpenClient, sandbox: Sandbox, host: Host
) -> None:
    with open_client(sandbox) as kling:
        request_id = kling.submit("kling-2", prompt=PROMPT).request_id
    with (
        open_client(sandbox, plugins=[host.plugin()]) as kling,
        host.tracer.start_as_current_span("later"),
    ):
        kling.job(request_id).wait()
    job = host.single_span("kling.job")
    assert parent_id(job) == span_id(host.single_span("later"))
    assert attributes(job) == {
        "kling.request_id": request_id,
        "kling.outcome": "completed",
        "kling.cost": 0.5,
    }
    assert parent_id(host.single_span("kling.poll")) == span_id(job)
    assert not host.spans_named("kling.submit")
    # The submit time is unknown, so there is no duration; the submitting client counts the job.
    assert host.totals() == {"kling.cost": {(): 0.5}, "kling.polls": {(): 4}}


def test_second_wait_does_not_count_job_again(open_client: OpenClient, sandbox: Sandbox, host: Host) -> None:
    with open_client(sandbox, plugins=[host.plugin()]) as kling:
        job = kling.submit("kling-2", prompt=PROMPT)
        job.wait()
        kling.job(job.request_id).wait()
    assert attributes(host.single_span("kling.poll"))["kling.polls"] == 4
    assert len(host.spans_named("kling.job")) == 1
    totals = host.totals()
    assert (totals["kling.cost"], totals["kling.jobs"]) == ({("kling-2",): 0.5}, {("kling-2",): 1})
    assert totals["kling.polls"] == {("kling-2",): 4, (): 2}


def test_later_store_spans_are_children_of_job(
    open_client: OpenClient, sandbox: Sandbox, host: Host, tmp_path: Path
) -> None:
    with open_client(sandbox, plugins=[host.plugin()]) as kling:
        result = kling.run("kling-2", prompt=PROMPT)
        with host.tracer.start_as_current_span("elsewhere"):
            for folder in ("a", "b"):
                result.save(tmp_path / folder)
    job = host.single_span("kling.job")
    assert [parent_id(span) for span in host.spans_named("kling.store")] == [span_id(job)] * 2


def test_close_ends_spans_of_unfinished_jobs(open_client: OpenClient, sandbox: Sandbox, host: Host) -> None:
    with open_client(sandbox, plugins=[host.plugin()]) as kling:
        kling.submit("kling-2", prompt=PROMPT)
        assert not host.spans_named("kling.job")
        polled = kling.submit("kling-2", prompt=PROMPT)
        with pytest.raises(ka.WaitTimeout):
            polled.wait(timeout=0)
    jobs = host.spans_named("kling.job")
    assert [attributes(job)["kling.outcome"] for job in jobs] == ["unknown", "unknown"]
    assert [len(job.events) for job in jobs] == [0, 1]
    assert jobs[0].end_time == host.spans_named("kling.submit")[0].end_time


def test_job_is_dropped_an_hour_after_last_event(
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
        assert len(host.spans_named("kling.job")) == 2
        now += 1
        last = kling.submit("kling-2", prompt=PROMPT)
        abandoned = host.spans_named("kling.job")[2:]
        assert [attributes(job)["kling.outcome"] for job in abandoned] == ["unknown"] * 5
        assert {job.end_time for job in abandoned} == {now - hour - 1}
        # Storing after the retention uses the current span as parent.
        with host.tracer.start_as_current_span("much later"):
            result.save(tmp_path)
        assert parent_id(host.single_span("kling.store")) == span_id(host.single_span("much later"))
        last.wait()
        polled.wait()
    assert [attributes(job)["kling.outcome"] for job in host.spans_named("kling.job")[7:]] == [
        "completed"
    ] * 2


def test_repeated_request_id_leaves_no_open_span(host: Host) -> None:
    with (
        ScriptedServer(gateway_script(status=[status_reply("PROCESSING"), failure_reply()])) as server,
        Kling(base_url=server.url, api_key=KEY, clock=SimulatedClock(), plugins=[host.plugin()]) as kling,
    ):
        kling.submit("kling-2", prompt=PROMPT)
        with pytest.raises(ka.JobFailed):
            kling.run("kling-2", prompt=PROMPT)
    assert [attributes(job)["kling.outcome"] for job in host.spans_named("kling.job")] == [
        "unknown",
        "failed",
    ]


def test_clients_share_only_the_providers(sandbox: Sandbox, host: Host) -> None:
    options: dict[str, Any] = {"base_url": sandbox.base_url, "api_key": sandbox.api_key}
    with Kling(clock=SimulatedClock(), plugins=[host.plugin()], **options) as first:
        waiting = first.submit("kling-2", prompt=PROMPT)
        with Kling(clock=SimulatedClock(), plugins=[host.plugin()], **options) as second:
            second.submit("kling-2", prompt=PROMPT)
        assert attributes(host.single_span("kling.job"))["kling.outcome"] == "unknown"
        waiting.wait()
    assert [attributes(job)["kling.outcome"] for job in host.spans_named("kling.job")] == [
        "unknown",
        "completed",
    ]
    assert host.totals()["kling.jobs"] == {("kling-2",): 2}


def assert_jobs_have_own_parents(host: Host, expected: int) -> None:
    outer = {span_id(span): span for span in host.spans if span.name.startswith("outer ")}
    jobs = {span_id(span): span for span in host.spans_named("kling.job")}
    assert len(outer) == len(jobs) == expected
    for job in jobs.values():
        outer_span = outer.pop(parent_id(job) or 0)
        assert attributes(job)["kling.request_id"] == attributes(outer_span)["id"]
        assert attributes(job)["kling.params.prompt"] == outer_span.name
    for name in ("kling.submit", "kling.poll", "kling.store"):
        steps = {parent_id(span): span for span in host.spans_named(name)}
        assert steps.keys() == jobs.keys()
        for job_id, step in steps.items():
            assert attributes(step)["kling.request_id"] == attributes(jobs[job_id or 0])["kling.request_id"]
    assert not outer
    assert host.totals()["kling.jobs"] == {("kling-o1",): expected}
    assert host.totals()["kling.job.duration"] == {("kling-o1", "completed"): expected}


IMAGES = ["https://example.com/a.png"]
DAY = 86400.0
"""Seconds: the sleeps of all jobs add up on one simulated clock."""


def test_concurrent_jobs_keep_parents_in_threads(
    sandbox: Sandbox, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every submit loads the CA certificates, which takes most of the time of this test.
    certificates = ssl.create_default_context()
    monkeypatch.setattr(ssl, "create_default_context", lambda **_: certificates)
    with Kling(
        base_url=sandbox.base_url,
        api_key=sandbox.api_key,
        clock=SimulatedClock(),
        plugins=[host.plugin(params=True)],
    ) as kling:

        def run_job(number: int) -> None:
            with host.tracer.start_as_current_span(f"outer {number}") as span:
                result = kling.run("kling-o1", timeout=DAY, prompt=f"outer {number}", image_urls=IMAGES)
                result.save(tmp_path)
                span.set_attribute("id", result.request_id)

        with ThreadPoolExecutor(50) as threads:
            list(threads.map(run_job, range(50)))
    assert_jobs_have_own_parents(host, 50)


def test_concurrent_jobs_keep_parents_in_tasks(sandbox: Sandbox, host: Host, tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncKling(
            base_url=sandbox.base_url,
            api_key=sandbox.api_key,
            clock=SimulatedClock(),
            plugins=[host.plugin(params=True)],
        ) as kling:

            async def run_job(number: int) -> None:
                with host.tracer.start_as_current_span(f"outer {number}") as span:
                    result = await kling.run(
                        "kling-o1", timeout=DAY, prompt=f"outer {number}", image_urls=IMAGES
                    )
                    await result.save(tmp_path)
                    span.set_attribute("id", result.request_id)

            async with anyio.create_task_group() as group:
                for number in range(50):
                    group.start_soon(run_job, number)

    anyio.run(main)
    assert_jobs_have_own_parents(host, 50)
