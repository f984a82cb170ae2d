"""Messages of `kling`: words of the command line, and each failure once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing

import pytest
from kling_sandbox import Sandbox

import kling_adapters as ka
from kling_adapters.builtin.env_auth import EnvironmentKey
from kling_adapters.cli.wording import describe_error, use_option_names
from kling_adapters.journal.journal import Journal

from .conftest import Command, Gateway, run_kling

PYTHON = re.compile(
    r"Kling\(|kling\.\w+\(|error\.job|save_to|max_cost|allow_unknown_cost|base_url|api_key argument|submit_raw|journal=None"
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(timing="at-once") as running:
        yield running


def make_uncertain(entry: int | None) -> ka.SubmitUncertain:
    error = ka.SubmitUncertain("kling-2", "the connection was reset")
    error.entry = entry
    return error


def make_errors() -> Iterator[Exception]:
    yield ka.WaitTimeout("id-1", 2.0, None)
    yield make_uncertain(3)
    yield ka.Unauthorized(401, "bad key")
    yield ka.MethodNotAllowed(405, "POST only")
    for call in (
        lambda: ka.load_catalog().find("veo"),
        lambda: EnvironmentKey().api_key(),
        lambda: ka.Kling(base_url="http://example.com", api_key="k", journal=None),
    ):
        with pytest.raises(ka.KlingError) as caught:
            call()
        yield caught.value


def test_messages_have_no_python(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEGMIND_API_KEY", "SEGMIND_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    for error in make_errors():
        assert not PYTHON.search(describe_error(error)), describe_error(error)
    with pytest.raises(ka.UnknownModel) as caught:
        ka.load_catalog().find("kling-22")
    assert "did you mean kling-2? `kling models --all` lists models without a spec" in describe_error(
        caught.value
    )
    expected = "Look for the job with `kling reconcile`; the submit is entry 3 of the journal."
    assert expected in describe_error(make_uncertain(3))
    assert "`kling wait id-1`" in describe_error(ka.WaitTimeout("id-1", 2.0, None))


def test_paths_and_quoted_texts_stay_as_they_are() -> None:
    for text in (
        "renders/save_to/a.mp4 is missing",
        "save_to.mp4 is missing",
        "'max_cost' is not a parameter",
    ):
        assert use_option_names(text) == text
    assert use_option_names("pass save_to to store it. Check base_url.") == (
        "pass --save-to to store it. Check --base-url."
    )


@pytest.mark.parametrize(
    ("arguments", "key", "code", "message"),
    [
        (("kling-2", "prompt=x"), "SG_not_a_key_at_all", 3, "401"),
        (("veo", "prompt=x"), "SG_x", 2, "no adapter for 'veo'"),
        (("kling-2", "prompt=x", "promt=y"), "SG_x", 2, "did you mean prompt?"),
        (("kling-2", "prompt=@dave waves"), "SG_x", 2, "write prompt=@@dave waves"),
        (("kling-2", "prompt=x", "image_url=@fox.png"), "SG_x", 2, "image_url"),
        (("kling-2", "prompt=x", "--json", "--raw"), "SG_x", 2, "either --json or --raw"),
    ],
)
def test_failure_is_shown_once(
    sandbox: Sandbox, arguments: tuple[str, ...], key: str, code: int, message: str
) -> None:
    options = ("--base-url", sandbox.base_url, "--journal", "none")
    done = run_kling("run", *arguments, *options, SEGMIND_API_KEY=key)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert done.stderr.count(message) == 1
    assert "warning" not in done.stderr


def test_batch_stops_once_without_a_key(kling: Command, gateway: Gateway) -> None:
    (kling.folder / "films.jsonl").write_text('{"model": "kling-2", "prompt": "x"}\n' * 3)
    options = ("--base-url", gateway.base_url, "--journal", "none")
    done = run_kling("batch", str(kling.folder / "films.jsonl"), *options, SEGMIND_API_KEY="")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    done = run_kling("batch", str(kling.folder / "films.jsonl"), *options, SEGMIND_API_KEY="SG_another")
    assert (done.returncode, done.stderr.count("the gateway answered 401")) == (3, 1)
    assert "2 lines not submitted or not ended" in done.stderr


def test_timeout_names_the_command_that_waits_again(kling: Command, gateway: Gateway) -> None:
    gateway.hangs = True
    done = kling("run", "kling-2", "prompt=x", "--timeout", "0.3")
    assert (done.returncode, "`kling wait " in done.stderr) == (4, True)
    assert "error.job" not in done.stderr


def test_raw_prints_the_answer_of_the_gateway(kling: Command) -> None:
    done = kling("run", "kling-2", "prompt=x", "--raw")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer["status"] == "COMPLETED"
    assert answer["output"].startswith(kling.gateway.base_url)


def test_tag_and_place_are_in_the_journal(kling: Command) -> None:
    assert kling("run", "kling-2", "prompt=x", "--tag", "order-7").returncode == 0
    assert kling("submit", "kling-2", "prompt=y", "--tag", "order-8", "--save-to", "out").returncode == 0
    with closing(Journal(kling.journal)) as journal:
        entries = journal.entries()
    assert [entry.tag for entry in entries] == ["order-7", "order-8"]
    assert kling("resume").returncode == 0
    assert len(list((kling.folder / "out").iterdir())) == 1
