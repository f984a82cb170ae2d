"""Answers and files of another form than documented are understood, or refused in words."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from kling_adapters import (
    Artifact,
    Credits,
    JobFailed,
    JobStatus,
    Metrics,
    ResultData,
    StorageError,
    SubmitUncertain,
    WaitTimeout,
)
from kling_adapters.protocol.failures import describe_failure, read_message
from kling_adapters.protocol.messages import Answer, Fault, Outcome
from kling_adapters.protocol.responses import (
    read_credits,
    read_direct_result,
    read_ended_job,
    read_status,
    read_upload,
)
from kling_adapters.testing import MP4, PNG
from tests.support.clients import OpenClient
from tests.support.scripted_server import (
    JOB,
    Reply,
    ScriptedServer,
    failure_reply,
    gateway_script,
    json_reply,
    result_reply,
    status_reply,
    submit_reply,
)

URL = "https://images.example.com/a.mp4"


@pytest.mark.parametrize(
    "output",
    [
        [{"url": URL}],
        {"url": URL},
        {"video": URL},
        {"video": {"url": URL}},
        {"videos": [{"url": URL}]},
        [[URL]],
    ],
)
def test_urls_of_an_output_are_found(output: Any) -> None:
    answer = Answer(200, {}, result_reply(output).body)
    result = read_ended_job(JOB, None, "video", answer)
    assert isinstance(result, ResultData)
    assert [(file.url, file.kind) for file in result.artifacts] == [(URL, "video")]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("image", "image"), ("images", "image"), ("audio", "audio"), ("audios", "audio"), ("videos", "video")],
)
def test_name_in_an_output_is_the_kind_of_its_file(name: str, kind: str) -> None:
    result = read_ended_job(JOB, None, "text", Answer(200, {}, result_reply({name: [URL]}).body))
    assert isinstance(result, ResultData)
    assert [(file.url, file.kind) for file in result.artifacts] == [(URL, kind)]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"error": "At most 9 px.", "message": "Try again"}, "At most 9 px. Try again"),
        ({"error": "a\n b.", "error_description": " ", "message": 7}, "a b"),
        ({"error": "e" * 501}, "e" * 500),
        ({}, ""),
    ],
)
def test_message_joins_the_sentences_of_an_answer(members: dict[str, Any], message: str) -> None:
    assert read_message(Answer(400, {}, json_reply(400, members).body)) == message


@pytest.mark.parametrize(("status", "url"), [(200, URL), (299, URL), (300, None), (400, None)])
def test_upload_has_a_url_only_if_it_succeeded(status: int, url: str | None) -> None:
    assert read_upload(Answer(status, {}, json_reply(200, {"file_urls": [URL, f"{URL}?2"]}).body)) == url


@pytest.mark.parametrize(
    ("status", "request_id", "state"),
    [
        (200, JOB, "QUEUED"),
        (200, JOB.upper(), "QUEUED"),
        (200, None, "QUEUED"),
        (200, "other", None),
        (500, JOB, None),
    ],
)
def test_status_is_read_from_an_answer_about_the_job(
    status: int, request_id: str | None, state: str | None
) -> None:
    answer = read_status(Answer(status, {}, status_reply("QUEUED").body), request_id)
    assert (answer and answer.state) == state


def test_ended_job_is_a_result_or_a_failure() -> None:
    replies = (result_reply(URL), failure_reply("blocked"), status_reply("QUEUED"), json_reply(200, []))
    result, failure, *none = (
        read_ended_job(JOB, "kling-2", "video", Answer(reply.status, {}, reply.body)) for reply in replies
    )
    assert isinstance(result, ResultData)
    assert isinstance(failure, JobStatus)
    assert (failure.state, none) == ("FAILED", [None, None])


def test_body_of_a_direct_result_has_the_headers_of_the_gateway() -> None:
    headers = {"content-type": "video/mp4", "x-cost": "0.5", "x-seed-value": "7"}
    result = read_direct_result("kling-2", "video", Answer(200, headers, MP4))
    assert result is not None
    assert result.body == {"x-cost": "0.5", "x-seed-value": "7"}


def make_answer(code: int, members: dict[str, Any]) -> Answer:
    return Answer(code, {}, json_reply(code, members).body)


def test_direct_result_without_an_id_has_one_of_its_own() -> None:
    ids = [
        result.request_id
        for answer in (Answer(200, {}, MP4), make_answer(200, {"request_id": JOB}))
        if (result := read_direct_result("kling-2", "video", answer)) is not None
    ]
    assert (ids[0][:5], ids[1]) == ("sync-", JOB)


def test_direct_result_is_a_file_or_a_text() -> None:
    result = read_direct_result("kling-2", "video", Answer(200, {"content-type": "video/mp4"}, MP4))
    assert result is not None
    assert result.output is None
    [file] = result.artifacts
    assert (file.url, file.kind, file.content_type, file.content) == ("", "video", "video/mp4", MP4)
    result = read_direct_result("kling-2", "text", Answer(200, {}, b"f\xc3\xbcr \xff"))
    assert result is not None
    assert result.output == "für \ufffd"


@pytest.mark.parametrize(
    ("status", "state", "is_failed"),
    [(422, "failed", True), (422, "QUEUED", False), (422, 7, False), (400, "FAILED", False)],
)
def test_direct_run_has_failed_if_status_and_state_say_so(
    status: int, state: Any, *, is_failed: bool
) -> None:
    answer = make_answer(status, {"status": state, "error": "blocked"})
    if is_failed:
        with pytest.raises(JobFailed, match="blocked"):
            read_direct_result("kling-2", "video", answer)
    else:
        assert read_direct_result("kling-2", "video", answer) is None


def test_metrics_and_credits_are_read() -> None:
    metrics = Metrics(
        cost=0.5,
        remaining_credits=9.5,
        inference_time=40.0,
        queue_time=2.5,
        total_time=42.5,
        retry_count=1,
    )
    status = read_status(make_answer(200, {"status": "QUEUED", "metrics": asdict(metrics)}))
    assert status is not None
    assert status.metrics == metrics
    assert read_credits(make_answer(200, {"credits": 7.5, "free-credits": 2})) == Credits(7.5, 2)


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (Fault("refused", sent=False), "it could not be reached: refused"),
        (make_answer(200, {}), "it answered 200 without rows that can be read"),
        (make_answer(200, {"error": "no"}), "it answered 200 without rows that can be read: no"),
        (make_answer(500, {}), "it answered 500"),
        (make_answer(500, {"error": "no"}), "it answered 500: no"),
    ],
)
def test_failure_is_described_by_its_answer(outcome: Outcome, text: str) -> None:
    assert describe_failure(outcome) == text


def read_files(body: dict[str, Any], returns: Any) -> list[Artifact]:
    result = read_ended_job(JOB, None, returns, make_answer(200, {"status": "COMPLETED", **body}))
    assert isinstance(result, ResultData)
    return list(result.artifacts)


def test_described_files_are_read() -> None:
    video = {"url": URL, "content_type": "video/mp4", "file_size": 1}
    assert read_files(
        {"video": video, "audio": URL, "images": [{"url": URL, "content_type": 7, "file_size": 0}]}, "text"
    ) == [
        Artifact(URL, "video", "video/mp4", 1),
        Artifact(URL, "audio"),
        Artifact(URL, "image"),
    ]


@pytest.mark.parametrize(
    ("output", "returns", "kind"),
    [
        (URL, None, "video"),
        (URL, "image", "image"),
        ({"images": [{"url": URL}]}, "text", "image"),
        ({"url": {"url": {"url": URL}}}, "text", "text"),
    ],
)
def test_kind_of_a_file_is_that_of_its_place_or_its_model(output: Any, returns: Any, kind: str) -> None:
    assert read_files({"output": output}, returns) == [Artifact(URL, kind)]  # type: ignore[arg-type]


NESTED = {"url": {"url": {"url": {"url": URL}}}}


@pytest.mark.parametrize("output", [{"thumbnail": URL}, [[[[URL]]]], NESTED, {"url": 7}, "data:,", None])
def test_other_outputs_have_no_files(output: Any) -> None:
    result = read_ended_job(JOB, None, "video", Answer(200, {}, result_reply(output).body))
    assert isinstance(result, ResultData)
    assert result.artifacts == ()


@pytest.mark.parametrize("name", ["completed", "Completed", " COMPLETED "])
def test_states_are_understood_in_any_case(name: str) -> None:
    assert read_status(Answer(200, {}, status_reply(name).body)) == JobStatus("COMPLETED")


def test_unknown_state_is_kept_and_reported(server: ScriptedServer, open_client: OpenClient) -> None:
    server.play(gateway_script(status=[status_reply("Cancelled")]))
    with pytest.raises(WaitTimeout, match="its last state is Cancelled"):
        open_client(server).finish_job(timeout=20)


def test_gateway_messages_are_in_the_errors(server: ScriptedServer, open_client: OpenClient) -> None:
    server.play(gateway_script(submit=[json_reply(200, {"error": "model is overloaded"})]))
    with pytest.raises(SubmitUncertain, match="model is overloaded"):
        open_client(server).submit_job()
    server.play(gateway_script(status=[json_reply(200, {"message": "be patient"})]))
    with pytest.raises(WaitTimeout, match="be patient"):
        open_client(server).finish_job(timeout=20)


def test_numeric_id_is_accepted(server: ScriptedServer, open_client: OpenClient) -> None:
    server.play(gateway_script(submit=[submit_reply(12345)], result=[result_reply("a text")]))
    assert open_client(server).finish_job().request_id == "12345"


@pytest.mark.parametrize("kind", ["status", "result"])
def test_foreign_answer_of_a_status_is_ignored(
    kind: str, server: ScriptedServer, open_client: OpenClient
) -> None:
    foreign = result_reply("another text", request_id="another-job")
    failed = json_reply(422, {"status": "FAILED", "request_id": "another-job", "error": "no"})
    answers = {"status": status_reply("COMPLETED"), "result": result_reply("a text")}
    script: dict[str, Any] = {"result": [answers["result"]], kind: [foreign, failed, answers[kind]]}
    server.play(gateway_script(**script))
    assert open_client(server).finish_job().output == "a text"


@pytest.mark.parametrize(
    ("header", "is_valid"), [("abc-1", True), ("x" * 3000, False), ("a\x9bb", False), (" ", False)]
)
def test_id_of_a_direct_run_is_checked(header: str, is_valid: bool) -> None:
    result = read_direct_result("kling-2", "video", Answer(200, {"x-request-id": header}, MP4))
    assert result is not None
    assert (result.request_id == header) is is_valid
    assert is_valid or result.request_id.startswith("sync-")


def play(server: ScriptedServer, body: bytes, headers: dict[str, str], **files: Any) -> None:
    described = files or {"video": {"url": server.url + "/files/x"}}
    server.play(gateway_script(result=[result_reply(None, **described)], files=[Reply(200, body, headers)]))


@pytest.mark.parametrize(
    "coding", ["", "aws-chunked", "UTF-8", "Identity", "none", "identity, aws-chunked", "gzip"]
)
def test_plain_bytes_are_stored_whatever_their_coding(
    coding: str, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    play(server, MP4, {"content-encoding": coding})
    [file] = open_client(server).save_job(tmp_path)
    assert file.path.read_bytes() == MP4


@pytest.mark.parametrize("coding", ["br", "zstd", "x-own", "br, zstd"])
def test_encoded_bytes_are_refused(
    coding: str, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    play(server, b"\x1b\x07\x00packed", {"content-encoding": coding})
    with pytest.raises(StorageError, match=f"encoded as {coding}"):
        open_client(server).save_job(tmp_path)
    assert list(tmp_path.iterdir()) == []


UNKNOWN = b"\x00\x01unheard-of" + bytes(range(256)) * 4


@pytest.mark.parametrize(
    ("announced", "content_type", "suffix"),
    [
        ("video/x-new", "video/x-new", ".mp4"),
        ("video/quicktime; x=y", "video/quicktime", ".mov"),
        ("", "application/octet-stream", ".mp4"),
        ("../../x", "application/octet-stream", ".mp4"),
        ("application/octet-stream", "application/octet-stream", ".mp4"),
    ],
)
def test_unrecognized_output_is_stored(
    announced: str, content_type: str, suffix: str, server: ScriptedServer, open_client: OpenClient, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    play(server, UNKNOWN, {"content-type": announced})
    with caplog.at_level(logging.WARNING, "kling_adapters"):
        [file] = open_client(server).save_job(tmp_path)
    assert (file.path.read_bytes(), file.content_type, file.path.suffix) == (UNKNOWN, content_type, suffix)
    assert "is not recognised as video" in caplog.text


def test_error_page_is_not_an_output(server: ScriptedServer, open_client: OpenClient, tmp_path: Path) -> None:
    play(server, b"Service unavailable\r\n", {"content-type": "text/plain"})
    with pytest.raises(StorageError, match="should be video, but is text"):
        open_client(server).save_job(tmp_path)


def test_image_is_not_a_video(server: ScriptedServer, open_client: OpenClient, tmp_path: Path) -> None:
    play(server, PNG, {})
    with pytest.raises(StorageError, match="should be video, but is image/png"):
        open_client(server).save_job(tmp_path)


def test_sound_in_a_general_container_is_audio(
    server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    play(server, MP4, {}, audio={"url": server.url + "/files/x"})
    assert open_client(server).save_job(tmp_path)[0].content_type == "video/mp4"
