"""A retired model takes no jobs; those of earlier versions are polled, collected and resumed."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
from kling_sandbox import Sandbox

from kling_adapters import ConfigError, ModelRetired, RetiredModel, Retirement
from kling_adapters.testing import FakeGateway
from tests.support.clients import OpenClient
from tests.support.life import load_state

ACTIVE, RETIRED = load_state("4-dropped"), load_state("5-retired")
MESSAGE = (
    "studio-1 was retired on 2026-09-30. Submit to studio-2 instead; earlier jobs can still be collected. "
    "Nothing was sent"
)


@pytest.mark.parametrize("call", ["submit", "run", "run_direct", "submit_model", "run_model", "object"])
def test_submit_is_refused_before_anything_is_sent(
    open_client: OpenClient, call: str, tmp_path: Path
) -> None:
    with FakeGateway() as gateway:
        kling = open_client(gateway, plugins=[RETIRED], journal=tmp_path / "journal.sqlite3")
        # Wrong parameters do not matter, so they are not judged.
        arguments: list[Any] = ["studio-1", *([{"wrong": 1}] if call.endswith("model") else [])]
        options = {} if call.endswith("model") else {"wrong": 1}
        if call == "object":
            call, arguments, options = "submit", [RETIRED.model(prompt="x")], {}
        with pytest.raises(RetiredModel) as caught:
            getattr(kling, call)(*arguments, **options)
        assert (kling.entries(), gateway.requests) == ([], [])
    error = caught.value
    assert isinstance(error, ConfigError)
    assert (str(error), error.model, error.since, error.use) == (
        MESSAGE,
        "studio-1",
        "2026-09-30",
        "studio-2",
    )
    assert str(pickle.loads(pickle.dumps(error))) == str(copy.copy(error)) == MESSAGE


def test_model_without_successor() -> None:
    assert str(RetiredModel("a", "2026-01-31")) == (
        "a was retired on 2026-01-31. It has no successor; earlier jobs can still be collected. Nothing was sent"
    )


def test_model_is_listed_and_marked(open_client: OpenClient) -> None:
    with FakeGateway() as gateway:
        kling = open_client(gateway, plugins=[RETIRED], journal=None)
        marks = {slug: kling.catalog[slug].retired for slug in ("studio-1", "studio-2")}
    assert marks == {"studio-1": Retirement("2026-09-30", "studio-2"), "studio-2": None}


def test_earlier_jobs_are_polled_and_resumed(open_client: OpenClient, tmp_path: Path) -> None:
    journal = tmp_path / "journal.sqlite3"
    with FakeGateway() as gateway:
        with open_client(gateway, plugins=[ACTIVE], journal=journal) as kling:
            waited = kling.submit("studio-1", prompt="a").request_id
            kling.submit("studio-1", prompt="b", save_to=tmp_path / "out")
        with open_client(gateway, plugins=[RETIRED], journal=journal) as kling:
            result = kling.job(waited, "studio-1").wait()
            assert result.model == "studio-1"
            result.save(tmp_path / "out")
            [outcome] = kling.resume()
            assert (outcome.model, outcome.error) == ("studio-1", None)
        assert len([request for request in gateway.requests if request.method == "POST"]) == 2
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_batch_collects_earlier_jobs_and_refuses_others(open_client: OpenClient, tmp_path: Path) -> None:
    journal = tmp_path / "journal.sqlite3"
    first, second = ({"model": "studio-1", "prompt": prompt} for prompt in "ab")
    with FakeGateway() as gateway:
        with open_client(gateway, plugins=[ACTIVE], journal=journal) as kling:
            [earlier] = kling.map([first], name="films")
        with open_client(gateway, plugins=[RETIRED], journal=journal) as kling:
            outcomes = sorted(kling.map([first, second], name="films"), key=lambda outcome: outcome.index)
            [alone] = kling.map([first])
        assert len([request for request in gateway.requests if request.method == "POST"]) == 1
    assert [outcome.request_id for outcome in outcomes] == [earlier.request_id, None]
    assert outcomes[0].error is None
    assert [str(outcome.error) for outcome in (outcomes[1], alone)] == [MESSAGE] * 2


def test_sandbox_answers_as_the_gateway_does(open_client: OpenClient) -> None:
    with Sandbox(schemas=RETIRED.schemas) as sandbox:
        kling = open_client(sandbox, journal=None)
        with pytest.raises(ModelRetired, match="retired on 2026-09-30; use studio-2"):
            kling.submit_raw("studio-1", {"prompt": "x"})
        assert kling.submit_raw("studio-2", {"prompt": "x"}).wait().output
        for version in ("v1", "v2"):
            assert "410" in sandbox.openapi["paths"][f"/{version}/studio-1"]["post"]["responses"]
