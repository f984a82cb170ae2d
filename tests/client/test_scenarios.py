"""The calls of a user, on both clients against the sandbox."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path
from typing import Any

import pytest
from kling_sandbox import BLOCKED_TEXT, KEY_FORBIDDEN, KEY_NO_CREDITS, Sandbox

import kling_adapters as ka
from kling_adapters import AsyncKling, Kling
from kling_adapters.models import Kling2
from tests.support.clients import OpenClient

SLUGS = sorted(ka.load_catalog())


@pytest.mark.parametrize("slug", SLUGS)
def test_every_model_turns_its_first_example_into_a_file(
    open_client: OpenClient, sandbox: Sandbox, slug: str, tmp_path: Path
) -> None:
    entry = ka.load_catalog()[slug]
    params = entry.load().model_validate(entry.json_schema()["examples"][0])

    with open_client(sandbox) as kling:
        result = kling.run(params, save_to=tmp_path / "new" / "folder")
        assert result.model == slug
        assert result.body["status"] == "COMPLETED"
        assert result.metrics.cost > 0
        [file] = result.saved
        content = file.path.read_bytes()
        assert file.path.parent == tmp_path / "new" / "folder"
        assert file.path.name.startswith(f"{slug}-{result.request_id}.")
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)
        assert [path.name for path in file.path.parent.iterdir()] == [file.path.name]
        if entry.returns == "video":
            assert result.video.url == result.output
            assert file.content_type == "video/mp4"
        else:
            assert result.video is None
            assert [image.url for image in result.images] == [result.output]
            assert file.content_type == "image/png"


def test_only_set_parameters_are_sent_in_their_declared_type(
    open_client: OpenClient, sandbox: Sandbox
) -> None:
    before = len(sandbox.requests)
    with open_client(sandbox) as kling:
        job = kling.submit("kling-2", prompt="a rook", duration="10", cfg_scale=1)
        str(job.request_id)
    [request] = [request for request in sandbox.requests[before:] if request.method == "POST"]
    assert request.path == "/v2/kling-2"
    assert request.json == {"prompt": "a rook", "duration": 10, "cfg_scale": 1.0}
    assert type(request.json["duration"]) is int


def test_bad_parameters_are_refused_before_anything_is_sent(
    open_client: OpenClient, sandbox: Sandbox
) -> None:
    before = sandbox.requests
    with open_client(sandbox) as kling:
        with pytest.raises(ka.ParamsInvalid) as caught:
            kling.submit("kling-2", promt="x", duration=7, cfg_scale=2)
        error = caught.value
    assert sandbox.requests == before
    assert str(error) == (
        "4 problems with the parameters of kling-2; nothing was sent:\n"
        "  prompt: required, but missing\n"
        "  cfg_scale: 2 is too large; allowed: at most 1\n"
        "  duration: 7 is not allowed; allowed: 5, 10\n"
        "  promt: unknown parameter; did you mean prompt?\n"
        "  Pass unchecked={...} to submit() or run() to send a value as it is."
    )


def test_parameter_object_is_validated_again_at_submit(open_client: OpenClient, sandbox: Sandbox) -> None:
    # The sandbox refuses a seed: `extra` only promises that it is sent.
    with open_client(sandbox) as kling:
        with pytest.raises(ka.BadRequest, match="seed"):
            kling.submit(Kling2(prompt="a wren", duration=10), extra={"seed": 3})
        with pytest.raises(ka.ParamsInvalid, match="duration: 99 is not allowed"):
            kling.submit(Kling2(prompt="a wren").model_copy(update={"duration": 99}))
    assert sandbox.requests[-1].json == {"seed": 3, "prompt": "a wren", "duration": 10}


def test_extra_refuses_known_parameters_and_values_beyond_json(
    open_client: OpenClient, sandbox: Sandbox
) -> None:
    before = sandbox.requests
    with open_client(sandbox) as kling:
        with pytest.raises(ka.ParamsInvalid, match="duration: is a known parameter; pass it directly"):
            kling.submit("kling-2", prompt="x", extra={"duration": 7})
        with pytest.raises(ka.ParamsInvalid, match="noise: cannot be written as JSON"):
            kling.submit("kling-2", prompt="x", extra={"noise": float("nan")})
    assert sandbox.requests == before


def test_events_report_the_states_and_end_with_the_result(open_client: OpenClient, sandbox: Sandbox) -> None:
    with open_client(sandbox) as kling:
        job = kling.submit("kling-2", prompt="a heron")
        events = list(job.events())
        assert [type(event) for event in events] == [
            ka.events.StateChanged,
            ka.events.StateChanged,
            ka.events.Completed,
        ]
        assert [event.state for event in events[:2]] == ["QUEUED", "PROCESSING"]
        request_count = len(sandbox.requests)
        result = job.wait()
        assert result.output == events[-1].result.output
        assert len(sandbox.requests) == request_count


def test_failed_job_has_its_reason_and_is_not_billed(open_client: OpenClient, sandbox: Sandbox) -> None:
    with open_client(sandbox) as kling:
        job = kling.submit("kling-2", prompt=f"a {BLOCKED_TEXT} heron")
        assert job.status().state in {"QUEUED", "PROCESSING"}
        with pytest.raises(ka.JobFailed, match=r"job .* failed: .*not billed") as caught:
            job.wait()
        assert caught.value.metrics.cost is None
        assert job.status().state == "FAILED"
        assert [type(event) for event in job.events()] == [ka.events.Failed]


def test_job_is_found_again_by_its_request_id(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    with open_client(sandbox) as kling:
        first = kling.submit("kling-o1", prompt="a @Image1", image_urls=["https://example.com/a.png"])
        for again in (kling.job(first.request_id), kling.job(first.request_id, "kling-o1")):
            result = again.wait()
            [file] = result.save(tmp_path)
            assert file.content_type == "image/png"


def test_events_raise_wait_timeout(open_client: OpenClient, sandbox: Sandbox) -> None:
    with open_client(sandbox) as kling:
        job = kling.submit("kling-2", prompt="a crane")
        received: list[Any] = []
        with pytest.raises(ka.WaitTimeout) as caught:
            received.extend(list(job.events(timeout=0)))
        assert caught.value.job.request_id == job.request_id  # type: ignore[union-attr]
        assert not any(isinstance(event, ka.events.Completed) for event in received)
        assert [type(event) for event in job.events()][-1] is ka.events.Completed


def test_wait_timeout_carries_the_job(open_client: OpenClient, sandbox: Sandbox) -> None:
    with open_client(sandbox) as kling:
        job = kling.submit("kling-2", prompt="a crane")
        with pytest.raises(ka.WaitTimeout, match=r"kling\.job\(") as caught:
            job.wait(timeout=0)
        assert caught.value.request_id == job.request_id
        assert kling.view(caught.value.job).wait().request_id == job.request_id


@pytest.mark.parametrize(
    ("key", "error", "words"),
    [
        ("SG_wrong", ka.Unauthorized, "Check the API key"),
        (KEY_FORBIDDEN, ka.Forbidden, "not permitted"),
        (KEY_NO_CREDITS, ka.InsufficientCredits, "Buy credits"),
    ],
)
def test_refused_submit_is_reported_as_not_billed(
    open_client: OpenClient, sandbox: Sandbox, key: str, error: type[ka.ApiError], words: str
) -> None:
    with open_client(sandbox, api_key=key) as kling:
        with pytest.raises(error, match="nothing is billed") as caught:
            kling.submit("kling-2", prompt="x")
        assert words in str(caught.value)
        assert key not in str(caught.value)


def test_unknown_slug_is_refused_but_can_be_submitted_raw(open_client: OpenClient, sandbox: Sandbox) -> None:
    with open_client(sandbox) as kling:
        with pytest.raises(ka.UnknownModel, match="did you mean kling-2"):
            kling.submit("kling-22", prompt="x")
        with pytest.raises(ka.NotFound):
            kling.submit_raw("kling-99", {"prompt": "x"})
        job = kling.submit_raw("kling-2", {"prompt": "x"})
        assert job.wait().output.endswith(".mp4")


def test_unknown_job_has_expired(open_client: OpenClient, sandbox: Sandbox) -> None:
    with open_client(sandbox) as kling:
        with pytest.raises(ka.JobExpired, match="one hour"):
            kling.job("no-such-id").wait()
        assert [type(event) for event in kling.job("no-such-id").events()] == [ka.events.Expired]


def test_credits_are_those_of_the_account(open_client: OpenClient, sandbox: Sandbox) -> None:
    with open_client(sandbox) as kling:
        assert kling.credits().credits == sandbox.credits


def test_unusable_destination_is_refused_before_the_submit(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")

    before = sandbox.requests
    with open_client(sandbox) as kling:
        with pytest.raises(ka.ConfigError, match="no plugin can store to ftp://host/"):
            kling.run("kling-2", prompt="x", save_to="ftp://host/")
        with pytest.raises(ka.StorageError, match="cannot write to the folder"):
            kling.run("kling-2", prompt="x", save_to=tmp_path / "file" / "folder")
        with pytest.raises(ka.ConfigError, match="does not fit the output of the model"):
            kling.run("kling-2", prompt="x", save_to=tmp_path / "panda.png")
    assert sandbox.requests == before


@pytest.mark.parametrize("place", ["http://[half", "ftp://host/"])
def test_unknown_destination_is_a_config_error(open_client: OpenClient, sandbox: Sandbox, place: str) -> None:
    with open_client(sandbox) as kling:
        before = len(sandbox.requests)
        with pytest.raises(ka.ConfigError, match="no plugin can store to"):
            kling.run("kling-2", prompt="x", save_to=place)
        assert len(sandbox.requests) == before


def test_call_without_a_key_sends_nothing(
    open_client: OpenClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEGMIND_API_KEY", raising=False)

    before = sandbox.requests
    with (
        open_client(sandbox, api_key=None) as kling,
        pytest.raises(ka.ConfigError, match="set SEGMIND_API_KEY"),
    ):
        kling.submit("kling-2", prompt="x")
    assert sandbox.requests == before


def test_key_comes_from_the_environment(
    open_client: OpenClient, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", sandbox.api_key)

    with open_client(sandbox, api_key=None) as kling:
        assert kling.credits().credits is not None


def test_clients_have_equal_calls_and_arguments() -> None:
    pairs = [(Kling, AsyncKling), (ka.Job, ka.AsyncJob), (ka.Result, ka.AsyncResult)]
    for blocking, awaitable in pairs:
        names = {name for name in dir(blocking) if not name.startswith("_")}
        assert names == {name for name in dir(awaitable) if not name.startswith("_")}
        for name in names:
            if callable(getattr(blocking, name)):
                first, second = (inspect.signature(getattr(kind, name)) for kind in (blocking, awaitable))
                assert list(first.parameters.values()) == list(second.parameters.values()), name
