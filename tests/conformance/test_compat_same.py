"""Programs that see the same with the official client and with kling_adapters.compat.segmind.

The scenarios are those of the official client's own tests of 1.3.0 (test_v2, test_client, test_exceptions, test_files,
test_generations and its workflows), in programs of our own against the sandbox. Left out: chat, PixelFlows, webhooks,
accounts and fine-tuning, which are other products, and tests of its private parts (`_client`, `_request`, headers).
"""

from __future__ import annotations

import copy
import inspect
import pickle
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
import segmind as official
from kling_sandbox import BLOCKED_TEXT, KEY_FORBIDDEN, KEY_NO_CREDITS, Fault

from kling_adapters.compat import segmind as compatible
from tests.conformance.both_clients import KINDS, OpenTimed, Program, World, catch, observe
from tests.conformance.test_official_client import PAYLOADS
from tests.support.scripted_server import ScriptedServer, json_reply

PROMPT = {"prompt": "x"}
MODELS = {slug: PAYLOADS[slug] for slug in ("kling-2", "kling-o1")}
SUBMITS = ("run", "run_sync", "submit_async")
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


def describe_response(response: httpx.Response) -> dict[str, Any]:
    names = ("content-type", "x-request-id", "x-cost")
    return {
        "type": f"{type(response).__module__}.{type(response).__name__}",
        "status": response.status_code,
        "success": response.is_success,
        "raised": response.raise_for_status() is None,
        "length": len(response.content) == int(response.headers["content-length"]),
        "start": response.content[:8].hex(),
        **{name: response.headers[name] for name in names},
        "others": sorted(name for name in response.headers if name.startswith("x-")),
    }


def submit_a_job(world: World) -> Any:
    job = world.connect().submit_async("kling-2", **PROMPT)
    assert isinstance(job, world.api.AsyncJob)
    urls = [job.request_id, job.status_url, job.response_url]
    return [urls, job.submit_response, job.status(), repr(job), world.sandbox.submits[-1].json]


def follow_a_job(world: World) -> Any:
    job = world.connect().submit_async("kling-2", **PROMPT)
    return [job.result(), *(job.status() for _ in range(3)), job.result(), job.wait()]


def wait_for_a_job(world: World) -> Any:
    job = world.connect().submit_async("kling-2", **PROMPT)
    result = job.wait(timeout=900, interval=5)
    return [result, job.wait() == job.result() == result, job.wait(5, 0.01) == result]


def run_every_model(world: World) -> Any:
    client = world.connect()
    return [client.run(slug, **params) for slug, params in MODELS.items()]


def run_every_model_in_one_call(world: World) -> Any:
    client = world.connect()
    return [describe_response(client.run_sync(slug, **params)) for slug, params in MODELS.items()]


def forward_parameters_with_names_of_arguments(world: World) -> Any:
    client = world.connect()
    result = client.run("raw", timeout=7, interval=4, tag="a")
    return [result, world.sandbox.submits[-1].json]


def use_other_base_urls(world: World) -> Any:
    bases = [world.sandbox.base_url + base for base in ("/v1/", "/v2", "")]
    return [world.connect(url=url).submit_async("/kling-2", **PROMPT).status() for url in bases]


def read_the_attributes_of_a_client(world: World) -> Any:
    client = world.connect(timeout=60.0)
    return [
        client.api_key == world.key,
        client.base_url,
        client.timeout,
        hasattr(client, "run_async"),
    ]


def meet_refusals(world: World) -> Any:
    cases: list[tuple[str, str, dict[str, Any]]] = [
        ("SG_ffffffffffffffff", "kling-2", PROMPT),
        (KEY_FORBIDDEN, "kling-2", PROMPT),
        (KEY_NO_CREDITS, "kling-2", PROMPT),
        (world.key, "kling-9", PROMPT),
    ]
    return [
        catch(world, getattr(world.connect(key), call), slug, **params)
        for key, slug, params in cases
        for call in ("run", "submit_async")
    ]


