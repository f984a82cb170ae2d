"""kling-keypool: jobs are spread over keys, refused keys pause, and no job is submitted twice."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
from kling_keypool import Keypool
from kling_sandbox import KEY_FORBIDDEN, KEY_NO_CREDITS, KEY_RATE_LIMITED, ReceivedRequest, Sandbox

from kling_adapters import (
    ConfigError,
    Kling,
    RateLimited,
    SubmitUncertain,
    Unauthorized,
    events,
    fingerprint_key,
)
from kling_adapters.hookspecs import KeyPool
from kling_adapters.testing import SimulatedClock
from tests.support.clients import OpenClient, unwrap
from tests.support.scripted_server import Hangup, ScriptedServer, json_reply, submit_reply

A, B, C = (f"SG_{letter * 16}" for letter in "abc")
REVOKED = "SG_dddddddddddddddd"
README = Path(__file__).parents[2] / "plugins/keypool/README.md"

T = TypeVar("T")
Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def hide_keys_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEGMIND_API_KEY", "SEGMIND_API_KEYS", "SEGMIND_API_KEYS_FILE", "KLING_AUTH"):
        monkeypatch.delenv(name, raising=False)


def run_concurrently(function: Callable[[Any], T], items: Any, threads: int = 12) -> list[T]:
    with ThreadPoolExecutor(threads) as executor:
        return list(executor.map(function, items))


def posts(sandbox: Sandbox) -> list[ReceivedRequest]:
    return [request for request in sandbox.requests if request.method == "POST"]


def key_of(request: ReceivedRequest) -> str:
    """Return the key that a request was sent with; the sandbox keeps only longer fingerprints."""
    keys = (A, B, C, REVOKED, KEY_FORBIDDEN, KEY_NO_CREDITS, KEY_RATE_LIMITED)
    digests = {"sha256:" + hashlib.sha256(key.encode()).hexdigest()[:16]: key for key in keys}
    return digests[request.headers["x-api-key"]]


def test_jobs_spread_evenly_and_keep_their_key(open_client: OpenClient) -> None:
    pool = Keypool([A, B, C])
    with Sandbox(timing="polls:2", api_keys=[A, B, C]) as sandbox:
        client = open_client(sandbox, api_key=None, plugins=[pool])
        jobs = run_concurrently(lambda _: client.submit_job(), range(100))
        results = run_concurrently(lambda job: job.wait(), jobs)
        assert len({result.request_id for result in results}) == 100
        assert sorted(Counter(map(key_of, posts(sandbox))).values()) == [33, 33, 34]
        for job in jobs:
            keys_used = [key_of(request) for request in sandbox.requests if job.request_id in request.path]
            assert len(keys_used) == 4  # three polls, and the result
            assert set(keys_used) == {pool.key_of(job.request_id)}


def test_concurrent_runs_spread_over_keys(open_client: OpenClient) -> None:
    with Sandbox(timing="polls:1", api_keys=[A, B, C]) as sandbox:
        client = open_client(sandbox, api_key=None, plugins=[Keypool([A, B, C])])
        run_concurrently(lambda _: client.submit_job().wait(), range(60))
        counts = Counter(map(key_of, posts(sandbox))).values()
    assert sum(counts) == 60
    assert min(counts) >= 16


def test_refused_submit_uses_another_key_and_is_paid_once(
    open_client: OpenClient,
) -> None:
    clock = SimulatedClock()
    pool = Keypool([REVOKED, KEY_RATE_LIMITED, KEY_FORBIDDEN, A, B], clock=clock.now)
    with Sandbox(api_keys=[A, B]) as sandbox:
        client = open_client(sandbox, api_key=None, plugins=[pool], clock=clock)
        jobs = [client.submit_job() for _ in range(20)]
        assert len({job.request_id for job in jobs}) == 20
        assert clock.slept == []
        assert Counter(map(key_of, posts(sandbox))) == {
            **dict.fromkeys([REVOKED, KEY_RATE_LIMITED, KEY_FORBIDDEN], 1),
            A: 10,
            B: 10,
        }
        for key in (A, B):
            with Kling(base_url=sandbox.base_url, api_key=key) as owner:
                assert owner.credits().credits == pytest.approx(1000 - 10 * 0.5)


def test_key_without_credits_is_skipped(open_client: OpenClient) -> None:
    with Sandbox(api_keys=[A]) as sandbox:
        client = open_client(sandbox, api_key=None, plugins=[Keypool([KEY_NO_CREDITS, A])])
        for _ in range(3):
            client.submit_job()
        assert list(map(key_of, posts(sandbox))) == [KEY_NO_CREDITS, A, A, A]


def test_concurrent_refusals_accept_one_post_per_job(open_client: OpenClient) -> None:
    with Sandbox(api_keys=[A, B]) as sandbox:
        client = open_client(sandbox, api_key=None, plugins=[Keypool([REVOKED, A, B])])
        jobs = run_concurrently(lambda _: client.submit_job(), range(40))
        counts = Counter(map(key_of, posts(sandbox)))
    assert len({job.request_id for job in jobs}) == counts[A] + counts[B] == 40
    assert counts[REVOKED] <= 12  # concurrent submits before the first refusal


def test_uncertain_submit_is_not_sent_with_another_key(open_client: OpenClient) -> None:
    with ScriptedServer([Hangup(), submit_reply()]) as server:
        client = open_client(server, api_key=None, plugins=[Keypool([A, B])])
        with pytest.raises(SubmitUncertain):
            client.submit_job()
        assert len(server.posts) == 1


@pytest.mark.parametrize("status", [400, 404, 500, 502, 504])
def test_unrelated_error_does_not_change_key(open_client: OpenClient, status: int) -> None:
    clock = SimulatedClock()
    pool = Keypool([A, B], clock=clock.now)
    with ScriptedServer([json_reply(status, {"error": "no"}), submit_reply()]) as server:
        client = open_client(server, api_key=None, plugins=[pool], clock=clock)
        if status in (500, 502):
            client.submit_job()
            assert clock.slept
        else:
            with pytest.raises(Exception, match=str(status)):
                client.submit_job()
            assert len(server.posts) == 1
    assert {pool.api_key(), pool.api_key()} == {A, B}


class SharedClock(SimulatedClock):
    """The clock of the client and of the sandbox."""

    sandbox: Sandbox

    def sleep(self, seconds: float) -> None:
        self.sandbox.advance(seconds)
        super().sleep(seconds)


def test_submits_wait_if_all_keys_are_rate_limited(open_client: OpenClient) -> None:
    clock = SharedClock()
    with Sandbox(api_keys=[A, B], rate_limit=2) as clock.sandbox:
        client = open_client(
            clock.sandbox, api_key=None, plugins=[Keypool([A, B], clock=clock.now)], clock=clock
        )
        for _ in range(12):  # takes three minutes
            client.submit_job()
        assert len(posts(clock.sandbox)) <= 12 + 2 * 2  # each key is refused once a minute at most
    # After the first minute, each key submits every half a minute.
    assert 110 < sum(clock.slept) < 160


def test_concurrent_rate_limited_submits_send_few_posts(
    open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The sleeps of all threads add up on the shared clock.
    monkeypatch.setattr("kling_adapters.protocol.sending.LONGEST_SLOT_WAIT", 1e6)
    clock = SharedClock()
    with Sandbox(api_keys=[A, B], rate_limit=5) as clock.sandbox:
        client = open_client(
            clock.sandbox, api_key=None, plugins=[Keypool([A, B], clock=clock.now)], clock=clock
        )
        jobs = run_concurrently(lambda _: client.submit_job(), range(20))
        post_count = len(posts(clock.sandbox))
    assert len({job.request_id for job in jobs}) == 20
    assert post_count <= 60, "both keys may refuse a submit, and one of them once more"


def test_refusal_of_last_key_is_raised(open_client: OpenClient) -> None:
    with Sandbox(api_keys=[A]) as sandbox:
        client = open_client(sandbox, api_key=None, plugins=[Keypool([REVOKED, KEY_FORBIDDEN])])
        with pytest.raises(Exception, match="403"):
            client.submit_job()
        with pytest.raises(ConfigError) as caught:
            client.submit_job()
        assert len(posts(sandbox)) == 2
    message = str(caught.value)
    assert f"{fingerprint_key(REVOKED)} is not valid (401)" in message
    assert f"{fingerprint_key(KEY_FORBIDDEN)} is not permitted to do this (403)" in message
    assert "Nothing was sent" in message


def test_reprs_logs_and_errors_hide_keys(open_client: OpenClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    pool = Keypool([REVOKED, KEY_RATE_LIMITED, A])
    outputs: list[Any] = [pool, vars(Keypool)]
    with Sandbox(api_keys=[A]) as sandbox:
        client = open_client(sandbox, api_key=None, plugins=[pool])
        job = client.submit_job()
        job.wait()
        outputs += [client.kling, client.kling.plugins, unwrap(job)]
        for key, error in [(REVOKED, Unauthorized), (KEY_RATE_LIMITED, RateLimited)]:
            single_key_client = open_client(sandbox, api_key=None, plugins=[Keypool([key])])
            for kind in (error, ConfigError if key == REVOKED else error):
                with pytest.raises(kind) as caught:
                    single_key_client.submit_job()
                outputs += [caught.value, caught.getrepr(chain=True)]
    text = f"{outputs} {'; '.join(map(str, outputs))} {caplog.text}"
    assert f"Keypool({fingerprint_key(REVOKED)}, " in text
    assert "submitted" in text
    for key in (REVOKED, KEY_RATE_LIMITED, A):
        assert key not in text


# The pool without a client, on a clock that the test sets.


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def take(pool: Keypool, count: int) -> list[str]:
    return [pool.api_key() for _ in range(count)]


def start(pool: Keypool, request_id: str) -> str:
    key = pool.api_key()
    pool.accepted(key, request_id)
    return key


def test_keypool_implements_key_pool(time: Time) -> None:
    assert isinstance(Keypool([A], clock=time), KeyPool)


def test_pending_submits_take_turns(time: Time) -> None:
    assert take(Keypool([A, B, C], clock=time), 7) == [A, B, C, A, B, C, A]


def test_sequential_jobs_take_turns(time: Time) -> None:
    pool = Keypool([A, B, C], clock=time)
    keys: list[str] = []
    for number in range(6):
        keys.append(start(pool, f"job {number}"))
        pool.kling_event(events.Failed(f"job {number}", None, "blocked", 1))
    assert keys == [A, B, C, A, B, C]


def test_finished_job_adds_no_load_and_keeps_its_key(time: Time) -> None:
    pool = Keypool([A, B], clock=time)
    first = [start(pool, f"job {number}") for number in range(4)]
    assert first == [A, B, A, B]
    pool.kling_event(events.Failed("job 1", None, "blocked", 3))
    pool.kling_event(events.Expired("job 3", "kling-2", 3))
    pool.kling_event(events.Expired("unknown job", "kling-2", 3))
    pool.kling_event(events.Failed("job 1", None, "blocked", 3))
    assert [start(pool, f"later {number}") for number in range(2)] == [B, B]
    assert pool.key_of("job 1") == B
    assert pool.key_of("unknown job") is None


def test_job_load_expires_in_hour_and_submit_in_minute(time: Time) -> None:
    pool = Keypool([A, B], clock=time)
    assert start(pool, "job") == A
    assert take(pool, 1) == [B]
    time.now += 60
    assert take(pool, 1) == [B]  # the pending submit before it has timed out
    time.now += 3539
    assert take(pool, 1) == [B]
    time.now += 61
    assert take(pool, 2) == [A, B]  # no load on either key: they take turns
    assert pool.key_of("job") == A
    time.now += 3600
    start(pool, "another")
    assert pool.key_of("job") is None


def test_rate_limited_key_pauses_for_retry_after(time: Time) -> None:
    pool = Keypool([A, B], clock=time)
    key = pool.api_key()
    assert pool.refused(key, 429, 42.0)
    assert take(pool, 3) == [B] * 3
    time.now += 41
    assert pool.api_key() == B
    time.now += 1
    assert pool.api_key() == A


def measure_pause(pool: Keypool, time: Time) -> float:
    """Refuse A with a 429; return the seconds that it pauses."""
    pool.refused(A, 429, None)
    begin = time.now
    while pool.refused(B, 429, None):  # as long as A is ready
        raise AssertionError("A does not pause")
    while not pool.refused(B, 429, None):
        time.now += 0.5
    return time.now - begin


def test_pause_without_retry_after_doubles(time: Time) -> None:
    pool = Keypool([A, B], clock=time)
    assert [measure_pause(pool, time) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    pool.accepted(A, "job")
    assert measure_pause(pool, time) == 1


def test_concurrent_429_responses_count_once(time: Time) -> None:
    pool = Keypool([A, B], clock=time)
    for _ in range(10):
        pool.refused(A, 429, None)
    time.now += 1
    assert pool.refused(B, 401, None), "A is ready again"


def test_elapsed_retry_after_still_pauses_key(time: Time) -> None:
    pool = Keypool([A], clock=time)
    assert not pool.refused(A, 429, 0.0)
    pool = Keypool([A, B], clock=time)
    pool.refused(A, 429, -5.0)
    assert not pool.refused(B, 429, 0.0)


@pytest.mark.parametrize(("status", "seconds"), [(401, 3600), (403, 600), (406, 600)])
def test_key_pause_depends_on_refusal_status(time: Time, status: int, seconds: float) -> None:
    pool = Keypool([A, B], clock=time)
    assert pool.refused(A, status, None)
    time.now += seconds - 1
    assert set(take(pool, 3)) == {B}
    time.now += 1
    assert A in take(pool, 2)


def test_late_429_does_not_shorten_pause_of_revoked_key(time: Time) -> None:
    pool = Keypool([A], clock=time)
    pool.refused(A, 401, None)
    pool.refused(A, 429, None)
    with pytest.raises(ConfigError, match=r"is not valid \(401\), retried in 3600 s"):
        pool.api_key()


def test_all_paused_pool_returns_earliest_rate_limit(time: Time) -> None:
    pool = Keypool([A, B, C], clock=time)
    assert pool.refused(A, 429, 30.0)
    assert pool.refused(B, 403, None)
    assert not pool.refused(C, 429, 20.0)
    assert pool.api_key() == C


def test_foreign_key_changes_nothing(time: Time) -> None:
    pool = Keypool([A], clock=time)
    assert pool.refused(B, 401, None)
    pool.accepted(B, "job")
    assert pool.key_of("job") is None
    assert pool.api_key() == A


def test_concurrent_threads_lose_no_job(time: Time) -> None:
    pool = Keypool([A, B, C], clock=time)
    barrier = threading.Barrier(8)

    def work(worker: int) -> None:
        barrier.wait()
        for number in range(300):
            start(pool, f"{worker}-{number}")

    run_concurrently(work, range(8), threads=8)
    ids = [f"{worker}-{number}" for worker in range(8) for number in range(300)]
    assert set(Counter(map(pool.key_of, ids)).values()) == {800}


# Sources of the keys.


@pytest.mark.parametrize("keys", [f"{A},{B}", f" {A} , {B} ,", f"{A}\n{B}\n", f"{A} {A} {B}"])
def test_keys_come_from_environment(monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    monkeypatch.setenv("SEGMIND_API_KEYS", keys)
    pool = Keypool()
    assert pool.kling_auth(chosen=False) is pool
    assert take(pool, 3) == [A, B, A]


def test_keys_come_from_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"# of the studio\n{A}\r\n\n  {B}  \n", "utf-8")
    monkeypatch.setenv("SEGMIND_API_KEYS_FILE", str(path))
    pool = Keypool()
    assert pool.kling_auth(chosen=True) is pool
    assert take(pool, 3) == [A, B, A]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"# nothing\n\n", "contains no key"),
        (A.encode() + b"\xff", "is not a UTF-8 text file"),
    ],
)
def test_unusable_key_file_is_config_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("SEGMIND_API_KEYS_FILE", str(path))
    with pytest.raises(ConfigError, match=message) as caught:
        Keypool().kling_auth(chosen=False)
    assert A not in f"{caught.value}{caught.getrepr(chain=True)}"


def test_pool_without_keys_is_error_only_if_selected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMIND_API_KEYS", " , ")
    assert Keypool().kling_auth(chosen=False) is None
    with pytest.raises(ConfigError, match="set SEGMIND_API_KEYS"):
        Keypool().kling_auth(chosen=True)
    with pytest.raises(ConfigError, match="no API key"):
        Keypool(["", " "])


def test_configured_pool_precedes_single_key(
    open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", C)
    with Sandbox(api_keys=[A, B, C]) as sandbox:
        single = open_client(sandbox, api_key=None)
        single.submit_job()
        monkeypatch.setenv("SEGMIND_API_KEYS", f"{A},{B}")
        pooled = open_client(sandbox, api_key=None)
        for _ in range(4):
            pooled.submit_job()
        single.submit_job()
        chosen = open_client(sandbox, api_key=None, auth="env_auth")
        chosen.submit_job()
        assert [key_of(post) for post in posts(sandbox)] == [C, A, B, A, B, C, C]


def test_clients_share_a_pool_only_if_passed_one(open_client: OpenClient) -> None:
    with Sandbox(api_keys=[A, B]) as sandbox:
        shared = Keypool([A, B])
        for _ in range(2):
            open_client(sandbox, api_key=None, plugins=[shared]).submit_job()
        for _ in range(2):
            open_client(sandbox, api_key=None, plugins=[Keypool([A, B])]).submit_job()
        assert [key_of(post) for post in posts(sandbox)] == [A, B, A, A]


def test_readme_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    with Sandbox(api_keys=["SG_first...", "SG_second..."]) as sandbox:
        exec(code.replace("plugins=", f"base_url={sandbox.base_url!r}, plugins="), {})
    assert len(list((tmp_path / "renders").iterdir())) == 1
