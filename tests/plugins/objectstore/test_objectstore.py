"""kling-objectstore: a real S3 server, read back with an independent client, and memory URLs."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from kling_objectstore import ObjectStore
from kling_sandbox import Sandbox

from kling_adapters import Kling
from kling_adapters.testing import StorageConformance
from tests.plugins.objectstore.conftest import BIG, SECRET, Run, S3Server, open_spools, open_storage

ROOT = Path(__file__).parents[3]


def fetch(link: str) -> tuple[bytes, Any]:
    """Fetch a link without credentials."""
    assert link.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(link, timeout=10) as response:
        return response.read(), response.headers


def store(url: str, name: str, content: bytes, content_type: str = "video/mp4") -> Any:
    writer = open_storage(url).open(name, content_type)
    writer.write(content)
    return writer.commit(hashlib.sha256(content).hexdigest())


@pytest.mark.usefixtures("use_s3")
def test_saved_file_is_readable_by_other_clients(
    s3: S3Server, bucket: str, run: Run, sandbox: Sandbox, spool: Path
) -> None:
    result = run(f"s3://{bucket}/some/renders/", sandbox.base_url)
    [file] = result.saved
    key = f"some/renders/kling-2-{result.request_id}.mp4"
    assert file.url == f"s3://{bucket}/{key}"
    assert s3.names(bucket) == [key]
    read = s3.client.get_object(Bucket=bucket, Key=key)
    body = read["Body"].read()
    assert (len(body), hashlib.sha256(body).hexdigest()) == (file.size, file.sha256)
    assert (read["ContentType"], read["Metadata"]) == ("video/mp4", {"sha256": file.sha256})

    linked, headers = fetch(file.link)
    assert linked == body
    assert headers["content-type"] == "video/mp4"
    assert "X-Amz-Expires=86400&" in file.link
    assert SECRET not in file.link
    with pytest.raises(urllib.error.HTTPError, match="403") as caught:
        fetch(file.link[:-1] + ("0" if file.link[-1] != "0" else "1"))
    caught.value.close()
    assert open_spools(spool) == []


@pytest.mark.usefixtures("use_s3")
def test_installed_plugin_is_loaded() -> None:
    with Kling(api_key="SG_none") as kling:
        [info] = [info for info in kling.plugins if info.name == "objectstore"]
    assert (info.state, info.hooks) == ("loaded", ("kling_storage",))


def test_cloud_library_import_is_lazy() -> None:
    code = (
        "import sys, kling_objectstore as o; assert o.ObjectStore().kling_storage('renders/') is None; "
        "assert 'obstore' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.usefixtures("use_s3")
def test_identical_content_is_uploaded_once(s3: S3Server, bucket: str) -> None:
    first = store(f"s3://{bucket}/", "a.mp4", b"one")
    digest = hashlib.sha256(b"one").hexdigest()
    # Metadata that an upload would remove.
    marked = {"sha256": digest, "mark": "first"}
    s3.client.put_object(Bucket=bucket, Key="a.mp4", Body=b"one", Metadata=marked)
    again = store(f"s3://{bucket}/", "a.mp4", b"one")
    assert again.url == first.url
    assert fetch(again.link)[0] == b"one"
    assert s3.client.head_object(Bucket=bucket, Key="a.mp4")["Metadata"] == marked
    store(f"s3://{bucket}/", "a.mp4", b"two")
    assert s3.client.get_object(Bucket=bucket, Key="a.mp4")["Body"].read() == b"two"


@pytest.mark.usefixtures("use_s3")
@pytest.mark.parametrize(
    "metadata", [{}, {"sha256": "0" * 64}, {"sha256": hashlib.sha256(b"whole").hexdigest()}]
)
def test_object_with_other_content_is_replaced(s3: S3Server, bucket: str, metadata: dict[str, str]) -> None:
    """Objects without a digest, with another digest, and with another size than their digest belongs to."""
    s3.client.put_object(Bucket=bucket, Key="a.mp4", Body=b"part", Metadata=metadata)
    store(f"s3://{bucket}/", "a.mp4", b"whole")
    assert s3.client.get_object(Bucket=bucket, Key="a.mp4")["Body"].read() == b"whole"


@pytest.mark.usefixtures("use_s3")
@pytest.mark.parametrize(
    ("path", "key"),
    [("", "a.mp4"), ("/", "a.mp4"), ("/v1.2", "v1.2/a.mp4"), ("/Grüße aus/x+y/", "Grüße aus/x+y/a.mp4")],
)
def test_prefix_starts_object_key(path: str, key: str, s3: S3Server, bucket: str) -> None:
    location = store(f"s3://{bucket}{path}", "a.mp4", b"content")
    assert s3.names(bucket) == [key]
    assert location.url == f"s3://{bucket}/{key}"
    assert fetch(location.link)[0] == b"content"


def test_memory_url_is_readable_by_its_instance(run: Run, sandbox: Sandbox) -> None:
    memory = ObjectStore()
    result = run("memory:renders/", sandbox.base_url, memory)
    [file] = result.saved
    assert (file.url, file.link) == (f"memory:renders/kling-2-{result.request_id}.mp4", None)
    assert hashlib.sha256(memory.read(file.url)).hexdigest() == file.sha256
    with pytest.raises(FileNotFoundError):
        ObjectStore().read(file.url)


def test_memory_url_stores_large_file(spool: Path) -> None:
    memory = ObjectStore()
    storage = memory.kling_storage("memory:")
    assert storage is not None
    storage.check()
    writer = storage.open("big.mp4", "video/mp4")
    writer.write(BIG)
    assert writer.commit(hashlib.sha256(BIG).hexdigest()).url == "memory:big.mp4"
    assert memory.read("memory:big.mp4") == BIG
    assert open_spools(spool) == []


@pytest.mark.usefixtures("use_s3")
def test_readme_examples_run(
    s3: S3Server,
    bucket: str,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (ROOT / "plugins/objectstore/README.md").read_text("utf-8")
    to_s3, to_memory = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.setenv("SEGMIND_API_KEY", sandbox.api_key)
    to_s3 = to_s3.replace("Kling()", f"Kling(base_url={sandbox.base_url!r})").replace(
        "s3://films", f"s3://{bucket}"
    )
    exec(to_s3, {})
    url, link = capsys.readouterr().out.splitlines()
    [name] = s3.names(bucket)
    assert url == f"s3://{bucket}/{name}"
    assert fetch(link)[0][4:8] == b"ftyp"
    exec(to_memory, {})


class TestS3Conformance(StorageConformance):
    plugin = "objectstore"
    secrets = (SECRET,)

    @pytest.fixture(autouse=True)
    def place(self, use_s3: None, s3: S3Server, bucket: str) -> None:
        self.s3, self.bucket = s3, bucket
        self.url = f"s3://{bucket}/renders/"
        self.unusable = f"s3://{bucket}-missing/renders/"

    def names(self) -> list[str]:
        return [key.removeprefix("renders/") for key in self.s3.names(self.bucket)]

    def read(self, name: str) -> bytes:
        content = self.s3.client.get_object(Bucket=self.bucket, Key=f"renders/{name}")["Body"].read()
        assert isinstance(content, bytes)
        return content