def meet_refusals_of_direct_runs(world: World) -> Any:
    keys = ("SG_ffffffffffffffff", KEY_FORBIDDEN, KEY_NO_CREDITS)
    return [catch(world, world.connect(key).run_sync, "kling-2", **PROMPT) for key in keys]


def meet_a_withdrawn_model(world: World) -> Any:
    world.set_faults(Fault("410"))
    return [catch(world, getattr(world.connect(), call), "kling-2", **PROMPT) for call in SUBMITS]


def meet_a_gateway_that_stays_down(world: World) -> Any:
    answers = []
    for fault in ("429", "500", "502"):
        world.set_faults(Fault(fault, method="POST"))
        answers += [
            catch(world, getattr(world.connect(), call), "kling-2", **PROMPT)
            for call in ("run", "submit_async")
        ]
    return [answers, world.billed]


def meet_a_failed_job(world: World) -> Any:
    client = world.connect()
    job = client.submit_async("kling-2", prompt=BLOCKED_TEXT)
    answers = [catch(world, job.wait), job.status(), job.result()]
    answers += [
        catch(world, getattr(client, call), "kling-2", prompt=BLOCKED_TEXT) for call in ("run", "run_sync")
    ]
    return [*answers, world.billed]


def leave_a_slow_job_and_come_back(world: World) -> Any:
    job = world.connect().submit_async("kling-2", **PROMPT)
    answers = catch(world, job.wait, timeout=90, interval=30)
    return [
        answers["caught as"],
        answers["request_id"],
        job.status()["status"],
        job.wait(),
        world.billed,
    ]


def poll_once(world: World) -> Any:
    job = world.connect().submit_async("kling-2", **PROMPT)
    count = world.requests
    answers = catch(world, job.wait, timeout=0)
    return [answers["caught as"], answers["request_id"], world.requests - count]


def run_a_model_of_thirteen_minutes(world: World) -> Any:
    job = world.connect().submit_async("long", **PROMPT)
    answers = catch(world, job.wait, interval=60)
    return [answers["caught as"], answers["request_id"], 600 <= world.clock.now() < 640, world.billed]


def lose_a_poll_to_odd_answers(world: World) -> Any:
    client, results = world.connect(), []
    for fault in ("flap", "garbage", "type", "restart"):
        world.set_faults(Fault(fault, path="/v2/requests/*/status", nth=1))
        results.append(client.submit_async("kling-2", **PROMPT).wait())
    return results


def find_a_job_again(world: World) -> Any:
    job = world.connect().submit_async("kling-2", **PROMPT)
    again = world.api.AsyncJob(job.request_id, job.status_url, job.response_url, {}, world.connect())
    stranger = world.connect("SG_ffffffffffffffff")
    foreign = world.api.AsyncJob(job.request_id, job.status_url, job.response_url, {}, stranger)
    return [
        again == job,
        again.wait(),
        *(catch(world, call) for call in (foreign.status, foreign.result, foreign.wait)),
    ]


def ask_for_an_expired_job(world: World) -> Any:
    job = world.connect(history=False).submit_async("kling-2", **PROMPT)
    job.wait()
    world.sandbox.advance(3700)
    later = world.api.AsyncJob(job.request_id, job.status_url, job.response_url, {}, job._client)
    answers = [catch(world, call) for call in (later.status, later.result, later.wait)]
    return [(error["caught as"], error["status"], "expired" in error["detail"]) for error in answers]


def reach_nobody(world: World) -> Any:
    client = world.connect(url="http://127.0.0.1:9/v1")
    answers = [catch(world, getattr(client, call), "kling-2", **PROMPT) for call in SUBMITS]
    return ["httpx.TransportError" in error["caught as"] for error in answers]


