"""Programs that see something else with kling_adapters.compat.segmind, on purpose; docs/segmind.md lists them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import segmind as official
from kling_sandbox import KEY_RATE_LIMITED, Fault, Sandbox

from kling_adapters import Kling, SubmitUncertain
from kling_adapters.compat import segmind as compatible
from kling_adapters.errors import ParamsInvalid
from tests.conformance.both_clients import KINDS, OpenTimed, Program, World, catch, observe
from tests.support.scripted_server import ScriptedServer, gateway_script, result_reply

PROMPT = {"prompt": "x"}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
PARTS = ("chat", "chat_sync", "submit_chat", "models", "pixelflows", "webhooks")


@pytest.fixture
def compare(open_timed: OpenTimed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return what a program sees with the official client, and with the compatible one."""
    monkeypatch.chdir(tmp_path)

    def call(program: Program, timing: str = "at-once") -> list[Any]:
        return [observe(program, kind, open_timed(timing), monkeypatch) for kind in KINDS]

    return call


def submit_under(*faults: Fault, call: str = "submit_async", **options: Any) -> Program:
    """Return a program that submits once under faults, and sees the status, the requests and the bills."""

    def program(world: World) -> Any:
        world.set_faults(*faults)
        before = len(world.sandbox.submits)
        error = catch(world, getattr(world.connect(**options), call), "kling-2", **PROMPT)
        posts = world.sandbox.submits[before:]
        status = (
            error if error == "nothing" else (error["status"] if "status" in error else error["caught as"])
        )
        return [status, len(posts), len(world.billed)]

    return program


@pytest.mark.parametrize("call", ["submit_async", "run", "run_sync"])
@pytest.mark.parametrize("params", [{"prompt": "x", "duration": 7}, {"prompt": "x", "mood": "sad"}, {}])
def test_invalid_parameters_are_refused_before_sending(
    compare: Any, call: str, params: dict[str, Any]
) -> None:
    def program(world: World) -> Any:
        error = catch(world, getattr(world.connect(), call), "kling-2", **params)
        return [error["caught as"], error["status"], world.requests]

    assert compare(program) == [[["SegmindError"], 400, 1], [["SegmindError"], 400, 0]]


@pytest.mark.parametrize("status", ["429", "500", "502"])
def test_refused_submit_is_repeated(compare: Any, status: str) -> None:
    assert compare(submit_under(Fault(status, method="POST", nth=1))) == [
        [int(status), 1, 0],
        ["nothing", 2, 1],
    ]


def test_direct_run_is_repeated_after_a_429_only(compare: Any) -> None:
    program = submit_under(Fault("429", method="POST", nth=1), call="run_sync")
    assert compare(program) == [[429, 1, 0], ["nothing", 2, 1]]
    program = submit_under(Fault("502", method="POST", nth=1), call="run_sync", history=False)
    assert compare(program) == [[502, 1, 0], [None, 1, 0]]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("504", 504),
        ("html", 502),
        ("reset-late", ["httpx.TransportError"]),
        ("truncate", ["httpx.TransportError"]),
        ("garbage", ["ValueError"]),
    ],
)
def test_job_of_a_lost_answer_is_found(compare: Any, fault: str, error: Any) -> None:
    answers = compare(submit_under(Fault(fault, method="POST", nth=1), journal="journal"))
    # A page instead of an answer stands for a job that was not started, and may be repeated.
    billed = 0 if fault == "html" else 1
    assert answers == [[error, 1, billed], ["nothing", 2 if fault == "html" else 1, 1]]


@pytest.mark.parametrize("fault", ["504", "reset-early", "reset-late"])
def test_uncertain_submit_escapes_loops_that_repeat(
    open_timed: OpenTimed, monkeypatch: Any, fault: str
) -> None:
    """Such loops catch httpx.TransportError, and SegmindErrors with a status of 5xx; with the official client they pay twice."""
    billed = {}
    for kind in KINDS:

        def program(world: World) -> Any:
            world.set_faults(Fault(fault, method="POST", nth=1))
            client = world.connect(history=False)
            for _ in range(3):
                error = catch(world, client.submit_async, "kling-2", **PROMPT)
                is_repeated = error != "nothing" and (
                    "httpx.TransportError" in error["caught as"] or (error.get("status") or 0) >= 500
                )
                if not is_repeated:
                    return [error if error == "nothing" else error["caught as"], len(world.billed)]
            return None

        billed[kind] = observe(program, kind, open_timed("at-once"), monkeypatch)
    assert billed["official"] == ["nothing", 1 if fault == "reset-early" else 2]
    assert billed["compatible"] == [["SegmindError"], 0 if fault == "reset-early" else 1]


