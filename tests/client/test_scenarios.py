"""The calls of a user, on both clients against the sandbox."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path
from typing import Any

import pytest
from kling_sandbox import BLOCKED_TEXT, KEY_FORBIDDEN, KEY_NO_CREDITS

import kling_adapters as ka
from kling_adapters import AsyncKling, Kling
from kling_adapters.models import Kling2
from tests.support.play import Play

SLUGS = sorted(ka.load_catalog())


@pytest.mark.parametrize("slug", SLUGS)
def test_every_model_turns_its_first_example_into_a_file(play: Play, slug: str, tmp_path: Path) -> None:
    entry = ka.load_catalog()[slug]
    params = entry.load().model_validate(entry.json_schema()["examples"][0])

    async def scenario(kling: Any) -> None:
        result = await kling.run(params, save_to=tmp_path / "new" / "folder")
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

    play(scenario)


def test_only_set_parameters_are_sent_in_their_declared_type(play: Play) -> None:
    async def scenario(kling: Any) -> str:
        job = await kling.submit("kling-2", prompt="a rook", duration="10", cfg_scale=1)
        return str(job.request_id)

    before = len(play.sandbox.requests)
    play(scenario)
    [request] = [request for request in play.sandbox.requests[before:] if request.method == "POST"]
    assert request.path == "/v2/kling-2"
    assert request.json == {"prompt": "a rook", "duration": 10, "cfg_scale": 1.0}
    assert type(request.json["duration"]) is int


def test_bad_parameters_are_refused_before_anything_is_sent(play: Play) -> None:
    async def scenario(kling: Any) -> ka.ParamsInvalid:
        with pytest.raises(ka.ParamsInvalid) as caught:
            await kling.submit("kling-2", promt="x", duration=7, cfg_scale=2)
        return caught.value

    before = play.sandbox.requests
    error = play(scenario)
    assert play.sandbox.requests == before
    assert str(error) == (
        "4 problems with the parameters of kling-2; nothing was sent:\n"
        "  prompt: required, but missing\n"
        "  cfg_scale: 2 is too large; allowed: at most 1\n"
        "  duration: 7 is not allowed; allowed: 5, 10\n"
        "  promt: unknown parameter; did you mean prompt?"
    )


def test_parameter_object_is_validated_again_at_submit(play: Play) -> None:
    async def scenario(kling: Any) -> None:
        job = await kling.submit(Kling2(prompt="a wren", duration=10), extra={"seed": 3})
        assert job.model == "kling-2"
        with pytest.raises(ka.ParamsInvalid, match="duration: 99 is not allowed"):
            await kling.submit(Kling2(prompt="a wren").model_copy(update={"duration": 99}))

    # The sandbox refuses a seed: `extra` only promises that it is sent.
    with pytest.raises(ka.BadRequest, match="seed"):
        play(scenario)
    assert play.sandbox.requests[-1].json == {"seed": 3, "prompt": "a wren", "duration": 10}


def test_extra_refuses_known_parameters_and_values_beyond_json(play: Play) -> None:
    async def scenario(kling: Any) -> None:
        with pytest.raises(ka.ParamsInvalid, match="duration: is a known parameter; pass it directly"):
            await kling.submit("kling-2", prompt="x", extra={"duration": 7})
        with pytest.raises(ka.ParamsInvalid, match="noise: cannot be written as JSON"):
            await kling.submit("kling-2", prompt="x", extra={"noise": float("nan")})

    before = play.sandbox.requests
    play(scenario)
    assert play.sandbox.requests == before


def test_events_report_the_states_and_end_with_the_result(play: Play) -> None:
    async def scenario(kling: Any) -> None:
        job = await kling.submit("kling-2", prompt="a heron")
        events = [event async for event in job.events()]
        assert [type(event) for event in events] == [
            ka.events.StateChanged,
            ka.events.StateChanged,
            ka.events.Completed,
        ]
        assert [event.state for event in events[:2]] == ["QUEUED", "PROCESSING"]
        request_count = len(play.sandbox.requests)
        result = await job.wait()
        assert result.output == events[-1].result.output
        assert len(play.sandbox.requests) == request_count

    play(scenario)


def test_failed_job_has_its_reason_and_is_not_billed(play: Play) -> None:
    async def scenario(kling: Any) -> None:
        job = await kling.submit("kling-2", prompt=f"a {BLOCKED_TEXT} heron")
        assert (await job.status()).state in {"QUEUED", "PROCESSING"}
        with pytest.raises(ka.JobFailed, match=r"job .* failed: .*not billed") as caught:
            await job.wait()
        assert caught.value.metrics.cost is None
        assert (await job.status()).state == "FAILED"
        assert [type(event) async for event in job.events()] == [ka.events.Failed]

    play(scenario)


def test_job_is_found_again_by_its_request_id(play: Play, tmp_path: Path) -> None:
    async def scenario(kling: Any) -> None:
        first = await kling.submit("kling-o1", prompt="a @Image1", image_urls=["https://example.com/a.png"])
        for again in (kling.job(first.request_id), kling.job(first.request_id, "kling-o1")):
            result = await again.wait()
            [file] = await result.save(tmp_path)
            assert file.content_type == "image/png"

    play(scenario)


def test_events_raise_wait_timeout(play: Play) -> None:
    async def scenario(kling: Any) -> None:
        job = await kling.submit("kling-2", prompt="a crane")
        received: list[Any] = []
        with pytest.raises(ka.WaitTimeout) as caught:
            received.extend([event async for event in job.events(timeout=0)])
        assert caught.value.job.request_id == job.request_id  # type: ignore[union-attr]
        assert not any(isinstance(event, ka.events.Completed) for event in received)
        assert [type(event) async for event in job.events()][-1] is ka.events.Completed

    play(scenario)


def test_wait_timeout_carries_the_job(play: Play) -> None:
    async def scenario(kling: Any) -> None:
        job = await kling.submit("kling-2", prompt="a crane")
        with pytest.raises(ka.WaitTimeout, match=r"kling\.job\(") as caught:
            await job.wait(timeout=0)
        assert caught.value.request_id == job.request_id
        outcome = caught.value.job.wait()  # type: ignore[union-attr]
        result = await outcome if inspect.isawaitable(outcome) else outcome
        assert result.request_id == job.request_id

    play(scenario)


@pytest.mark.parametrize(
    ("key", "error", "words"),
    [
        ("SG_wrong", ka.Unauthorized, "Check the API key"),
        (KEY_FORBIDDEN, ka.Forbidden, "not permitted"),
        (KEY_NO_CREDITS, ka.InsufficientCredits, "Buy credits"),
    ],
)
def test_refused_submit_says_that_nothing_is_billed(
    play: Play, key: str, error: type[ka.ApiError], words: str
) -> None:
    async def scenario(kling: Any) -> None:
        with pytest.raises(error, match="nothing is billed") as caught:
            await kling.submit("kling-2", prompt="x")
        assert words in str(caught.value)
        assert key not in str(caught.value)

    play(scenario, api_key=key)


def test_unknown_slug_is_refused_but_can_be_submitted_raw(play: Play) -> None:
    async def scenario(kling: Any) -> None:
        with pytest.raises(ka.UnknownModel, match="did you mean kling-2"):
            await kling.submit("kling-22", prompt="x")
        with pytest.raises(ka.NotFound):
            await kling.submit_raw("kling-99", {"prompt": "x"})
        job = await kling.submit_raw("kling-2", {"prompt": "x"})
        assert (await job.wait()).output.endswith(".mp4")

    play(scenario)


def test_unknown_job_has_expired(play: Play) -> None:
    async def scenario(kling: Any) -> None:
        with pytest.raises(ka.JobExpired, match="one hour"):
            await kling.job("no-such-id").wait()
        assert [type(event) async for event in kling.job("no-such-id").events()] == [ka.events.Expired]

    play(scenario)


def test_credits_are_those_of_the_account(play: Play) -> None:
    async def scenario(kling: Any) -> Any:
        return await kling.credits()

    assert play(scenario).credits == play.sandbox.credits


def test_unusable_destination_is_refused_before_the_submit(play: Play, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    async def scenario(kling: Any) -> None:
        with pytest.raises(ka.ConfigError, match="no plugin can store to ftp://host/"):
            await kling.run("kling-2", prompt="x", save_to="ftp://host/")
        with pytest.raises(ka.StorageError, match="cannot write to the folder"):
            await kling.run("kling-2", prompt="x", save_to=tmp_path / "file" / "folder")
        with pytest.raises(ka.ConfigError, match="does not fit the output of the model"):
            await kling.run("kling-2", prompt="x", save_to=tmp_path / "panda.png")

    before = play.sandbox.requests
    play(scenario)
    assert play.sandbox.requests == before


@pytest.mark.parametrize("place", ["http://[half", "ftp://host/"])
def test_unknown_destination_is_a_config_error(play: Play, place: str) -> None:
    async def scenario(kling: Any) -> None:
        before = len(play.sandbox.requests)
        with pytest.raises(ka.ConfigError, match="no plugin can store to"):
            await kling.run("kling-2", prompt="x", save_to=place)
        assert len(play.sandbox.requests) == before

    play(scenario)


def test_call_without_a_key_sends_nothing(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGMIND_API_KEY", raising=False)

    async def scenario(kling: Any) -> None:
        with pytest.raises(ka.ConfigError, match="set SEGMIND_API_KEY"):
            await kling.submit("kling-2", prompt="x")

    before = play.sandbox.requests
    play(scenario, api_key=None)
    assert play.sandbox.requests == before


def test_key_comes_from_the_environment(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", play.sandbox.api_key)

    async def scenario(kling: Any) -> None:
        assert (await kling.credits()).credits is not None

    play(scenario, api_key=None)


def test_both_clients_have_the_same_calls_and_arguments() -> None:
    pairs = [(Kling, AsyncKling), (ka.Job, ka.AsyncJob), (ka.Result, ka.AsyncResult)]
    for blocking, awaitable in pairs:
        names = {name for name in dir(blocking) if not name.startswith("_")}
        assert names == {name for name in dir(awaitable) if not name.startswith("_")}
        for name in names:
            if callable(getattr(blocking, name)):
                first, second = (inspect.signature(getattr(kind, name)) for kind in (blocking, awaitable))
                assert list(first.parameters.values()) == list(second.parameters.values()), name
