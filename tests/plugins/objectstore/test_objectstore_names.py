"""File names at the end of the URL of an object store, from the submit to the resume."""

from __future__ import annotations

from pathlib import Path

import pytest
from kling_sandbox import Sandbox

from kling_adapters import Kling
from tests.plugins.objectstore.conftest import S3Server


@pytest.mark.usefixtures("use_s3")
def test_object_gets_the_name_in_the_url(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    with Sandbox() as sandbox:

        def client() -> Kling:
            return Kling(base_url=sandbox.base_url, api_key=sandbox.api_key, journal=tmp_path / "journal")

        with client() as kling:
            [run] = kling.run("kling-2", prompt="1", save_to=f"s3://{bucket}/x/run.mp4").saved
            [direct] = kling.run_direct("kling-2", prompt="2", save_to=f"s3://{bucket}/x/direct.mp4").saved
            [saved] = kling.submit("kling-2", prompt="3").wait().save(f"s3://{bucket}/saved{{ext}}")
            job = kling.submit("kling-2", prompt="4", tag="t", save_to=f"s3://{bucket}/x/{{tag}}{{ext}}")
        with client() as kling:
            [outcome] = kling.resume()
        assert outcome.request_id == job.request_id
        assert outcome.result is not None
        files = [run, direct, saved, *outcome.result.saved]
    names = ["x/run.mp4", "x/direct.mp4", "saved.mp4", "x/t.mp4"]
    assert [file.url for file in files] == [f"s3://{bucket}/{name}" for name in names]
    assert sorted(s3.names(bucket)) == sorted(names)