def test_errors_have_the_native_error_as_cause(open_timed: OpenTimed, tmp_path: Path) -> None:
    sandbox = open_timed("at-once")
    with compatible.SegmindClient(
        "SG_0000000000000001", sandbox.base_url, journal=tmp_path / "journal", history=False
    ) as client:
        sandbox.faults = [Fault("504", method="POST", nth=1)]
        with pytest.raises(compatible.SubmitUncertain) as uncertain:
            client.submit_async("kling-2", **PROMPT)
        sandbox.faults = []
        assert isinstance(uncertain.value.__cause__, SubmitUncertain)
        assert uncertain.value.__cause__.entry == client.kling.entries()[0].id
        with pytest.raises(
            compatible.SegmindError, match=r"duration(.|\n)*Nothing was sent|nothing was sent"
        ) as invalid:
            client.submit_async("kling-2", prompt="x", duration=7)
        assert isinstance(invalid.value.__cause__, ParamsInvalid)


@pytest.mark.parametrize(
    "fault", ["404", "429", "500", "502", "504", "html", "reset-early", "reset", "truncate"]
)
def test_wait_survives_a_failed_poll(compare: Any, fault: str) -> None:
    def program(world: World) -> Any:
        job = world.connect().submit_async("kling-2", **PROMPT)
        world.set_faults(Fault(fault, method="GET", path="/v2/*", nth=1))
        return catch(world, job.wait) == "nothing"

    assert compare(program) == [False, True]


def test_state_survives_a_failed_query(compare: Any) -> None:
    def program(world: World) -> Any:
        job = world.connect().submit_async("kling-2", **PROMPT)
        world.set_faults(Fault("502", method="GET", path="/v2/*", nth=1))
        return catch(world, job.status) == "nothing"

    assert compare(program) == [False, True]


def test_polls_ignore_the_interval(compare: Any) -> None:
    def program(world: World) -> Any:
        job = world.connect().submit_async("kling-2", **PROMPT)
        before = world.requests
        job.wait(interval=2)
        return world.requests - before

    official_polls, polls = compare(program, "latency:1")
    # 300.73 seconds are documented for the model.
    assert official_polls == 153
    assert polls < official_polls / 2


def test_expired_job_is_completed_from_the_history(compare: Any) -> None:
    def program(world: World) -> Any:
        job = world.connect().submit_async("kling-2", **PROMPT)
        world.sandbox.advance(3700)
        bodies = [job.status, job.result, job.wait]
        return [catch(world, call) == "nothing" for call in bodies]

    assert compare(program) == [[False] * 3, [True] * 3]


def test_key_is_not_sent_to_addresses_of_answers(compare: Any) -> None:
    with Sandbox() as foreign:

        def program(world: World) -> Any:
            job = world.connect().submit_async("kling-2", **PROMPT)
            url = f"{foreign.base_url}/v2/requests/{job.request_id}"
            again = world.api.AsyncJob(job.request_id, f"{url}/status", url, {}, world.connect())
            return [catch(world, again.wait) == "nothing", foreign.has_received_key(world.key)]

        assert compare(program) == [[False, True], [True, False]]


class _Transport(httpx.BaseTransport):
    """A transport that answers with a video, and keeps the time limit of each request."""

    def __init__(self) -> None:
        self.limits: list[float] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.limits.append(request.extensions["timeout"]["read"])
        return httpx.Response(200, content=b"video", headers={"content-type": "video/mp4"})


@pytest.mark.parametrize(("options", "limit"), [({}, 1202.92), ({"timeout": 120}, 120)])
def test_direct_run_has_a_time_limit_of_its_model(options: Any, limit: float) -> None:
    """The official client gives up after 30 seconds, and the job is billed."""
    transport = _Transport()
    with compatible.SegmindClient("SG_1", journal=None, transport=transport, **options) as client:
        assert client.run_sync("kling-2", **PROMPT).content == b"video"
        assert client.timeout == options.get("timeout", 30.0)
    assert transport.limits == [pytest.approx(limit)]


def test_direct_run_of_a_model_without_a_spec_is_submitted(compare: Any) -> None:
    def program(world: World) -> Any:
        response = world.connect().run_sync("raw", timeout=1)
        path = world.sandbox.submits[-1].path
        return [
            path,
            response.status_code,
            response.headers["content-type"],
            response.headers["x-cost"],
            world.billed,
        ]

    official_view, view = compare(program)
    assert official_view[0] == "/v1/raw"
    assert view == ["/v2/raw", *official_view[1:]]


def test_direct_run_without_files_returns_the_body(server: ScriptedServer) -> None:
    server.play(gateway_script(result=[result_reply("a text")]))
    with compatible.SegmindClient("SG_1", server.url, journal=None, history=False) as client:
        response = client.run_sync("text-9", prompt="x")
    assert response.json()["output"] == "a text"
    assert response.headers["x-request-id"] == response.json()["request_id"]


