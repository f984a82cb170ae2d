"""Batches with bad requests, refused accounts, full disks and missing files."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import kling_adapters as ka
from kling_adapters.hookspecs import hookimpl
from kling_adapters.journal.journal import Journal
from kling_adapters.testing.server import GatewayAnswer
from tests.support.batches import Gateway, Runner, gateway, make_requests, open_client, path, read_states, run
from tests.support.clients import OpenClient

__all__ = ["gateway", "open_client", "path", "run"]

# Under trio, httpx leaves generators of broken responses to the garbage collector, which warns.
not_trio = pytest.mark.parametrize("open_client", ["sync", "asyncio"], indirect=True)
DAYS_8 = 8 * 86400.0


def indexes(outcomes: list[ka.Outcome[Any]], *, failed: bool) -> list[int]:
    return sorted(outcome.index for outcome in outcomes if (outcome.error is not None) is failed)


def saved_folders(outcomes: list[ka.Outcome[Any]]) -> set[Path]:
    return {file.path.parent for outcome in outcomes if outcome.result for file in outcome.result.saved}


@pytest.mark.parametrize("bad", [None, "a prompt", 5, b"x", {5: "x"}, {}, ["model"]])
def test_bad_request_is_one_outcome(run: Runner, gateway: Gateway, bad: Any) -> None:
    requests: list[Any] = make_requests("a", "b")
    outcomes = run("map", [requests[0], bad, requests[1]])
    assert (indexes(outcomes, failed=True), indexes(outcomes, failed=False)) == ([1], [0, 2])
    [error] = [outcome.error for outcome in outcomes if outcome.error]
    assert isinstance(error, ka.ConfigError)
    assert "Nothing was sent" in str(error)
    assert sorted(gateway.submits) == ["a", "b"]


class Hostile(Mapping[str, Any]):
    """A request that cannot be read."""

    def __getitem__(self, key: str) -> Any:
        raise ZeroDivisionError

    def __iter__(self) -> Iterator[str]:
        return iter(["model"])

    def __len__(self) -> int:
        return 1

    def get(self, key: str, default: Any = None) -> Any:
        return default


def test_request_that_raises_is_one_outcome(run: Runner, gateway: Gateway) -> None:
    outcomes = run("map", [Hostile(), *make_requests("a")], name="films")
    assert [type(outcome.error) for outcome in sorted(outcomes, key=lambda outcome: outcome.index)] == [
        ZeroDivisionError,
        type(None),
    ]
    assert gateway.submits == ["a"]


def test_media_that_vanishes_is_one_outcome(run: Runner, tmp_path: Path) -> None:
    picture = tmp_path / "cat.png"
    requests = [{"model": "kling-bloombloom", "image": picture}, *make_requests("a")]
    outcomes = run("map", requests, name="films")
    assert (indexes(outcomes, failed=True), indexes(outcomes, failed=False)) == ([0], [1])


def test_failing_iterator_ends_submitted_jobs_first(run: Runner, gateway: Gateway, tmp_path: Path) -> None:
    def requests() -> Iterator[Any]:
        yield from make_requests("a", "b")
        raise OSError("the file of requests cannot be read")

    outcomes: list[ka.Outcome[Any]] = []
    with pytest.raises(OSError, match="the file of requests"):
        run("map", requests(), on_outcome=outcomes.append, save_to=tmp_path / "out")
    assert indexes(outcomes, failed=False) == [0, 1]
    assert len(list((tmp_path / "out").iterdir())) == 2
    assert sorted(gateway.submits) == ["a", "b"]


class Refusing(Gateway):
    """Refuses submits as an account of this status."""

    status, message = 406, "not enough credits"
    after = 1

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> GatewayAnswer:
        if method == "POST" and len(self.submits) > self.after:
            super().answer(method, path, headers, body)
            return GatewayAnswer.of(self.status, {"error": self.message})
        return super().answer(method, path, headers, body)


@pytest.mark.parametrize(
    ("status", "kind"), [(406, ka.InsufficientCredits), (401, ka.Unauthorized)], ids=["credits", "key"]
)
@not_trio
def test_refused_account_stops_the_batch(
    open_client: OpenClient,
    status: int,
    kind: type[Exception],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with Refusing() as gateway:
        gateway.status = status
        run = Runner(open_client, gateway, tmp_path / "journal")
        outcomes = run("map", make_requests(*range(9)), concurrency=4, save_to=tmp_path / "out")
    assert indexes(outcomes, failed=False) == [0]
    assert [type(outcome.error) for outcome in outcomes if outcome.error] == [kind]
    assert len(gateway.submits) == 2
    [record] = [record for record in caplog.records if "the batch is stopping" in record.getMessage()]
    assert "refused the account" in record.getMessage()


def test_refused_model_does_not_stop_the_batch(open_client: OpenClient) -> None:
    with Refusing() as gateway:
        gateway.status, gateway.message = 403, "not permitted"
        outcomes = Runner(open_client, gateway, None)("map", make_requests(*range(4)))
    assert len(outcomes) == 4


def test_batch_without_a_key_sends_nothing(
    gateway: Gateway, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEGMIND_API_KEY", raising=False)
    with ka.Kling(base_url=gateway.base_url, journal=path) as kling:
        with pytest.raises(ka.ConfigError, match="no API key"):
            list(kling.map(make_requests("a", "b")))
        assert kling.entries() == []
    assert gateway.requests == []


class FullDisk:
    """A storage that takes nothing more."""

    @hookimpl
    def kling_storage(self, url: str) -> Any:
        return self if url.startswith("full:") else None

    def check(self) -> None:
        pass

    def open(self, name: str, content_type: str) -> Any:
        raise ka.StorageError("no space left on device")


@pytest.mark.parametrize("concurrency", [1, 2])
def test_full_disk_stops_the_batch(
    gateway: Gateway, path: Path, concurrency: int, caplog: pytest.LogCaptureFixture
) -> None:
    with ka.Kling(
        base_url=gateway.base_url, api_key=gateway.api_key, journal=path, plugins=[FullDisk()]
    ) as kling:
        outcomes = list(kling.map(make_requests(*range(20)), concurrency=concurrency, save_to="full:"))
    assert 3 <= len(gateway.submits) <= 3 + concurrency
    assert len(outcomes) == len(gateway.submits)
    assert all(isinstance(outcome.error, ka.StorageError) and outcome.result for outcome in outcomes)
    assert "3 jobs in a row could not be stored" in caplog.text


@not_trio
def test_single_storage_errors_do_not_stop_the_batch(run: Runner, gateway: Gateway, tmp_path: Path) -> None:
    folder = tmp_path / "out"

    def damage(outcome: ka.Outcome[Any]) -> None:
        # Two of three jobs cannot be stored, while a file stands where the folder was.
        for file in list(folder.iterdir()) if folder.is_dir() else []:
            file.unlink()
        if outcome.index % 3 == 1:
            folder.unlink()
        elif folder.is_dir():
            folder.rmdir()
            folder.touch()

    outcomes = run("map", make_requests(*range(9)), concurrency=1, save_to=folder, on_outcome=damage)
    assert len(outcomes) == len(gateway.submits) == 9
    assert any(outcome.error for outcome in outcomes)


@pytest.fixture
def films(run: Runner, tmp_path: Path) -> Path:
    """A named batch that was run, and its folder."""
    run("map", make_requests("a", "b"), name="films", save_to=tmp_path / "out")
    return tmp_path / "out"


def test_missing_file_is_stored_again(
    run: Runner, gateway: Gateway, films: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lost = next(films.iterdir())
    lost.unlink()
    outcomes = run("map", make_requests("a", "b"), name="films", save_to=films)
    assert indexes(outcomes, failed=False) == [0, 1]
    assert lost.exists()
    assert len(gateway.submits) == 2
    [record] = [record for record in caplog.records if "is missing" in record.getMessage()]
    assert lost.name in record.getMessage()
    assert record.levelno == logging.WARNING


def test_missing_file_is_stored_again_in_the_recorded_destination(run: Runner, films: Path) -> None:
    lost = next(films.iterdir())
    lost.unlink()
    outcomes = run("map", make_requests("a", "b"), name="films")
    assert saved_folders(outcomes) == {films}
    assert lost.exists()


def test_named_batch_is_stored_in_its_new_destination(
    run: Runner, gateway: Gateway, path: Path, films: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes = run("map", make_requests("a", "b"), name="films", save_to=tmp_path / "new")
    assert saved_folders(outcomes) == {tmp_path / "new"}
    assert {file.name for file in films.iterdir()} == {file.name for file in (tmp_path / "new").iterdir()}
    assert len(gateway.submits) == 2
    assert caplog.text.count("it is stored again in") == 2
    with closing(Journal(path)) as journal:
        assert {entry.save_to for entry in journal.entries()} == {str(tmp_path / "new")}
    caplog.clear()
    run("map", make_requests("a", "b"), name="films", save_to=tmp_path / "new")
    assert "stored again" not in caplog.text


def age(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the batch see the journal as it will be in so many seconds."""
    import time

    from kling_adapters.protocol import earlier, plan

    class Later:
        @staticmethod
        def time() -> float:
            return time.time() + seconds

    for module in (earlier, plan):
        monkeypatch.setattr(module, "time", Later)


