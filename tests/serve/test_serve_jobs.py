"""Jobs: one submit for one handle, files with Range, live events, and what a restart finds again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kling_sandbox import Fault, Sandbox
from kling_serve.app import make_app
from starlette.testclient import TestClient

from kling_adapters import Kling
from tests.serve.conftest import (
    OpenStudio,
    finish_job,
    get_parts,
    make_settings,
    open_browser,
    run_job,
    sign_in,
)


@pytest.fixture
def sandbox() -> Any:
    """A gateway that outlives the studio."""
    with Sandbox(timing="polls:2") as running:
        yield running


def account(sandbox: Sandbox, **options: Any) -> dict[str, Any]:
    return {
        "uses_account": True,
        "uses_sandbox": False,
        "base_url": sandbox.base_url,
        "api_key": sandbox.api_key,
        "confirm_above": 1000.0,
        **options,
    }


def call(browser: TestClient, function: Any, *arguments: Any) -> Any:
    assert browser.portal is not None
    return browser.portal.call(function, *arguments)


def test_run_shows_video_that_seeks(browser: TestClient) -> None:
    job_id = run_job(browser, "kling-2", prompt="a lighthouse")
    page = finish_job(browser, job_id)
    assert f'<video src="/jobs/{job_id}/files/0"' in page
    whole = browser.get(f"/jobs/{job_id}/files/0")
    part = browser.get(f"/jobs/{job_id}/files/0", headers={"Range": "bytes=100-199"})
    assert (whole.status_code, part.status_code) == (200, 206)
    assert whole.headers["content-type"] == "video/mp4"
    assert part.content == whole.content[100:200]
    download = browser.get(f"/jobs/{job_id}/files/0?download")
    assert download.headers["content-disposition"].startswith("attachment")
    assert browser.get(f"/jobs/{job_id}/files/1").status_code == 404


def test_image_is_shown(browser: TestClient) -> None:
    job_id = run_job(browser, "kling-3-text2image", prompt="a lighthouse")
    assert f'<img src="/jobs/{job_id}/files/0"' in finish_job(browser, job_id)


def test_form_that_is_sent_twice_submits_once(open_studio: OpenStudio, sandbox: Sandbox) -> None:
    browser = open_studio(**account(sandbox))
    attempt = "0123456789abcdef01234567"
    first = run_job(browser, "kling-2", prompt="a fox", **{"-attempt": attempt})
    second = run_job(browser, "kling-2", prompt="a fox", **{"-attempt": attempt})
    assert first == second == attempt
    finish_job(browser, attempt)
    assert len(sandbox.submits) == 1
    finish_job(browser, run_job(browser, "kling-2", prompt="a fox"))
    assert len(sandbox.submits) == 2


def test_handle_is_known_after_restart(open_studio: OpenStudio, sandbox: Sandbox, tmp_path: Path) -> None:
    attempt = "0123456789abcdef01234567"
    with open_browser(make_app(make_settings(tmp_path, **account(sandbox)))) as first:
        run_job(sign_in(first), "kling-2", prompt="a fox", **{"-attempt": attempt})
    browser = open_studio(**account(sandbox))
    assert run_job(browser, "kling-2", prompt="a fox", **{"-attempt": attempt}) == attempt
    finish_job(browser, attempt)
    assert len(sandbox.submits) == 1


def test_restart_resumes_jobs(open_studio: OpenStudio, sandbox: Sandbox, tmp_path: Path) -> None:
    with open_browser(make_app(make_settings(tmp_path, **account(sandbox)))) as first:
        sign_in(first)
        ids = [run_job(first, "kling-2", prompt=f"fox {number}") for number in range(3)]
    browser = open_studio(**account(sandbox))
    for job_id in ids:
        finish_job(browser, job_id)
    assert len(sandbox.submits) == 3


def test_job_of_command_line_is_in_table_and_finished(
    open_studio: OpenStudio, sandbox: Sandbox, tmp_path: Path
) -> None:
    with Kling(
        base_url=sandbox.base_url, api_key=sandbox.api_key, journal=tmp_path / "account.sqlite3"
    ) as kling:
        kling.submit("kling-2", prompt="from elsewhere", save_to=tmp_path / "renders/")
    browser = open_studio(**account(sandbox))
    assert "from elsewhere" in browser.get("/jobs").text
    finish_job(browser, "account-1")
    assert len(list((tmp_path / "renders").iterdir())) == 1


def test_output_without_destination_is_stored_on_request(
    open_studio: OpenStudio, sandbox: Sandbox, tmp_path: Path
) -> None:
    with Kling(
        base_url=sandbox.base_url, api_key=sandbox.api_key, journal=tmp_path / "account.sqlite3"
    ) as kling:
        kling.submit("kling-2", prompt="from elsewhere")
    browser = open_studio(**account(sandbox))
    assert "The output was not stored." in finish_job(browser, "account-1")
    page = browser.post("/jobs/account-1/store").text
    assert '<video src="/jobs/account-1/files/0"' in page


def test_refused_submit_is_a_row_with_its_reason(open_studio: OpenStudio, sandbox: Sandbox) -> None:
    browser = open_studio(**account(sandbox, api_key="SG_wrong"))
    job_id = run_job(browser, "kling-2", prompt="a fox")
    assert "Nothing was started" in finish_job(browser, job_id, "Refused")


def test_uncertain_submit_is_explained_and_reconciled(open_studio: OpenStudio, sandbox: Sandbox) -> None:
    sandbox.faults = type(sandbox.faults)([Fault.parse("reset-late:nth=1,method=POST")])
    sandbox.delay_history(1e6)
    browser = open_studio(**account(sandbox))
    job_id = run_job(browser, "kling-2", prompt="a fox")
    call(browser, get_parts(browser).jobs.wait, job_id, 5.0)
    page = browser.get(f"/jobs/{job_id}").text
    assert "Uncertain" in page
    assert "It is not repeated by itself" in page
    assert "Uncertain" in browser.get("/jobs?state=uncertain").text
    sandbox.delay_history(0.0)
    assert browser.post("/jobs/reconcile").status_code == 200
    finish_job(browser, job_id)
    assert len(sandbox.billed) == 1


def test_failed_job_is_a_row_with_its_reason(browser: TestClient) -> None:
    job_id = run_job(browser, "kling-2", prompt="sandbox-block")
    assert "A failed job is not billed." in finish_job(browser, job_id, "Failed")


def test_job_of_ended_sandbox_is_not_waited_for(open_studio: OpenStudio, tmp_path: Path) -> None:
    with open_browser(make_app(make_settings(tmp_path, sandbox_timing="latency:100"))) as first:
        job_id = run_job(sign_in(first), "kling-2", prompt="a fox")
    browser = open_studio()
    page = browser.get(f"/jobs/{job_id}").text
    assert "Sandbox ended" in page
    assert "It cost nothing" in page


def test_job_of_other_gateway_is_neither_finished_nor_called_free(
    open_studio: OpenStudio, tmp_path: Path
) -> None:
    with Sandbox(timing="polls:100") as elsewhere:
        journal = tmp_path / "account.sqlite3"
        with Kling(journal=journal, base_url=elsewhere.base_url, api_key=elsewhere.api_key) as kling:
            kling.submit("kling-2", prompt="from elsewhere")
        browser = open_studio(uses_account=True, base_url="http://127.0.0.1:9", api_key="SG_none")
        page = browser.get("/jobs/account-1").text
        assert elsewhere.base_url in page
        assert "It cost nothing" not in page
        assert "Sandbox ended" not in page


def test_unknown_job_is_404(browser: TestClient) -> None:
    for job_id in ("nothing", "sandbox-1", "..%2f..%2fetc", "0" * 24):
        assert browser.get(f"/jobs/{job_id}").status_code == 404


def test_expensive_run_has_to_be_confirmed(open_studio: OpenStudio, sandbox: Sandbox) -> None:
    browser = open_studio(**account(sandbox, confirm_above=0.01))
    form = {"prompt": "a fox", "image_urls[0]": "https://example.com/a.png"}
    answer = browser.post("/models/kling-o1-reference-image-to-video/run", data=form)
    assert "may cost up to" in answer.text, answer.text
    for confirmed in ("unknown", "yes", "0.5"):
        repeated = browser.post(
            "/models/kling-o1-reference-image-to-video/run", data={**form, "-confirmed": confirmed}
        )
        assert "may cost up to" in repeated.text
    assert not sandbox.submits
    unknown = browser.post("/models/kling-2/run", data={"prompt": "a fox"})
    assert "The price of this job is unknown" in unknown.text
    assert not sandbox.submits
    finish_job(browser, run_job(browser, "kling-2", prompt="a fox", **{"-confirmed": "unknown"}))
    assert len(sandbox.submits) == 1


def test_filters_and_repeat(browser: TestClient) -> None:
    first = run_job(browser, "kling-2", prompt="a red fox", aspect_ratio="1:1")
    second = run_job(browser, "kling-3-text2image", prompt="a blue bird")
    for job_id in (first, second):
        finish_job(browser, job_id)
    assert first in browser.get("/jobs?model=kling-2").text
    assert second not in browser.get("/jobs?model=kling-2").text
    assert second in browser.get("/jobs?text=BLUE&state=done").text
    assert first not in browser.get("/jobs?text=BLUE").text
    assert first not in browser.get("/jobs?state=running").text
    repeated = browser.get(f"/models/kling-2?from={first}").text
    assert "a red fox" in repeated
    assert 'value="1:1" aria-describedby="help-aspect_ratio problem-aspect_ratio" checked' in repeated


def test_compare_runs_one_prompt_on_several_models(browser: TestClient) -> None:
    form = {"prompt": "a kite", "models": ["kling-2", "kling-3-text2image"]}
    page = browser.post("/compare", data=form)
    assert page.status_code == 200
    ids = page.url.params["ids"].split(",")
    assert len(ids) == 2
    for job_id in ids:
        finish_job(browser, job_id)
    shown = browser.get(str(page.url)).text
    assert all(f'id="job-{job_id}"' in shown for job_id in ids)


def test_compare_submits_nothing_if_one_is_invalid(browser: TestClient) -> None:
    page = browser.post("/compare", data={"prompt": "", "models": ["kling-2", "kling-o1"]}).text
    assert "required, but missing" in page
    assert not get_parts(browser).jobs.watch.jobs


def test_usage_sums_costs(browser: TestClient) -> None:
    for number in range(2):
        finish_job(browser, run_job(browser, "kling-2", prompt=f"fox {number}"))
    page = browser.get("/usage?days=7").text
    jobs = get_parts(browser).jobs.watch.jobs.values()
    total = sum(job.entry.cost or 0 for job in jobs)
    assert total > 0
    assert f'<span class="figure">{json.dumps(total).removesuffix(".0")}</span>' in page
    assert "<rect" in page


def test_compare_confirms_price_of_all_together(open_studio: OpenStudio, sandbox: Sandbox) -> None:
    browser = open_studio(**account(sandbox, confirm_above=0.6))
    for slug in ("kling-2", "kling-2.5-turbo"):
        finish_job(browser, run_job(browser, slug, prompt="a kite"))
    count = len(sandbox.submits)
    costs = [job.entry.cost or 0.0 for job in get_parts(browser).jobs.watch.jobs.values()]
    browser = open_studio(**account(sandbox, confirm_above=max(costs) * 1.2))
    form = {"prompt": "a kite", "models": ["kling-2", "kling-2.5-turbo"]}
    page = browser.post("/compare", data=form)
    assert "Run all of them" in page.text
    assert len(sandbox.submits) == count
