"""Storages and URLs that are refused before a job is submitted."""

from __future__ import annotations

import tempfile
import traceback
from pathlib import Path

import pytest
from kling_objectstore import ObjectStore
from kling_sandbox import Sandbox

from kling_adapters import Kling, StorageError
from tests.plugins.objectstore.conftest import S3Server, open_spools, open_storage


@pytest.mark.usefixtures("use_s3")
def test_check_leaves_no_data(s3: S3Server, bucket: str, spool: Path) -> None:
    open_storage(f"s3://{bucket}/renders/").check()
    assert s3.names(bucket) == []
    assert s3.uploads(bucket) == []
    assert open_spools(spool) == []


@pytest.mark.usefixtures("use_s3")
@pytest.mark.parametrize(
    ("url", "environ", "message"),
    [
        ("s3://no-such-bucket/", {}, "NoSuchBucket"),
        ("s3://{bucket}/", {"AWS_SECRET_ACCESS_KEY": "wr0ng-sEcReT"}, "SignatureDoesNotMatch"),
        ("s3://{bucket}/", {"AWS_ACCESS_KEY_ID": "UNKNOWNKEY"}, "InvalidAccessKeyId"),
        ("s3://{bucket}/", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "error sending request"),
        ("s3://{bucket}/\x00/", {}, "cannot be written to"),
        ("az://container/", {}, "AZURE_STORAGE_ACCOUNT_NAME"),
        (
            "az://container/",
            {
                "AZURE_STORAGE_ACCOUNT_NAME": "acme",
                "AZURE_STORAGE_SAS_TOKEN": "sv=1&sig=sEcReT",
                "AZURE_ENDPOINT": "http://127.0.0.1:1",
            },
            "error sending request",
        ),
        (
            "gs://films/",
            {"GOOGLE_APPLICATION_CREDENTIALS": "/nowhere.json"},
            "GOOGLE_APPLICATION_CREDENTIALS",
        ),
    ],
)
def test_unwritable_storage_is_error_before_submit(
    url: str,
    environ: dict[str, str],
    message: str,
    bucket: str,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    before = len(sandbox.requests)
    with (
        Kling(base_url=sandbox.base_url, api_key=sandbox.api_key) as kling,
        pytest.raises(StorageError, match=message) as caught,
    ):
        kling.run("kling-2", prompt="a lighthouse", save_to=url.format(bucket=bucket))
    assert len(sandbox.requests) == before
    assert "Check the" in str(caught.value)
    output = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(caught.value)
    cause = caught.value.__context__
    assert "sEcReT" not in output + str(cause)
    assert cause is None


def test_spool_failure_names_tmpdir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(StorageError, match="TMPDIR"):
        open_storage("memory:").check()
    with pytest.raises(StorageError, match="TMPDIR"):
        open_storage("memory:").open("a.mp4", "video/mp4")


@pytest.mark.parametrize(
    "url",
    [
        "s3:",
        "s3:/bucket/renders",  # str(Path(...)) of the URL
        "s3:///renders/",
        "gs://",
        "az://?x",
        "s3://AKID:sEcReT@bucket/",
        "s3://bucket:9000/",
        "s3://bucket/?X-Amz-Signature=sEcReT",
        "s3://bucket/#sEcReT",
        "s3://bucket/../other/",
        "s3://bucket/a/./b/",
        "s3://bucket/a//b/",
        "s3://../bucket/",
        "s3://bucket/film.mp4",
        "memory:../x/",
    ],
)
def test_invalid_storage_url_is_rejected(url: str) -> None:
    with pytest.raises(StorageError) as caught:
        ObjectStore().kling_storage(url)
    assert "sEcReT" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["renders/", "C:/renders", "file:///renders/", "ftp://host/renders/", "s3", ""]
)
def test_other_urls_are_not_handled(url: str) -> None:
    assert ObjectStore().kling_storage(url) is None