def test_missing_file_of_expired_output_is_a_storage_error(
    run: Runner, gateway: Gateway, films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    next(films.iterdir()).unlink()
    age(monkeypatch, DAYS_8)
    outcomes = run("map", make_requests("a", "b"), name="films", save_to=films)
    [error] = [outcome.error for outcome in outcomes if outcome.error]
    assert isinstance(error, ka.StorageError)
    assert "is missing, and the gateway keeps outputs for seven days only" in str(error)
    assert all(outcome.result for outcome in outcomes)
    assert len(gateway.submits) == 2


def test_old_files_stay_in_their_place(
    run: Runner,
    films: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    age(monkeypatch, DAYS_8)
    outcomes = run("map", make_requests("a", "b"), name="films", save_to=tmp_path / "new")
    assert indexes(outcomes, failed=False) == [0, 1]
    assert saved_folders(outcomes) == {films}
    assert "stays in" in caplog.text


def test_resume_stores_completed_jobs_that_have_no_file(
    run: Runner, gateway: Gateway, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("map", make_requests("a", "b"))
    assert run("resume") == []
    [first, second] = run("resume", save_to=tmp_path / "out", concurrency=1)
    assert (first.error, second.error) == (None, None)
    assert len(list((tmp_path / "out").iterdir())) == 2
    assert run("resume", save_to=tmp_path / "out") == []
    run("map", make_requests("c"))
    age(monkeypatch, DAYS_8)
    assert run("resume", save_to=tmp_path / "out") == []
    assert set(read_states(path).values()) == {"COMPLETED"}


class HalfSurrogate(Gateway):
    """Puts a lone surrogate into every text of a result."""

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> GatewayAnswer:
        answer = super().answer(method, path, headers, body)
        if path.startswith("/v2/requests/") and not path.endswith("/status"):
            text = answer.body.decode().replace('"output": "', '"seed": "\\ud83d", "output": "\\ud83d')
            return GatewayAnswer(answer.status, answer.headers, text.encode())
        return answer


@not_trio
def test_lone_surrogate_in_a_result_is_harmless(open_client: OpenClient, path: Path, tmp_path: Path) -> None:
    with HalfSurrogate() as gateway:
        run = Runner(open_client, gateway, path)
        for place in ("out", "new"):
            outcomes = run("map", make_requests("a", "b"), name="films", save_to=tmp_path / place)
            assert indexes(outcomes, failed=False) == [0, 1]
            assert all("\ud83d" in outcome.result.output for outcome in outcomes if outcome.result)
        assert len(gateway.submits) == 2
    assert len(list((tmp_path / "new").iterdir())) == 2
