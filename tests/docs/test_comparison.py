"""The table of clients in README.md is true: each client meets the same lost answer, failing poll and bad parameter.

A client of another gateway meets a scripted server that speaks as its gateway does; the others meet the sandbox.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fal_client
import httpx
import pytest
import segmind
import segmind.v2
from fal_client import client as fal_internals
from kling_sandbox import Fault, Sandbox
from replicate.client import Client as ReplicateClient
from replicate.exceptions import ReplicateError

from kling_adapters import Kling, ParamsInvalid
from kling_adapters.testing import SimulatedClock
from tests.support.scripted_server import Action, Hangup, Reply, Request, ScriptedServer, json_reply

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
PARAMETERS: dict[str, Any] = {"prompt": "A lighthouse in a storm", "duration": 7}

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def _close_connections() -> Iterator[None]:
    """Close the connections that some peers leave open."""
    yield
    gc.collect()


@dataclass(frozen=True)
class Peer:
    """A client of another gateway: how it runs a job, and what its gateway answers.

    Attributes:
        run: Submit a job to the server of this URL, and wait for it.
        submitted: The answer to an accepted submit, for the URL of the server.
        completed: The answer to a poll of a job that has completed, and to a request of its result.

    """

    run: Callable[[str], Any]
    submitted: Callable[[str], dict[str, Any]]
    completed: Callable[[str], dict[str, Any]]


def run_with_fal(base_url: str) -> Any:
    client = fal_client.SyncClient(key="key", default_timeout=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fal_internals, "QUEUE_URL_FORMAT", f"{base_url}/")
        return client.submit("fal-ai/kling", arguments=PARAMETERS).get(interval=0.01)


def run_with_replicate(base_url: str) -> Any:
    client = ReplicateClient(api_token="key", base_url=base_url)
    client.poll_interval = 0.01
    prediction = client.predictions.create(version="kling", input=PARAMETERS)
    prediction.wait()
    return prediction.output


def describe_fal(base_url: str, status: str) -> dict[str, Any]:
    urls = {f"{name}_url": f"{base_url}/{name}" for name in ("response", "status", "cancel")}
    return {"request_id": "1", "status": status, "logs": [], "metrics": {}, **urls}


def describe_replicate(base_url: str, status: str) -> dict[str, Any]:
    job = dict.fromkeys(("model", "version", "id"), "kling")
    urls = {"get": f"{base_url}/v1/predictions/kling", "cancel": f"{base_url}/cancel"}
    return {**job, "status": status, "input": {}, "output": "https://files.example/a.mp4", "urls": urls}


PEERS = {
    "fal-client": Peer(
        run_with_fal, lambda url: describe_fal(url, "IN_QUEUE"), lambda url: describe_fal(url, "COMPLETED")
    ),
    "replicate": Peer(
        run_with_replicate,
        lambda url: describe_replicate(url, "starting"),
        lambda url: describe_replicate(url, "succeeded"),
    ),
}


def run_with_segmind(sandbox: Sandbox) -> Any:
    client = segmind.SegmindClient(api_key=sandbox.api_key, base_url=f"{sandbox.base_url}/v1")
    return client.submit_async("kling-2", **PARAMETERS | {"duration": 5}).wait(interval=0.01)


def run_in_own_loop(sandbox: Sandbox) -> Any:
    with httpx.Client(base_url=sandbox.base_url, headers={"x-api-key": sandbox.api_key}) as client:
        submit = client.post("/v2/kling-2", json=PARAMETERS | {"duration": 5}).raise_for_status().json()
        while True:
            poll = client.get(f"/v2/requests/{submit['request_id']}/status").raise_for_status().json()
            if poll["status"] in ("COMPLETED", "FAILED"):
                return client.get(f"/v2/requests/{submit['request_id']}").raise_for_status().json()


def run_with_kling(sandbox: Sandbox) -> Any:
    with open_kling(sandbox) as kling:
        return kling.run("kling-2", prompt="A lighthouse in a storm", duration=5)


def open_kling(sandbox: Sandbox) -> Kling:
    return Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, clock=SimulatedClock())


def serve_peer(peer: Peer, submits: Iterable[Action] = (), polls: Iterable[Action] = ()) -> ScriptedServer:
    """Return a server that answers submits and polls with these actions first, and then as the gateway does."""
    actions = {"POST": iter(submits), "GET": iter(polls)}

    def act(request: Request) -> Action:
        body = peer.submitted if request.method == "POST" else peer.completed
        return next(actions[request.method], None) or json_reply(
            201, body(f"http://{request.headers['host']}")
        )

    return ScriptedServer(act)


@pytest.mark.parametrize(("name", "submits"), [("fal-client", 2), ("replicate", 1)])
def test_lost_answer_repeats_the_submit_of_one_peer(name: str, submits: int) -> None:
    with serve_peer(PEERS[name], submits=[Hangup()]) as server:
        if submits == 1:
            with pytest.raises(httpx.RemoteProtocolError):
                PEERS[name].run(server.url)
        else:
            assert PEERS[name].run(server.url)
        assert len(server.posts) == submits


@pytest.mark.parametrize("run", [run_with_segmind, run_in_own_loop])
def test_lost_answer_loses_a_billed_job(run: Callable[[Sandbox], Any]) -> None:
    with Sandbox(faults=[Fault("reset-late", method="POST")]) as sandbox:
        with pytest.raises((httpx.TransportError, segmind.SegmindError)) as error:
            run(sandbox)
        [request_id] = sandbox.billed
    assert request_id not in str(error.value)


def test_lost_answer_is_found_in_the_request_history() -> None:
    with Sandbox(faults=[Fault("reset-late", method="POST")]) as sandbox:
        result = run_with_kling(sandbox)
        assert list(sandbox.billed) == [result.request_id]


@pytest.mark.parametrize("body", [b"<html>nginx</html>", b"bad gateway"])
@pytest.mark.parametrize("name", PEERS)
def test_failed_poll_ends_the_wait_of_a_peer(name: str, body: bytes) -> None:
    survives = name == "fal-client" and b"nginx" in body
    with serve_peer(PEERS[name], polls=[Reply(502, body)]) as server:
        if survives:
            assert PEERS[name].run(server.url)
        else:
            with pytest.raises((fal_client.FalClientHTTPError, ReplicateError)):
                PEERS[name].run(server.url)


@pytest.mark.parametrize(
    ("run", "survives"), [(run_with_segmind, False), (run_in_own_loop, False), (run_with_kling, True)]
)
def test_failed_poll_ends_the_wait_of_every_client_but_one(
    run: Callable[[Sandbox], Any], survives: bool
) -> None:
    with Sandbox(faults=[Fault("502", method="GET", path="/v2/requests/*", nth=1)]) as sandbox:
        if survives:
            assert run(sandbox).output
        else:
            with pytest.raises((httpx.HTTPStatusError, segmind.SegmindError)):
                run(sandbox)


@pytest.mark.parametrize("name", PEERS)
def test_bad_parameter_is_sent_by_a_peer(name: str) -> None:
    with serve_peer(PEERS[name]) as server:
        assert PEERS[name].run(server.url)
        assert b'"duration":7' in server.posts[0].body.replace(b" ", b"")


def test_bad_parameter_is_sent_by_the_official_client_and_refused_by_this_one() -> None:
    with Sandbox() as sandbox:
        client = segmind.SegmindClient(api_key=sandbox.api_key, base_url=f"{sandbox.base_url}/v1")
        with pytest.raises(segmind.SegmindError):
            client.submit_async("kling-2", **PARAMETERS)
        assert len(sandbox.submits) == 1
        with open_kling(sandbox) as kling, pytest.raises(ParamsInvalid):
            kling.submit("kling-2", **PARAMETERS)
        assert len(sandbox.submits) == 1


def test_intervals_and_longest_waits_are_those_of_the_packages() -> None:
    row = next(line for line in README.splitlines() if line.startswith("| polls"))
    assert f"{segmind.v2.DEFAULT_POLL_INTERVAL_S:g} s, {segmind.v2.DEFAULT_POLL_TIMEOUT_S:g} s at most" in row
    assert f"{fal_internals.DEFAULT_QUEUE_POLL_INTERVAL} s, no end" in row
    assert f"{ReplicateClient(api_token='key').poll_interval} s, no end" in row
