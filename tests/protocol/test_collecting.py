"""Storing of files, answer by answer: which requests are repeated and how often, which file names are used, and which events are reported."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest

from kling_adapters import errors, events
from kling_adapters.journal.journal import Journal
from kling_adapters.protocol import effects
from kling_adapters.protocol.collect import Destination, collect, open_destination, save
from kling_adapters.protocol.file_names import FileName
from kling_adapters.protocol.gateway import Gateway
from kling_adapters.protocol.messages import Answer, Fault, Outcome
from kling_adapters.protocol.session import Session
from kling_adapters.result import Artifact, Metrics, ResultData
from kling_adapters.testing import MP4
from tests.support.memory_storage import URL, JobMemory, Memory, answer_with_file, make_video
from tests.support.scripted_flow import STARTED, Key, run

GATEWAY = Gateway("https://api.example.com")


def result(*artifacts: Artifact) -> ResultData:
    return ResultData("job", "kling-2", None, artifacts, Metrics(), {})


def run_collect(storage: Memory, outcomes: list[Any], *artifacts: Artifact) -> Any:
    session = Session(GATEWAY, Key)
    return run(collect(session, result(*(artifacts or [make_video()])), Destination(storage)), outcomes)


CUT = Fault("cut", sent=True)


def test_stored_file_is_recorded_and_reported(tmp_path: Path) -> None:
    storage = Memory()
    session = Session(GATEWAY, Key, Journal(tmp_path / "journal"))
    entry = session.journal.intend(GATEWAY.base_url, "kling-2", {}, "SG_x", "memory:")
    session.journal.update(entry, request_id="job", state="QUEUED")
    flow = save(session, result(make_video()), lambda _: storage, "memory:")
    flow_result = run(flow, [CUT, answer_with_file(MP4[:500]), answer_with_file(MP4[500:], 500)])
    assert [request.method for request in flow_result.requests] == ["GET"] * 3
    assert flow_result.requests[2].headers["range"] == "bytes=500-"
    assert flow_result.seconds > 1.5
    seconds: Any = pytest.approx(flow_result.seconds)
    assert flow_result.events == [events.Stored("job", "kling-2", flow_result.value, seconds)]
    assert [file.url for file in flow_result.value] == ["memory:kling-2-job.mp4"]
    assert storage.files == {"kling-2-job.mp4": MP4}
    assert session.journal.entries()[0].files == flow_result.value
    session.close()


@pytest.mark.parametrize("count", [2, 3])
def test_several_files_are_numbered(count: int) -> None:
    several = [make_video(), make_video(content=MP4), make_video()][:count]
    flow_result = run_collect(Memory(), [answer_with_file(MP4)] * (count - 1), *several)
    assert [file.url for file in flow_result.value] == [
        f"memory:kling-2-job-{n + 1}.mp4" for n in range(count)
    ]
    assert flow_result.sent == count - 1


def test_several_files_share_a_file_name() -> None:
    storage = Memory()
    session, outputs = Session(GATEWAY, Key), result(make_video(), make_video())
    destination = Destination(storage, FileName("film.mp4", "mp4"))
    assert run(collect(session, outputs, destination), [answer_with_file(MP4)] * 2).error is None
    assert sorted(storage.files) == ["film-1.mp4", "film-2.mp4"]
    template = Destination(storage, FileName("{index}-{request_id}-{date}-{tag}{ext}"))
    files = run(collect(session, outputs, template), [answer_with_file(MP4)] * 2).value
    today = datetime.now(UTC).date().isoformat()
    assert len(files) == 2
    assert {f"{number}-job-{today}-no-tag.mp4" for number in (1, 2)} < set(storage.files)


def test_files_of_a_result_share_sixteen_gigabytes() -> None:
    size = 4 * 1024**3

    def answer_in_short(effect: effects.Fetch) -> Outcome:
        assert effect.download.begin(200, {"content-length": f"{size}"})
        effect.download.write(MP4)
        # As if the rest had come.
        effect.download.received = size
        return Answer(200, {}, b"")

    four = [answer_in_short] * 4
    assert run_collect(Memory(), four, *[make_video()] * 4).error is None
    flow_result = run_collect(Memory(), [*four, answer_with_file(b"x", total=None)], *[make_video()] * 5)
    assert isinstance(flow_result.error, errors.StorageError)


def test_file_name_has_tag_and_day_of_the_submit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(GATEWAY, Key, Journal(tmp_path / "journal"))
    with monkeypatch.context() as patch:
        patch.setattr("time.time", lambda: 86400.0 * 365)
        entry = session.journal.intend(GATEWAY.base_url, "kling-2", {}, "SG_x", "memory:", "films")
        session.journal.update(entry, request_id="job", state="QUEUED")
    storage = Memory()
    destination = Destination(storage, FileName("{date}-{tag}{ext}"))
    assert run(collect(session, result(make_video()), destination), [answer_with_file(MP4)]).error is None
    assert [*storage.files] == ["1971-01-01-films.mp4"]
    session.close()


@pytest.mark.parametrize(
    ("model", "has_entry", "name"),
    [("kling-2", True, "kling-2"), (None, True, "kling-o1"), (None, False, "no-model")],
)
def test_output_has_the_model_and_the_parameters_of_its_entry(
    tmp_path: Path, model: str | None, name: str, *, has_entry: bool
) -> None:
    with closing(Session(GATEWAY, Key, Journal(tmp_path / "journal"))) as session:
        if has_entry:
            entry = session.journal.intend(GATEWAY.base_url, "kling-o1", {"prompt": "x"}, "SG_x")
            session.journal.update(entry, request_id="job", state="QUEUED")
        storage = JobMemory()
        destination = Destination(storage, FileName("{model}-{tag}{ext}"))
        output = replace(result(make_video()), model=model)
        assert run(collect(session, output, destination), [answer_with_file(MP4)]).error is None
    assert [*storage.files] == [f"{name}-no-tag.mp4"]
    [job] = storage.jobs
    assert (job.model, job.params) == (model, {"prompt": "x"} if has_entry else None)


@pytest.mark.parametrize("contents", [(None, None), (MP4, MP4), (None, MP4)])
def test_destination_is_recorded_if_every_file_can_be_fetched_again(
    tmp_path: Path, contents: tuple[bytes | None, bytes | None]
) -> None:
    with closing(Session(GATEWAY, Key, Journal(tmp_path / "journal"))) as session:
        entry = session.journal.intend(GATEWAY.base_url, "kling-2", {}, "SG_x")
        session.journal.update(entry, request_id="job", state="COMPLETED")
        output = result(*(make_video(content=content) for content in contents))
        flow = save(session, output, lambda _: Memory(), "memory:films")
        assert run(flow, [answer_with_file(MP4)] * contents.count(None)).error is None
        [recorded] = session.journal.entries()
    assert recorded.save_to == ("memory:films" if contents == (None, None) else None)


def test_closed_client_fetches_nothing() -> None:
    session = Session(GATEWAY, Key)
    session.closed.set()
    flow_result = run(collect(session, result(make_video()), Destination(Memory())), [])
    assert str(flow_result.error).startswith("this client was closed before the output was stored.")


def test_output_is_fetched_until_the_timeout() -> None:
    session, output, destination = Session(GATEWAY, Key), result(make_video()), Destination(Memory())
    [fetched] = run(collect(session, output, destination, STARTED + 0.5), [answer_with_file(MP4)]).requests
    assert fetched.deadline == 0.5
    [fetched] = run(collect(session, output, destination), [answer_with_file(MP4)]).requests
    assert fetched.deadline is None
    late = run(collect(session, output, destination, STARTED), [])
    assert "could not be fetched in time: the timeout ended" in str(late.error)
    cut = run(collect(session, output, destination, STARTED + 0.5), [CUT])
    assert "could not be fetched in time: cut" in str(cut.error)
    assert cut.seconds == 0.5


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_gone_file_is_requested_once(status: int) -> None:
    flow_result = run_collect(Memory(), [Answer(status, {}, b"")])
    assert isinstance(flow_result.error, errors.StorageError)
    assert flow_result.error.url == URL
    assert str(status) in str(flow_result.error)
    assert flow_result.events == []


def test_address_of_an_output_is_escaped_in_errors_and_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    plain = run_collect(Memory(), [], Artifact("http://files.example.com/\x1b]0;a\n\u202e", "video"))
    assert r"http://files.example.com/\x1b]0;a\n\u202e" in str(plain.error)
    cut = Artifact("https://files.example.com/\nERROR forged", "video")
    assert run_collect(Memory(), [CUT, answer_with_file(MP4)], cut).error is None
    assert [entry.name for entry in caplog.records] == ["kling_adapters"]
    assert r"https://files.example.com/\nERROR forged" in caplog.text


@pytest.mark.parametrize("status", [0, 199, 201, 205, 207, 302, 400, 402, 405, 409, 411, 429, 500])
def test_other_failures_are_retried_eight_times(status: int) -> None:
    flow_result = run_collect(Memory(), [Answer(status, {}, b"") if status else CUT] * 9)
    assert isinstance(flow_result.error, errors.StorageError)
    assert (flow_result.sent, flow_result.error.url) == (8, URL)
    assert (str(status) if status else "cut") in str(flow_result.error)
    # 1 + 2 + 4 + 8 + 16 + 30 + 30, each spread by a tenth.
    assert 0.9 * 91 <= flow_result.seconds <= 1.1 * 91


@pytest.mark.parametrize("status", [201, 205, 207])
def test_only_whole_files_and_parts_are_accepted(status: int) -> None:
    def answer_oddly(effect: effects.Fetch) -> Outcome:
        answer_with_file(MP4)(effect)
        return Answer(status, {}, b"")

    assert run_collect(Memory(), [answer_oddly, answer_with_file(MP4)]).sent == 2


def test_new_bytes_are_progress() -> None:
    storage = Memory()
    parts = [
        part
        for n in range(1, 9)
        for part in (*[CUT] * 6, answer_with_file(MP4[500 * n : 500 * n + 500], 500 * n))
    ]
    flow_result = run_collect(
        storage, [answer_with_file(MP4[:500]), *parts, answer_with_file(MP4[4500:], 4500)]
    )
    assert storage.files == {"kling-2-job.mp4": MP4}
    assert flow_result.sent == 58


def test_restarting_server_is_abandoned() -> None:
    flow_result = run_collect(Memory(), [answer_with_file(MP4[: 500 - number]) for number in range(20)])
    assert isinstance(flow_result.error, errors.StorageError)
    assert flow_result.sent == 8
    assert f"493 of {len(MP4)} bytes" in str(flow_result.error)


def test_file_of_wrong_size_is_not_whole() -> None:
    flow_result = run_collect(Memory(), [answer_with_file(MP4)] * 9, make_video(size=len(MP4) + 1))
    assert isinstance(flow_result.error, errors.StorageError)
    assert f"{len(MP4)} of {len(MP4) + 1} bytes" in str(flow_result.error)


@pytest.mark.parametrize(
    ("base_url", "is_fetched"), [("https://api.example.com", False), ("http://127.0.0.1:9", True)]
)
def test_plain_http_files_need_a_local_gateway(base_url: str, is_fetched: bool) -> None:
    session = Session(Gateway(base_url), Key)
    plain = make_video("http://files.example.com/a.mp4")
    flow_result = run(collect(session, result(plain), Destination(Memory())), [answer_with_file(MP4)])
    assert flow_result.sent == is_fetched
    assert isinstance(flow_result.error, type(None) if is_fetched else errors.StorageError)
    # What is there already is not fetched.
    here = make_video("", content=MP4)
    assert run(collect(session, result(here), Destination(Memory())), []).value[0].size == len(MP4)


def test_result_without_files_cannot_be_stored() -> None:
    flow_result = run(collect(Session(GATEWAY, Key), result(), Destination(Memory())), [])
    assert isinstance(flow_result.error, errors.StorageError)


@pytest.mark.parametrize("error_url", ["", "memory:elsewhere"])
@pytest.mark.parametrize("when", ["check", "commit"])
def test_storage_failure_is_a_storage_error(when: Literal["check", "commit"], error_url: str) -> None:
    broken = errors.StorageError("full", url=error_url)
    storage = Memory(broken=broken)
    if when == "check":
        flow: Any = open_destination(lambda _: storage, "memory:")
        assert run(flow, []).error is broken
        storage.broken = None
        assert run(open_destination(lambda _: storage, "memory:"), []).value.storage is storage
        storage.broken = OSError("gone")
        flow_result = run(open_destination(lambda _: storage, "memory:"), [])
        assert isinstance(flow_result.error, errors.StorageError)
        assert flow_result.error.__cause__ is storage.broken
    else:
        flow_result = run_collect(storage, [answer_with_file(MP4)])
        assert flow_result.error is broken
        assert broken.url == (error_url or URL)
        assert flow_result.events == []
        assert storage.aborted


def test_failed_download_is_discarded_by_a_call() -> None:
    """A driver performs it in a worker thread, because a storage may block."""
    flow = collect(Session(GATEWAY, Key), result(make_video()), Destination(Memory()))
    scripted: list[Any] = [answer_with_file(MP4[:900]), Answer(404, {}, b"")]
    effect = next(flow)
    while not (isinstance(effect, effects.Call) and "abort" in repr(effect.function)):
        match effect:
            case effects.Call():
                outcome = effect.function()
            case effects.Fetch():
                answer = scripted.pop(0)
                outcome = answer if isinstance(answer, Answer) else answer(effect)
            case _:
                outcome = 0.0
        effect = flow.send(outcome)
    with pytest.raises(errors.StorageError):
        flow.send(effect.function())


def test_closed_flow_discards_the_partial_file() -> None:
    storage = Memory()
    flow = collect(Session(GATEWAY, Key), result(make_video()), Destination(storage))
    outcome: Any = None
    while not isinstance(effect := flow.send(outcome), effects.Fetch):
        outcome = effect.function() if isinstance(effect, effects.Call) else 0.0
    answer_with_file(MP4[:5000])(effect)
    flow.close()
    assert storage.aborted
    assert not storage.files


def test_slow_storage_calls_are_abandoned_on_cancel() -> None:
    flow = collect(
        Session(GATEWAY, Key), result(make_video(content=MP4), make_video()), Destination(Memory())
    )
    calls: list[effects.Call] = []
    outcome: Any = None
    while len(calls) < 3:
        effect = flow.send(outcome)
        match effect:
            case effects.Call():
                if "Download" in repr(effect.function):
                    calls.append(effect)
                outcome = effect.function()
            case effects.Fetch():
                outcome = answer_with_file(MP4)(effect)
            case _:
                outcome = 0.0
    # Taking a file that is there, and making each appear: `abort` stops them.
    assert [call.abandon_on_cancel for call in calls] == [True, True, True]
    assert not effects.Call(lambda: None).abandon_on_cancel
    flow.close()
