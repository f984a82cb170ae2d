"""Uploads: bounded, cleaned up, and named by the studio alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.serve.conftest import OpenStudio, finish_job, get_parts, run_job
from tests.support.media import make_png


def upload(browser: TestClient, content: bytes, name: str = "a.png") -> str:
    response = browser.post("/uploads", content=content, headers={"X-File-Name": name})
    assert response.status_code == 200, response.text
    upload_id: str = response.json()["id"]
    return upload_id


def test_upload_is_previewed_and_sent_with_job(browser: TestClient, tmp_path: Path) -> None:
    upload_id = upload(browser, make_png())
    shown = browser.get(f"/uploads/{upload_id}")
    assert (shown.content, shown.headers["content-type"]) == (make_png(), "image/png")
    job_id = run_job(browser, "kling-2", prompt="a fox", start_image=f"upload:{upload_id}")
    finish_job(browser, job_id)
    [job] = get_parts(browser).jobs.watch.jobs.values()
    assert "/assets/" in job.entry.params["start_image"]


@pytest.mark.parametrize("has_length", [True, False])
def test_too_large_upload_is_refused_and_not_kept(
    open_studio: OpenStudio, tmp_path: Path, has_length: bool
) -> None:
    browser = open_studio(max_upload_bytes=1000)
    content = b"x" * 1001 if has_length else iter([b"x" * 600, b"x" * 600])
    response = browser.post("/uploads", content=content, headers={"X-File-Name": "a.png"})
    assert response.status_code == 413
    assert "at most 1.0 kB" in response.json()["error"]
    assert not list((tmp_path / "uploads").iterdir())


def test_old_uploads_and_oldest_of_too_many_are_deleted(open_studio: OpenStudio, tmp_path: Path) -> None:
    browser = open_studio(max_upload_bytes=1000, max_uploads_bytes=3000, upload_lifetime=3600.0)
    ids = [upload(browser, b"x" * 900) for _ in range(2)]
    for age, upload_id in zip((7200, 60), ids, strict=True):
        os.utime(tmp_path / "uploads" / upload_id, (time.time() - age, time.time() - age))
    third = upload(browser, b"x" * 900)
    assert browser.get(f"/uploads/{ids[0]}").status_code == 404
    fourth = upload(browser, b"x" * 900)
    fifth = upload(browser, b"x" * 900)
    present = {path.name for path in (tmp_path / "uploads").iterdir()}
    assert ids[1] not in present
    assert fifth in present
    assert len(present & {third, fourth}) == 2 or third not in present


@pytest.mark.parametrize(
    "name",
    [
        "../../evil.png",
        "a.p/ng",
        "%2e%2e%2fx.png",
        "a.html",
        "x" * 5000 + ".png",
        "a.PNG",
        "",
        b"a.\x00png".hex(),
    ],
)
def test_name_of_file_never_names_path(browser: TestClient, tmp_path: Path, name: str) -> None:
    upload_id = upload(browser, b"<script>alert(1)</script>", name)
    assert [path.name for path in (tmp_path / "uploads").iterdir()] == [upload_id]
    shown = browser.get(f"/uploads/{upload_id}")
    is_media = shown.headers["content-type"].startswith("image/")
    assert is_media or shown.headers["content-disposition"].startswith("attachment")
    assert shown.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "upload_id", ["../token", "..%2Ftoken", "token", "0" * 24, "%2e%2e/session", "/etc/passwd"]
)
def test_no_other_file_is_shown_or_sent(browser: TestClient, upload_id: str) -> None:
    assert browser.get(f"/uploads/{upload_id}").status_code == 404
    checked = browser.post(
        "/models/kling-2/check", data={"prompt": "a fox", "start_image": f"upload:{upload_id}"}
    )
    assert "problem-start_image" in checked.text
    assert "Ready." not in checked.text


def test_path_is_not_media(browser: TestClient, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(make_png())
    for text in (str(secret), secret.as_uri(), f"@{secret}"):
        checked = browser.post("/models/kling-2/check", data={"prompt": "a fox", "start_image": text}).text
        assert "Ready." not in checked