def test_missing_key_is_refused_before_sending(compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGMIND_API_KEY", raising=False)

    def program(world: World) -> Any:
        error = catch(world, world.connect("").submit_async, "kling-2", **PROMPT)
        return [error["caught as"], error["status"], world.requests]

    assert compare(program) == [[["SegmindError"], 401, 1], [["SegmindError"], None, 0]]


def test_local_media_is_uploaded(compare: Any) -> None:
    def program(world: World) -> Any:
        Path("a.png").write_bytes(PNG)
        return catch(world, world.connect().run, "kling-bloombloom", image=Path("a.png")) == "nothing"

    assert compare(program) == [False, True]


def test_equal_files_are_uploaded_once(compare: Any) -> None:
    def program(world: World) -> Any:
        Path("a.png").write_bytes(PNG + world.key.encode())
        files, before = world.connect().files, world.sandbox.uploads
        return [len(files.upload(["a.png", "a.png"])["file_urls"]), world.sandbox.uploads - before]

    assert compare(program) == [[2, 2], [2, 1]]


def test_files_are_judged_by_their_content(compare: Any) -> None:
    def program(world: World) -> Any:
        Path("text.png").write_text("not a picture")
        Path("picture.data").write_bytes(PNG)
        upload = world.connect().files.upload
        return [catch(world, upload, name) == "nothing" for name in ("text.png", "picture.data")]

    assert compare(program) == [[True, False], [False, True]]


def test_other_products_say_what_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    client = compatible.SegmindClient("SG_1", journal=None)
    calls = [getattr(owner, name) for owner in (compatible, client) for name in PARTS]
    calls += [
        client.accounts.current,
        client.finetune.submit,
        client.generations.list,
        client.generations.recent,
    ]
    calls += [compatible.image_url, compatible.ChatResponse, compatible.AsyncChatJob, compatible.webhooks.add]
    for call in calls:
        with pytest.raises(
            NotImplementedError, match=r"not in kling_adapters.compat.segmind.*use.*Nothing was sent"
        ):
            call("x", prompt="y")
        assert not hasattr(call, "_client")
        assert "not here" in repr(call)


def test_classes_are_not_those_of_the_official_client() -> None:
    assert not issubclass(compatible.SegmindError, official.SegmindError)


def test_rate_limit_is_waited_for_within_the_timeout(compare: Any) -> None:
    def program(world: World) -> Any:
        before = world.clock.now()
        error = catch(world, world.connect(KEY_RATE_LIMITED, timeout=90.0).submit_async, "kling-2", **PROMPT)
        return [error["status"], 0 < world.clock.now() - before < 100]

    assert compare(program) == [[429, False], [429, True]]


def test_submits_are_in_the_journal(open_timed: OpenTimed, tmp_path: Path) -> None:
    options: Any = {"api_key": "SG_0000000000000001", "base_url": open_timed("at-once").base_url}
    journal = tmp_path / "journal"
    with compatible.SegmindClient(**options, journal=journal) as client:
        read, waited, queued = (client.submit_async("kling-2", **PROMPT) for _ in range(3))
        read.result()
        waited.wait()
    with Kling(**options, journal=journal) as kling:
        states = {entry.request_id: (entry.state, entry.cost) for entry in kling.entries()}
        assert states[read.request_id] == states[waited.request_id] == ("COMPLETED", 0.5)
        assert states[queued.request_id] == ("QUEUED", None)
        assert [outcome.result.request_id for outcome in kling.resume() if outcome.result] == [
            queued.request_id
        ]


def forget_client() -> None:
    """Close the client of the functions of the module, which another test may have used."""
    if compatible._get_client.cache_info().currsize:
        compatible._get_client().close()
    compatible._get_client.cache_clear()


def test_module_functions_use_the_environment(
    open_timed: OpenTimed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KLING_BASE_URL", open_timed("at-once").base_url)
    monkeypatch.setenv("SEGMIND_API_KEY", "SG_0000000000000001")
    (tmp_path / "a.png").write_bytes(PNG)
    forget_client()
    try:
        job = compatible.submit_async("kling-2", **PROMPT)
        assert compatible.run("kling-2", **PROMPT)["status"] == job.wait()["status"] == "COMPLETED"
        assert compatible.run_sync("kling-2", **PROMPT).headers["content-type"] == "video/mp4"
        assert compatible.generations.get(job.request_id)["request_id"] == job.request_id
        [url] = compatible.files.upload(tmp_path / "a.png")["file_urls"]
        assert compatible._get_client().api_key == "SG_0000000000000001"
        assert "SG_0000000000000001" not in repr(vars(compatible._get_client()))
        assert url.startswith("http")
    finally:
        forget_client()


def test_history_that_is_turned_off_is_not_asked(open_timed: OpenTimed) -> None:
    sandbox = open_timed("at-once")
    client = compatible.SegmindClient("SG_1", sandbox.base_url, journal=None, history=False)
    with client, pytest.raises(compatible.SegmindError, match=r"turned off.*Nothing was sent"):
        client.generations.history()


def test_invalid_address_is_a_segmind_error() -> None:
    with pytest.raises(compatible.SegmindError, match="base URL must be https"):
        compatible.SegmindClient("SG_1", "http://example.com/v1")


def test_neither_package_imports_the_other() -> None:
    code = (
        "import sys; sys.modules['segmind'] = None; import kling_adapters; kling_adapters.Kling; "
        "assert not [name for name in sys.modules if name.startswith('kling_adapters.compat')]; "
        "from kling_adapters.compat.segmind import SegmindClient, SegmindError; "
        "from kling_adapters.compat.segmind.exceptions import SegmindError as same; assert same is SegmindError"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
