"""Every model has a form without a line of code, whose examples run: those of the catalog, and of another package."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from kling_adapters import load_catalog
from tests.serve.conftest import read_form
from tests.studio.processes import StudioProcess
from tests.support.acme import install_acme

SLUGS = (*(slug for slug, entry in load_catalog().items() if not entry.retired), "acme-1")


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a studio beside an installed package with a model."""
    folder = tmp_path_factory.mktemp("every")
    install_acme(folder)
    options = ("--timing", "at-once")
    with StudioProcess(folder / "studio", *options, environment={"PYTHONPATH": str(folder)}) as studio:
        headers = {"Authorization": f"Bearer {studio.token}"}
        with httpx.Client(base_url=studio.base_url, headers=headers, timeout=60) as client:
            yield client


@pytest.mark.parametrize("slug", SLUGS)
def test_examples_of_form_run(slug: str, http: httpx.Client) -> None:
    first = http.get(f"/models/{slug}").text
    count = first.count('href="?example=')
    assert count, "the model has no example"
    for number in range(count):
        form = read_form(http.get(f"/models/{slug}?example={number}").text)
        values: dict[str, list[str]] = {}
        for name, value in form:
            values.setdefault(name, []).append(value)
        run = http.post(f"/models/{slug}/run", data=values)
        assert run.status_code == 204, run.text
        await_end(http, run.headers["hx-redirect"])


def await_end(http: httpx.Client, job: str) -> None:
    """Read the events of a job until it has ended, as its page does."""
    address = f"/events?view=job&ids={job.rpartition('/')[2]}"
    with http.stream("GET", address) as response:
        for line in response.iter_lines():
            if ">Done<" in line:
                return
            assert not re.search(">(Failed|Refused|Expired|Uncertain)<", line), line
    pytest.fail("the stream has ended before the job")


def test_model_of_other_package_has_every_control(http: httpx.Client) -> None:
    assert "Acme 1" in http.get("/").text
    page = http.get("/models/acme-1").text
    for name in ("prompt", "frames", "frames-{frames}--image_url"):
        assert f'data-field="{name}"' in page
    checked = http.post("/models/acme-1/check", data={"prompt": "x", "frames[0].image_url": "y"}).text
    assert "is not an http or https URL" in checked
