"""kling-keypool: jobs are spread over keys, refused keys rest, and nothing is submitted twice for it."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from anyio.from_thread import start_blocking_portal
from kling_keypool import Keypool, fingerprint
from kling_sandbox import KEY_FORBIDDEN, KEY_NO_CREDITS, KEY_RATE_LIMITED, Received, Sandbox

from kling_adapters import (
    AsyncKling,
    ConfigError,
    Expired,
    Failed,
    Kling,
    RateLimited,
    SubmitUncertain,
    Unauthorized,
)
from kling_adapters.hookspecs import KeyPool
from kling_adapters.testing import SimulatedClock
from tests.faults.stub import Hangup, Stub, accepted, reply

A, B, C = (f"SG_{letter * 16}" for letter in "abc")
REVOKED = "SG_dddddddddddddddd"
README = Path(__file__).parents[2] / "plugins/keypool/README.md"

T = TypeVar("T")
Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def no_key_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEGMIND_API_KEY", "SEGMIND_API_KEYS", "SEGMIND_API_KEYS_FILE", "KLING_AUTH"):
        monkeypatch.delenv(name, raising=False)


class Client:
    """One client, of either kind. `do` calls a method and waits for it; from several threads at once, if wanted."""

    def __init__(self, kling: Any, portal: Any) -> None:
        self.kling = kling
        self._portal = portal

    def do(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        call = partial(method, *arguments, **named)
        return self._portal.call(call) if self._portal else call()

    def submit(self, _: object = None) -> Any:
        return self.do(
            self.kling.submit, "kling-o1", prompt="a @Image1", image_urls=["https://example.com/a.png"]
        )


Connect = Callable[..., Client]


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal()) if request.param == "async" else None

        def make(base_url: str, **options: Any) -> Client:
            given = {"base_url": base_url, "clock": SimulatedClock(), **options}
            client = Client(AsyncKling(**given) if portal else Kling(**given), portal)
            stack.callback(client.do, client.kling.close)
            return client

        yield make


def at_once(function: Callable[[Any], T], items: Any, threads: int = 12) -> list[T]:
    with ThreadPoolExecutor(threads) as executor:
        return list(executor.map(function, items))


def posts(sandbox: Sandbox) -> list[Received]:
    return [request for request in sandbox.requests if request.method == "POST"]


def key_of(request: Received) -> str:
    """Which of the keys here a request was sent with; the sandbox keeps only longer fingerprints."""
    keys = (A, B, C, REVOKED, KEY_FORBIDDEN, KEY_NO_CREDITS, KEY_RATE_LIMITED)
    digests = {"sha256:" + hashlib.sha256(key.encode()).hexdigest()[:16]: key for key in keys}
    return digests[request.headers["x-api-key"]]


def test_a_hundred_jobs_are_spread_evenly_and_each_stays_with_its_key(connect: Connect) -> None:
    pool = Keypool([A, B, C])
    with Sandbox(timing="polls:2", api_keys=[A, B, C]) as sandbox:
        client = connect(sandbox.base_url, plugins=[pool])
        jobs = at_once(client.submit, range(100))
        results = at_once(lambda job: client.do(job.wait), jobs)
        assert len({result.request_id for result in results}) == 100
        assert sorted(Counter(map(key_of, posts(sandbox))).values()) == [33, 33, 34]
        for job in jobs:
            asked = [key_of(request) for request in sandbox.requests if job.request_id in request.path]
            assert len(asked) == 4  # three polls, and the result
            assert set(asked) == {pool.key_of(job.request_id)}


def test_whole_runs_at_once_are_spread_too(connect: Connect) -> None:
    with Sandbox(timing="polls:1", api_keys=[A, B, C]) as sandbox:
        client = connect(sandbox.base_url, plugins=[Keypool([A, B, C])])
        at_once(lambda _: client.do(client.submit().wait), range(60))
        counts = Counter(map(key_of, posts(sandbox))).values()
    assert sum(counts) == 60
    assert min(counts) >= 16


def test_a_refused_key_makes_the_submit_go_to_another_at_once_and_every_job_is_paid_once(
    connect: Connect,
) -> None:
    clock = SimulatedClock()
    pool = Keypool([REVOKED, KEY_RATE_LIMITED, KEY_FORBIDDEN, A, B], clock=clock.now)
    with Sandbox(api_keys=[A, B]) as sandbox:
        client = connect(sandbox.base_url, plugins=[pool], clock=clock)
        jobs = [client.submit() for _ in range(20)]
        assert len({job.request_id for job in jobs}) == 20
        assert clock.slept == []
        assert Counter(map(key_of, posts(sandbox))) == {
            **dict.fromkeys([REVOKED, KEY_RATE_LIMITED, KEY_FORBIDDEN], 1),
            A: 10,
            B: 10,
        }
        for key in (A, B):
            with Kling(base_url=sandbox.base_url, api_key=key) as owner:
                assert owner.credits().credits == pytest.approx(1000 - 10 * 0.04)


def test_a_key_without_credits_is_passed_over(connect: Connect) -> None:
    with Sandbox(api_keys=[A]) as sandbox:
        client = connect(sandbox.base_url, plugins=[Keypool([KEY_NO_CREDITS, A])])
        for _ in range(3):
            client.submit()
        assert list(map(key_of, posts(sandbox))) == [KEY_NO_CREDITS, A, A, A]


def test_keys_refused_while_many_submit_cost_one_accepted_post_a_job(connect: Connect) -> None:
    with Sandbox(api_keys=[A, B]) as sandbox:
        client = connect(sandbox.base_url, plugins=[Keypool([REVOKED, A, B])])
        jobs = at_once(client.submit, range(40))
        counts = Counter(map(key_of, posts(sandbox)))
    assert len({job.request_id for job in jobs}) == counts[A] + counts[B] == 40
    assert counts[REVOKED] <= 12  # those that were under way before the first was refused


def test_a_submit_that_breaks_after_the_body_is_not_tried_with_another_key(connect: Connect) -> None:
    with Stub([Hangup(), accepted()]) as stub:
        client = connect(stub.url, plugins=[Keypool([A, B])])
        with pytest.raises(SubmitUncertain):
            client.submit()
        assert len(stub.posts) == 1


@pytest.mark.parametrize("status", [400, 404, 500, 502, 504])
def test_an_answer_that_says_nothing_of_the_key_takes_no_other_for_it(connect: Connect, status: int) -> None:
    clock = SimulatedClock()
    pool = Keypool([A, B], clock=clock.now)
    with Stub([reply(status, {"error": "no"}), accepted()]) as stub:
        client = connect(stub.url, plugins=[pool], clock=clock)
        if status in (500, 502):
            client.submit()
            assert clock.slept
        else:
            with pytest.raises(Exception, match=str(status)):
                client.submit()
            assert len(stub.posts) == 1
    assert {pool.api_key(), pool.api_key()} == {A, B}


class Both(SimulatedClock):
    """The time of the client and of the sandbox."""

    sandbox: Sandbox

    def sleep(self, seconds: float) -> None:
        self.sandbox.advance(seconds)
        super().sleep(seconds)


def test_when_all_keys_are_limited_submits_wait_and_do_not_storm(connect: Connect) -> None:
    clock = Both()
    with Sandbox(api_keys=[A, B], rate_limit=2) as clock.sandbox:
        client = connect(clock.sandbox.base_url, plugins=[Keypool([A, B], clock=clock.now)], clock=clock)
        for _ in range(12):  # three minutes' worth
            client.submit()
        assert len(posts(clock.sandbox)) == 12 + 2 * 2  # each key is refused once a minute
    assert len([seconds for seconds in clock.slept if seconds > 1]) == 2
    assert 110 < sum(clock.slept) < 130


def test_many_at_once_on_limited_keys_do_not_storm_either(connect: Connect) -> None:
    clock = Both()
    with Sandbox(api_keys=[A, B], rate_limit=5) as clock.sandbox:
        client = connect(clock.sandbox.base_url, plugins=[Keypool([A, B], clock=clock.now)], clock=clock)
        jobs = at_once(client.submit, range(20))
        sent = len(posts(clock.sandbox))
    assert len({job.request_id for job in jobs}) == 20
    assert sent <= 60, "each may be refused by both keys, and once more"


def test_when_the_last_key_is_refused_the_answer_is_the_error(connect: Connect) -> None:
    with Sandbox(api_keys=[A]) as sandbox:
        client = connect(sandbox.base_url, plugins=[Keypool([REVOKED, KEY_FORBIDDEN])])
        with pytest.raises(Exception, match="403"):
            client.submit()
        with pytest.raises(ConfigError) as caught:
            client.submit()
        assert len(posts(sandbox)) == 2
    message = str(caught.value)
    assert f"{fingerprint(REVOKED)} is not valid (401)" in message
    assert f"{fingerprint(KEY_FORBIDDEN)} is not permitted to do this (403)" in message
    assert "Nothing was sent" in message


def test_keys_appear_nowhere(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    pool = Keypool([REVOKED, KEY_RATE_LIMITED, A])
    shown: list[Any] = [pool, vars(Keypool)]
    with Sandbox(api_keys=[A]) as sandbox:
        client = connect(sandbox.base_url, plugins=[pool])
        job = client.submit()
        client.do(job.wait)
        shown += [client.kling, client.kling.plugins, job]
        for key, error in [(REVOKED, Unauthorized), (KEY_RATE_LIMITED, RateLimited)]:
            alone = connect(sandbox.base_url, plugins=[Keypool([key])])
            for kind in (error, ConfigError if key == REVOKED else error):
                with pytest.raises(kind) as caught:
                    alone.submit()
                shown += [caught.value, caught.getrepr(chain=True)]
    text = f"{shown} {'; '.join(map(str, shown))} {caplog.text}"
    assert f"Keypool({fingerprint(REVOKED)}, " in text
    assert "submitted" in text
    for key in (REVOKED, KEY_RATE_LIMITED, A):
        assert key not in text


# The pool by itself, with a clock that is set.


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


def test_it_is_a_key_pool(time: Time) -> None:
    assert isinstance(Keypool([A], clock=time), KeyPool)


def test_equal_keys_take_turns_even_before_a_submit_is_answered(time: Time) -> None:
    assert take(Keypool([A, B, C], clock=time), 7) == [A, B, C, A, B, C, A]


def test_jobs_that_run_one_after_the_other_take_turns_too(time: Time) -> None:
    pool = Keypool([A, B, C], clock=time)
    taken: list[str] = []
    for number in range(6):
        taken.append(start(pool, f"job {number}"))
        pool.kling_event(Failed(f"job {number}", None, "blocked", 1))
    assert taken == [A, B, C, A, B, C]


def test_a_job_that_has_ended_counts_no_longer_and_is_still_known(time: Time) -> None:
    pool = Keypool([A, B], clock=time)
    first = [start(pool, f"job {number}") for number in range(4)]
    assert first == [A, B, A, B]
    pool.kling_event(Failed("job 1", None, "blocked", 3))
    pool.kling_event(Expired("job 3", "kling-2", 3))
    pool.kling_event(Expired("of nobody", "kling-2", 3))
    pool.kling_event(Failed("job 1", None, "blocked", 3))
    assert [start(pool, f"later {number}") for number in range(2)] == [B, B]
    assert pool.key_of("job 1") == B
    assert pool.key_of("of nobody") is None


def test_a_job_counts_for_an_hour_and_a_submit_without_an_end_for_a_minute(time: Time) -> None:
    pool = Keypool([A, B], clock=time)
    assert start(pool, "job") == A
    assert take(pool, 1) == [B]
    time.now += 60
    assert take(pool, 1) == [B]  # the one before has lapsed
    time.now += 3539
    assert take(pool, 1) == [B]
    time.now += 61
    assert take(pool, 2) == [A, B]  # neither has anything: turns again
    assert pool.key_of("job") == A
    time.now += 3600
    start(pool, "another")
    assert pool.key_of("job") is None


def test_a_limited_key_rests_until_the_gateway_says(time: Time) -> None:
    pool = Keypool([A, B], clock=time)
    key = pool.api_key()
    assert pool.refused(key, 429, 42.0)
    assert take(pool, 3) == [B] * 3
    time.now += 41
    assert pool.api_key() == B
    time.now += 1
    assert pool.api_key() == A


def rests(pool: Keypool, time: Time) -> float:
    """Have A refused by a limit; return for how long it rests."""
    pool.refused(A, 429, None)
    begin = time.now
    while pool.refused(B, 429, None):  # while A is ready
        raise AssertionError("it does not rest")
    while not pool.refused(B, 429, None):
        time.now += 0.5
    return time.now - begin


def test_without_a_word_of_the_gateway_a_limited_key_rests_longer_each_time(time: Time) -> None:
    pool = Keypool([A, B], clock=time)
    assert [rests(pool, time) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    pool.accepted(A, "job")
    assert rests(pool, time) == 1


def test_submits_refused_together_are_one_limit(time: Time) -> None:
    pool = Keypool([A, B], clock=time)
    for _ in range(10):
        pool.refused(A, 429, None)
    time.now += 1
    assert pool.refused(B, 401, None), "A is ready again"


def test_a_limit_that_is_always_over_already_is_no_storm(time: Time) -> None:
    pool = Keypool([A], clock=time)
    assert not pool.refused(A, 429, 0.0)
    pool = Keypool([A, B], clock=time)
    pool.refused(A, 429, -5.0)
    assert not pool.refused(B, 429, 0.0)


@pytest.mark.parametrize(("status", "seconds"), [(401, 3600), (403, 600), (406, 600)])
def test_a_key_refused_for_another_reason_rests_long(time: Time, status: int, seconds: float) -> None:
    pool = Keypool([A, B], clock=time)
    assert pool.refused(A, status, None)
    time.now += seconds - 1
    assert set(take(pool, 3)) == {B}
    time.now += 1
    assert A in take(pool, 2)


def test_a_late_429_does_not_shorten_the_rest_of_a_revoked_key(time: Time) -> None:
    pool = Keypool([A], clock=time)
    pool.refused(A, 401, None)
    pool.refused(A, 429, None)
    with pytest.raises(ConfigError, match=r"is not valid \(401\), tried again in 3600 s"):
        pool.api_key()


def test_when_all_rest_the_limit_that_ends_first_is_waited_for(time: Time) -> None:
    pool = Keypool([A, B, C], clock=time)
    assert pool.refused(A, 429, 30.0)
    assert pool.refused(B, 403, None)
    assert not pool.refused(C, 429, 20.0)
    assert pool.api_key() == C


def test_a_key_that_is_not_of_the_pool_changes_nothing(time: Time) -> None:
    pool = Keypool([A], clock=time)
    assert pool.refused(B, 401, None)
    pool.accepted(B, "job")
    assert pool.key_of("job") is None
    assert pool.api_key() == A


def test_threads_do_not_lose_a_job(time: Time) -> None:
    pool = Keypool([A, B, C], clock=time)
    barrier = threading.Barrier(8)

    def work(worker: int) -> None:
        barrier.wait()
        for number in range(300):
            start(pool, f"{worker}-{number}")

    at_once(work, range(8), threads=8)
    ids = [f"{worker}-{number}" for worker in range(8) for number in range(300)]
    assert set(Counter(map(pool.key_of, ids)).values()) == {800}


# Where the keys come from.


@pytest.mark.parametrize("keys", [f"{A},{B}", f" {A} , {B} ,", f"{A}\n{B}\n", f"{A} {A} {B}"])
def test_keys_of_the_environment(monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    monkeypatch.setenv("SEGMIND_API_KEYS", keys)
    pool = Keypool()
    assert pool.kling_auth(chosen=False) is pool
    assert take(pool, 3) == [A, B, A]


def test_keys_of_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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
        (b"# nothing\n\n", "there is no key in"),
        (A.encode() + b"\xff", "is not a text file"),
    ],
)
def test_a_file_without_keys_stops_the_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("SEGMIND_API_KEYS_FILE", str(path))
    with pytest.raises(ConfigError, match=message) as caught:
        Keypool().kling_auth(chosen=False)
    assert A not in f"{caught.value}{caught.getrepr(chain=True)}"


def test_without_keys_it_leaves_the_question_to_others_unless_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMIND_API_KEYS", " , ")
    assert Keypool().kling_auth(chosen=False) is None
    with pytest.raises(ConfigError, match="set SEGMIND_API_KEYS"):
        Keypool().kling_auth(chosen=True)
    with pytest.raises(ConfigError, match="no API key"):
        Keypool(["", " "])


def test_installed_and_configured_it_precedes_the_one_key(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", C)
    with Sandbox(api_keys=[A, B, C]) as sandbox:
        one = connect(sandbox.base_url)
        one.submit()
        monkeypatch.setenv("SEGMIND_API_KEYS", f"{A},{B}")
        several = connect(sandbox.base_url)
        for _ in range(4):
            several.submit()
        one.submit()
        chosen = connect(sandbox.base_url, auth="env_auth")
        chosen.submit()
        assert [key_of(post) for post in posts(sandbox)] == [C, A, B, A, B, C, C]


def test_two_clients_have_pools_of_their_own_and_may_share_one(connect: Connect) -> None:
    with Sandbox(api_keys=[A, B]) as sandbox:
        shared = Keypool([A, B])
        for _ in range(2):
            connect(sandbox.base_url, plugins=[shared]).submit()
        for _ in range(2):
            connect(sandbox.base_url, plugins=[Keypool([A, B])]).submit()
        assert [key_of(post) for post in posts(sandbox)] == [A, B, A, A]


def test_the_example_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    with Sandbox(api_keys=["SG_first...", "SG_second..."]) as sandbox:
        exec(code.replace("plugins=", f"base_url={sandbox.base_url!r}, plugins="), {})
    assert len(list((tmp_path / "renders").iterdir())) == 1