def submit_from_five_threads(world: World) -> Any:
    client = world.connect()
    results: list[Any] = []
    work = [
        threading.Thread(target=lambda: results.append(client.run("kling-2", **PROMPT))) for _ in range(5)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    return [sorted(result["status"] for result in results), len({result["request_id"] for result in results})]


def run_a_batch(world: World) -> Any:
    client = world.connect()
    jobs = [client.submit_async("kling-2", prompt=prompt) for prompt in ("a red car", "a blue house")]
    return [job.wait()["prompt"] for job in jobs]


def upload_and_use(world: World) -> Any:
    Path("a.png").write_bytes(PNG)
    Path("b.JPG").write_bytes(b"\xff\xd8\xff\xe0" + bytes(64))
    client = world.connect()
    single, several = client.files.upload("a.png"), client.files.upload([Path("a.png"), "b.JPG"])
    contents = [httpx.get(url).content == PNG for url in (*single["file_urls"], *several["file_urls"])]
    result = client.run("kling-bloombloom", image=single["file_urls"][0])
    return [sorted(single), bool(single["message"]), contents, result["status"]]


def refuse_what_is_no_file(world: World) -> Any:
    Path("a.txt").write_text("x")
    upload = world.connect().files.upload
    answers = [catch(world, upload, path) for path in ("missing.png", ".", "a.txt", ["a.txt"])]
    return [answers, world.requests]


def upload_nothing(world: World) -> Any:
    answers = catch(world, world.connect().files.upload, [])
    return [answers["caught as"], answers["status"]]


def read_the_history(world: World) -> Any:
    client = world.connect()
    slugs = ("kling-2", "kling-2.5-turbo")
    jobs = [client.submit_async(slug, **PROMPT) for slug in slugs for _ in range(2)]
    failed = client.submit_async("kling-2", prompt=BLOCKED_TEXT)
    filters: list[dict[str, Any]] = [
        {},
        {"per_page": 2, "page": 2},
        {"model_name": "2.5", "status": "COMPLETED", "sort_order": "asc"},
        {"status": "FAILED"},
        {"sort_by": "credits_deduction"},
    ]
    history = client.generations.history
    pages = [history(**chosen) for chosen in filters]
    return [
        pages,
        client.generations.get(jobs[0].request_id),
        client.generations.get(failed.request_id)["error"],
    ]


def ask_the_history_for_nonsense(world: World) -> Any:
    generations = world.connect().generations
    filters: list[dict[str, Any]] = [{"per_page": 101}, {"status": "DONE"}, {"from_date": "1.2.2026"}]
    answers = [catch(world, generations.history, **chosen) for chosen in filters]
    return [*answers, catch(world, generations.get, "../no such id"), world.sandbox.requests[-1].path]


def find_the_history_down(world: World) -> Any:
    world.set_faults(Fault("502", path="/inference-request/*"))
    return catch(world, world.connect().generations.history)


def stream(world: World) -> Any:
    return catch(world, world.connect().stream, "kling-2", **PROMPT)


AT_ONCE = [
    submit_a_job,
    run_every_model,
    run_every_model_in_one_call,
    forward_parameters_with_names_of_arguments,
    use_other_base_urls,
    read_the_attributes_of_a_client,
    meet_refusals,
    meet_refusals_of_direct_runs,
    meet_a_withdrawn_model,
    meet_a_gateway_that_stays_down,
    meet_a_failed_job,
    lose_a_poll_to_odd_answers,
    find_a_job_again,
    ask_for_an_expired_job,
    reach_nobody,
    submit_from_five_threads,
    run_a_batch,
    upload_and_use,
    refuse_what_is_no_file,
    upload_nothing,
    read_the_history,
    ask_the_history_for_nonsense,
    find_the_history_down,
    stream,
]
SLOW = [leave_a_slow_job_and_come_back, poll_once, run_a_model_of_thirteen_minutes]
AFTER_POLLS = [follow_a_job, wait_for_a_job]
PROGRAMS = [
    *((program, "at-once") for program in AT_ONCE),
    *((program, "latency:1") for program in SLOW),
    *((program, "polls:3") for program in AFTER_POLLS),
]


@pytest.mark.parametrize(("program", "timing"), PROGRAMS, ids=[program.__name__ for program, _ in PROGRAMS])
def test_program_sees_the_same(
    program: Program, timing: str, open_timed: OpenTimed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    answers = [observe(program, kind, open_timed(timing), monkeypatch) for kind in KINDS]
    assert answers[1] == answers[0]
    assert answers[0], "the program sees nothing"


def test_every_name_of_the_official_client_exists() -> None:
    assert set(official.__all__) <= set(compatible.__all__)
    for mine, theirs in (
        (compatible.SegmindClient, official.SegmindClient),
        (compatible.AsyncJob, official.AsyncJob),
        (compatible.SegmindClient(journal=None).generations, official.SegmindClient.generations),
    ):
        assert {name for name in dir(theirs) if not name.startswith(("_", "fget"))} - set(dir(mine)) <= {
            *("deleter", "fdel", "fset", "getter", "setter"),
        }
    assert not hasattr(compatible, "run_async")


@pytest.mark.parametrize(
    "name",
    ["AsyncJob.wait", "AsyncJob.status", "AsyncJob.result", "SegmindClient.run", "SegmindClient.run_sync"],
)
def test_signatures_are_the_same(name: str) -> None:
    kind, method = name.split(".")
    mine, theirs = (
        inspect.signature(getattr(getattr(module, kind), method)) for module in (compatible, official)
    )
    assert [(item.name, item.kind, item.default) for item in mine.parameters.values()] == [
        (item.name, item.kind, item.default) for item in theirs.parameters.values()
    ]


def test_errors_have_the_same_form() -> None:
    for module in (compatible, official):
        errors = [
            module.SegmindError(404, "no such job"),
            module.InferenceFailed("blocked", {"status": "FAILED"}),
            module.InferenceTimeout("id-1", 60.0),
        ]
        assert all(isinstance(error, module.SegmindError) for error in errors)
        assert [error.status for error in errors] == [404, None, None]
        assert errors[0].to_dict() == {"status": 404, "detail": "no such job"}
        assert repr(errors[0]) == "SegmindError(status=404, detail=no such job)"
        assert all(word in str(errors[0]) for word in ("404", "no such job"))
        assert (errors[1].detail, errors[1].status_body) == ("blocked", {"status": "FAILED"})
        assert (errors[2].request_id, errors[2].elapsed_s) == ("id-1", 60.0)
        assert module.SegmindError().to_dict() == {"status": None, "detail": None}


def test_errors_survive_pickling_and_copying() -> None:
    errors: list[Any] = [
        compatible.SegmindError(404, "no such job"),
        compatible.InferenceFailed("blocked", {"status": "FAILED"}),
        compatible.InferenceTimeout("id-1", 60.0),
        compatible.SubmitUncertain(None, "no answer"),
        compatible.ConnectionFailed("no connection"),
    ]
    for error in errors:
        for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert type(twin) is type(error)
            assert vars(twin) == vars(error)
            assert str(twin) == str(error)


def test_wait_reports_its_duration(open_timed: OpenTimed, monkeypatch: pytest.MonkeyPatch) -> None:
    def program(world: World) -> Any:
        job = world.connect().submit_async("kling-2", **PROMPT)
        with pytest.raises(world.api.InferenceTimeout) as caught:
            job.wait(timeout=90, interval=30)
        return 90 <= caught.value.elapsed_s <= world.clock.now()

    assert all(observe(program, kind, open_timed("latency:1"), monkeypatch) for kind in KINDS)


def test_answer_without_the_id_of_a_job_is_a_segmind_error(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, options in ((official, {}), (compatible, {"journal": None, "history": False})):
        server.play([json_reply(200, {"status": "QUEUED"})])
        client = module.SegmindClient("SG_1", f"{server.url}/v1", **options)
        with pytest.raises(module.SegmindError, match=r"without a request id|missing request_id"):
            client.submit_async("kling-2", **PROMPT)
        (client._client if module is official else client).close()
