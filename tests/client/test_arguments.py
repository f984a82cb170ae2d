"""A wrong argument of any call is a ConfigError before anything is sent."""

from __future__ import annotations

import traceback
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from kling_sandbox import Sandbox

import kling_adapters as ka
from kling_adapters import AsyncKling, Kling
from kling_adapters.models import Kling2
from tests.support.clients import OpenClient

NOT_SECONDS = (
    "60",
    timedelta(seconds=60),
    Decimal(60),
    (5, 60),
    True,
    float("nan"),
    float("inf"),
    -1,
    10**400,
)
NOT_DESTINATIONS = (5, b"out", "", " ", ["out"], True)
NOT_IDS = (5, None, "", " ", "a\nb", "\ud800", "x" * 3000, b"id")
PROMPT = {"prompt": "x"}
REQUESTS = [{"model": "kling-2", "prompt": "x"}]

# Each call, an argument of it, and values that it refuses.
REFUSED: list[tuple[str, tuple[Any, ...], str, tuple[Any, ...]]] = [
    *((call, ("kling-2",), "timeout", (*NOT_SECONDS, 0)) for call in ("submit", "run", "run_direct")),
    ("submit_raw", ("kling-9", PROMPT), "timeout", (*NOT_SECONDS, 0)),
    *((call, ("kling-2",), "save_to", NOT_DESTINATIONS) for call in ("submit", "run", "run_direct")),
    ("submit_raw", ("kling-9", PROMPT), "save_to", NOT_DESTINATIONS),
    *(
        (call, ("kling-2",), "extra", (5, "a", [("a", 1)], {1: 2}))
        for call in ("submit", "run", "run_direct")
    ),
    ("map", (REQUESTS,), "concurrency", (0, -1, "4", 2.0, True, None)),
    ("map", (REQUESTS,), "max_cost", (-1, "5", Decimal(5), True, float("nan"), float("inf"))),
    ("map", (REQUESTS,), "allow_unknown_cost", (-1, "5", True, float("inf"))),
    ("map", (REQUESTS,), "name", (5, "", " ", "\ud800", b"films")),
    ("map", (REQUESTS,), "save_to", NOT_DESTINATIONS),
    ("resume", (), "concurrency", (0, "4", None)),
    ("resume", (), "save_to", NOT_DESTINATIONS),
]


@pytest.mark.parametrize(("call", "arguments", "name", "values"), REFUSED)
def test_wrong_argument_is_refused_before_anything_is_sent(
    open_client: OpenClient,
    sandbox: Sandbox,
    tmp_path: Path,
    call: str,
    arguments: tuple[Any, ...],
    name: str,
    values: tuple[Any, ...],
) -> None:
    before = sandbox.requests
    with open_client(sandbox, journal=tmp_path / "journal") as kling:
        params = {} if call in ("map", "resume", "submit_raw") else PROMPT
        for value in values:
            with pytest.raises(ka.ConfigError, match=rf"(?s)^.*{name}.*; expected .*Nothing was sent$"):
                getattr(kling, call)(*arguments, **params, **{name: value})
        entries = kling.entries()
        assert entries == []
    assert sandbox.requests == before


@pytest.mark.parametrize("model", [5, None, b"kling-2", Kling2, ["kling-2"]])
def test_model_of_another_type_is_refused(open_client: OpenClient, sandbox: Sandbox, model: Any) -> None:
    before = sandbox.requests
    with open_client(sandbox) as kling:
        for call in (kling.submit, kling.run, kling.run_direct):
            with pytest.raises(ka.ConfigError, match=r"^model is .*; expected the slug"):
                call(model, prompt="x")
        with pytest.raises(ka.ConfigError, match=r"^slug is .*; expected the slug"):
            kling.submit_raw(model, PROMPT)
    assert sandbox.requests == before


def test_parameters_beside_an_object_are_refused(open_client: OpenClient, sandbox: Sandbox) -> None:
    before = sandbox.requests
    with (
        open_client(sandbox) as kling,
        pytest.raises(ka.ConfigError, match=r"^duration: pass every parameter in the Kling2 object"),
    ):
        kling.submit(Kling2(prompt="x"), duration=10)
    assert sandbox.requests == before


@pytest.mark.parametrize("params", [None, 5, "prompt", [("prompt", "x")], {5: "x"}])
def test_raw_parameters_are_a_mapping_of_names(
    open_client: OpenClient, sandbox: Sandbox, params: Any
) -> None:
    before = sandbox.requests
    with (
        open_client(sandbox) as kling,
        pytest.raises(ka.ConfigError, match=r"expected (a mapping|a str).*Nothing was sent"),
    ):
        kling.submit_raw("kling-9", params)
    assert sandbox.requests == before


@pytest.mark.parametrize("requests", [None, 5, "kling-2", REQUESTS[0], Kling2(prompt="x")])
def test_map_takes_a_series_of_requests(open_client: OpenClient, sandbox: Sandbox, requests: Any) -> None:
    before = sandbox.requests
    with (
        open_client(sandbox) as kling,
        pytest.raises(ka.ConfigError, match=r"^requests is .*; expected an iterable of requests"),
    ):
        kling.map(requests)
    assert sandbox.requests == before


def test_handle_of_a_job_needs_an_id_and_a_slug(open_client: OpenClient, sandbox: Sandbox) -> None:
    with open_client(sandbox) as kling:
        for request_id in NOT_IDS:
            with pytest.raises(ka.ConfigError, match=r"^request_id is .*; expected the id"):
                kling.job(request_id)
        with pytest.raises(ka.ConfigError, match=r"^model is 5; expected the slug"):
            kling.job("id", 5)


def test_wait_events_and_save_check_their_arguments(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    with open_client(sandbox) as kling:
        job = kling.submit("kling-2", prompt="x")
        before = len(sandbox.requests)
        for value in NOT_SECONDS:
            with pytest.raises(ka.ConfigError, match=r"^timeout is "):
                job.wait(value)
            with pytest.raises(ka.ConfigError, match=r"^timeout is "):
                _ = list(job.events(value))
        assert len(sandbox.requests) == before
        result = job.wait()
        for destination in (None, *NOT_DESTINATIONS):
            with pytest.raises(ka.ConfigError, match=r"^to is .*; expected a folder or a storage URL"):
                result.save(destination)
        [file] = result.save(tmp_path)
        assert file.path.exists()


@pytest.mark.parametrize("kind", [Kling, AsyncKling])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"api_key": 5}, "api_key is of type int; expected a str"),
        ({"api_key": b"SG_0123456789abcdef"}, "api_key is of type bytes"),
        ({"api_key": ""}, "api_key is empty"),
        ({"auth": 5}, "auth is 5; expected text"),
        ({"auth": ""}, "auth is ''; expected text"),
        ({"base_url": 5}, "base_url is of type int; expected a URL"),
        ({"base_url": ""}, "the base URL must be"),
        ({"plugins": "keyring"}, "plugins is of type str; expected an iterable of plugin objects"),
        ({"plugins": 5}, "plugins is of type int"),
        ({"plugins": ["keyring"]}, "plugins contains the str 'keyring'; expected plugin objects"),
        ({"strict_plugins": "yes"}, "strict_plugins is 'yes'; expected True or False"),
        ({"journal": 5}, "journal is 5; expected a path"),
        ({"journal": False}, "journal is False; expected a path"),
        ({"journal": b"j"}, "journal is of type bytes"),
        ({"clock": 5}, "clock is of type int"),
    ],
)
def test_client_checks_its_arguments(kind: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ka.ConfigError) as caught:
        kind(**options)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize("kind", [Kling, AsyncKling])
def test_client_that_cannot_be_made_shows_no_key(kind: Any) -> None:
    key = "SG_fedcba9876543210"
    try:
        kind(api_key=key, plugins=5)
    except ka.ConfigError as error:
        frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
    ours = [frame for frame in frames if "kling_adapters" in frame.filename]
    assert any("self" in (frame.locals or {}) for frame in ours)
    assert not any(key in value for frame in ours for value in (frame.locals or {}).values())


def test_client_that_was_never_made_has_a_repr() -> None:
    assert "Kling" in repr(Kling.__new__(Kling))
    assert "AsyncKling" in repr(AsyncKling.__new__(AsyncKling))


@pytest.mark.parametrize("kind", [Kling, AsyncKling])
def test_base_url_comes_from_the_environment(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLING_BASE_URL", " http://127.0.0.1:8765/v2 ")
    assert "http://127.0.0.1:8765'" in repr(kind())
    assert "http://127.0.0.1:1'" in repr(kind(base_url="http://127.0.0.1:1"))
    monkeypatch.setenv("KLING_BASE_URL", "http://sandbox:8765")
    with pytest.raises(
        ka.ConfigError, match=r"the environment variable KLING_BASE_URL cannot be used: .*https"
    ):
        kind()
    monkeypatch.setenv("KLING_BASE_URL", "")
    assert "https://api.segmind.com'" in repr(kind())


def test_relative_paths_are_resolved_once(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    with open_client(sandbox, journal="jobs.sqlite3") as kling:
        job = kling.submit("kling-2", prompt="x", save_to="out")
        monkeypatch.chdir(tmp_path / "elsewhere")
        [entry] = kling.entries()
        assert (entry.request_id, entry.save_to) == (job.request_id, str(tmp_path / "out"))
    assert (tmp_path / "jobs.sqlite3").exists()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_working_folder_that_is_gone_is_a_config_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(ka.ConfigError, match=r"journal is 'j', which cannot be made absolute.*absolute path"):
        Kling(journal="j")


def test_closed_client_sends_and_writes_nothing(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    with open_client(sandbox, journal=tmp_path / "journal") as kling:
        result = kling.run("kling-2", prompt="x")
        job = kling.submit("kling-2", prompt="y")
        before_closing = kling.entries()
        kling.close()
        before = len(sandbox.requests)
        calls: list[Any] = [
            lambda: kling.submit("kling-2", prompt="x"),
            lambda: kling.submit("kling-2", prompt="x", save_to=tmp_path / "out"),
            lambda: kling.submit_raw("kling-9", PROMPT),
            lambda: kling.run("kling-2", prompt="x", save_to=tmp_path / "out"),
            lambda: kling.run_direct("kling-2", prompt="x", save_to=tmp_path / "out"),
            lambda: kling.map(REQUESTS),
            kling.resume,
            kling.entries,
            kling.credits,
            lambda: result.save(tmp_path / "out"),
        ]
        for call in calls:
            with pytest.raises(
                ka.ConfigError, match=r"this client is closed; make a new one. Nothing was sent"
            ):
                call()
        for call in (job.status, job.wait):
            with pytest.raises(ka.ConfigError, match=rf"is closed; make a new one. Job {job.request_id} is"):
                call()
        with pytest.raises(ka.ConfigError, match=r"this client is closed"):
            _ = list(job.events())
        kling.close()
        assert len(sandbox.requests) == before
        assert not (tmp_path / "out").exists()
        with Kling(journal=tmp_path / "journal", base_url=sandbox.base_url) as second:
            assert second.entries() == before_closing


def test_closed_client_cannot_be_entered() -> None:
    kling = Kling(journal=None)
    kling.close()
    with pytest.raises(ka.ConfigError, match=r"this client is closed"), kling:
        pass
