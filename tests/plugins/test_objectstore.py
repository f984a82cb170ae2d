"""kling-objectstore: a real S3 server, read back with an independent client, and memory URLs."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any, Self

import anyio
import boto3
import pytest
from botocore.config import Config
from kling_objectstore import ObjectStore
from kling_sandbox import Sandbox

from kling_adapters import AsyncKling, Kling, StorageError
from kling_adapters.hookspecs import Storage
from kling_adapters.testing import MP4, SimulatedClock, StorageConformance
from tests.support.scripted_server import Reply, ScriptedServer, gateway_script, result_reply

ROOT = Path(__file__).parents[2]
WEED = Path(sys.executable).with_name("weed")
KEY_ID, SECRET = "AKIDOFTHETESTS", "sEcReT/0123456789abcdefghijklmnop"
MB = 1024**2
BIG = MP4 + os.urandom(MB) * 64
PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
    "admin.port",
    "admin.port.grpc",
)


class S3Server:
    """A SeaweedFS process in a folder, and a boto3 client for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in PORTS]
            self._ports = dict(zip(PORTS, [listener.getsockname()[1] for listener in sockets], strict=True))
        self.port: int = self._ports["s3.port"]
        self.url = f"http://127.0.0.1:{self.port}"
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

    def __enter__(self) -> Self:
        flags = {
            **self._ports,
            "dir": self._folder,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "filer.localSocket": self._folder / "filer.sock",
            "s3.localSocket": self._folder / "s3.sock",
            "s3.autoCreateBucket": "false",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "webdav": "false",
            "admin.ui": "false",
            "master.telemetry": "false",
        }
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(WEED), "mini", *(f"-{name}={value}" for name, value in flags.items())],
                env={"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET, "HOME": str(self._folder)},
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        for _ in range(600):
            try:
                self.client.list_buckets()
            except Exception:  # noqa: BLE001  any error while the server starts
                time.sleep(0.05)  # another process has no simulated clock
            else:
                return self
        self.kill()
        raise AssertionError((self._folder / "log").read_text()[-3000:])

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Kill the process, as in a crash."""
        self._process.kill()
        self._process.wait()

    def bucket(self, name: str) -> str:
        self.client.create_bucket(Bucket=name)
        return name

    def names(self, bucket: str) -> list[str]:
        objects = self.client.list_objects_v2(Bucket=bucket).get("Contents", [])
        return [entry["Key"] for entry in objects]

    def uploads(self, bucket: str) -> list[Any]:
        return list(self.client.list_multipart_uploads(Bucket=bucket).get("Uploads", []))


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("weed")) as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server, request: pytest.FixtureRequest) -> str:
    """The name of a new bucket per test."""
    return s3.bucket(hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20])


@pytest.fixture(autouse=True)
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files."""
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the test credentials; hide those of this machine."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "SEGMIND_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@pytest.fixture
def use_s3(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


Run = Callable[..., Any]


@pytest.fixture(params=[Kling, AsyncKling], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    """Return a function that runs a job on a client and saves its files."""

    def blocking(save_to: str, base_url: str, plugins: list[object]) -> Any:
        with Kling(
            base_url=base_url, api_key="SG_5a4db0c55a4db0c5", clock=SimulatedClock(), plugins=plugins
        ) as kling:
            return kling.run("kling-2", prompt="a lighthouse", save_to=save_to)

    async def awaiting(save_to: str, base_url: str, plugins: list[object]) -> Any:
        async with AsyncKling(
            base_url=base_url, api_key="SG_5a4db0c55a4db0c5", clock=SimulatedClock(), plugins=plugins
        ) as kling:
            return await kling.run("kling-2", prompt="a lighthouse", save_to=save_to)

    def call(save_to: str, base_url: str, *plugins: object) -> Any:
        if request.param is Kling:
            return blocking(save_to, base_url, list(plugins))
        return anyio.run(awaiting, save_to, base_url, list(plugins))

    return call


def fetch(link: str) -> tuple[bytes, Any]:
    """Fetch a link without credentials."""
    assert link.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(link, timeout=10) as response:
        return response.read(), response.headers


def open_storage(url: str) -> Storage:
    storage = ObjectStore().kling_storage(url)
    assert storage is not None
    return storage


def store(url: str, name: str, content: bytes, content_type: str = "video/mp4") -> Any:
    writer = open_storage(url).open(name, content_type)
    writer.write(content)
    return writer.commit(hashlib.sha256(content).hexdigest())


def open_spools(folder: Path) -> list[str]:
    """List the temporary files of this process in a folder, unnamed ones included."""
    links: list[str] = []
    for number in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed since the listing
            links.append(str(number.readlink()))
    return [*map(str, folder.iterdir()), *(link for link in links if link.startswith(str(folder)))]


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a thread or a server, ten seconds at most."""
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("the condition is still false after ten seconds")


# From a job to an object.


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


# Identical content is uploaded once.


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


# Complete, or not at all.


class Gate:
    """A TCP relay that stops after `after` bytes, sets `reached`, and waits for `go_on`."""

    def __init__(self, port: int, after: int) -> None:
        self._port = port
        self._remaining = after
        self._lock = threading.Lock()
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def __enter__(self) -> Self:
        # A raw socket: it forwards bytes and stops in the middle of a body.
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._port))
                except OSError:
                    near.close()
                    continue
                for source, target in ((near, far), (far, near)):
                    threading.Thread(
                        target=self._pass, args=(source, target, source is near), daemon=True
                    ).start()

    def _pass(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with suppress(OSError), closing(source), closing(target):
            while chunk := source.recv(65536):
                if counts:
                    with self._lock:
                        self._remaining -= len(chunk)
                    if self._remaining < 0:
                        self.reached.set()
                        assert self.go_on.wait(30)
                target.sendall(chunk)
            with suppress(OSError):
                target.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def big_gateway() -> Iterator[str]:
    """A gateway whose jobs all return a file of 64 MB."""
    with ScriptedServer() as scripted_server:
        scripted_server.play(
            gateway_script(
                result=[result_reply(f"{scripted_server.url}/files/big.mp4")], files=[Reply(200, BIG)]
            )
        )
        yield scripted_server.url


async def cancel_task(work: Callable[[], Any], reached: threading.Event) -> None:
    task = asyncio.ensure_future(work())
    await anyio.to_thread.run_sync(reached.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancel_scope(work: Callable[[], Any], reached: threading.Event) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(work)
        await anyio.to_thread.run_sync(reached.wait, 30)
        group.cancel_scope.cancel()


@pytest.mark.parametrize("cancel", [cancel_task, cancel_scope])
def test_cancelled_upload_leaves_no_data(
    cancel: Any, s3: S3Server, bucket: str, big_gateway: str, monkeypatch: pytest.MonkeyPatch, spool: Path
) -> None:
    with Gate(s3.port, 20 * MB) as gate:
        monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)

        async def work() -> None:
            async with AsyncKling(base_url=big_gateway, api_key="SG_x", clock=SimulatedClock()) as kling:
                await kling.run("kling-2", prompt="a lighthouse", save_to=f"s3://{bucket}/")

        async def main() -> None:
            await cancel(work, gate.reached)
            # The cancellation did not wait for the upload.
            assert len(s3.uploads(bucket)) == 1
            assert open_spools(spool)
            gate.go_on.set()

        anyio.run(main)
        wait_until(lambda: not open_spools(spool))
    assert s3.uploads(bucket) == []
    assert s3.names(bucket) == []


@pytest.mark.usefixtures("use_s3")
def test_aborted_download_leaves_no_data(s3: S3Server, bucket: str, spool: Path) -> None:
    writer = open_storage(f"s3://{bucket}/").open("a.mp4", "video/mp4")
    writer.write(b"half")
    assert open_spools(spool)
    writer.abort()
    writer.abort()
    assert open_spools(spool) == []
    assert s3.names(bucket) == []


def test_server_crash_is_storage_error_with_url(
    run: Run, big_gateway: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spool: Path
) -> None:
    server = S3Server(tmp_path)
    with server, Gate(server.port, 20 * MB) as gate:
        server.bucket("films")
        monkeypatch.setenv("AWS_ENDPOINT_URL", gate.url)

        def kill() -> None:
            assert gate.reached.wait(30)
            server.kill()
            gate.go_on.set()

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(StorageError) as caught:
            run("s3://films/", big_gateway)
        killer.join()
        assert caught.value.url == f"{big_gateway}/files/big.mp4"
        assert f"can still be fetched from {big_gateway}/files/big.mp4" in str(caught.value)
        assert open_spools(spool) == []
    with server:
        assert server.names("films") == []


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name != "posix", reason="signals of POSIX")
def test_interrupt_cancels_upload(s3: S3Server, bucket: str) -> None:
    code = f"""
import hashlib
from kling_objectstore import ObjectStore
writer = ObjectStore().kling_storage("s3://{bucket}/").open("a.mp4", "video/mp4")
writer.write(bytes({64 * MB}))
try:
    writer.commit("0" * 64)
except KeyboardInterrupt:
    print("interrupted")
"""
    with Gate(s3.port, 20 * MB) as gate:
        child = subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "AWS_ENDPOINT_URL": gate.url},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert gate.reached.wait(30)
        child.send_signal(signal.SIGINT)
        gate.go_on.set()
        assert child.communicate(timeout=30)[0] == "interrupted\n"
    assert s3.uploads(bucket) == []
    assert s3.names(bucket) == []


@pytest.mark.usefixtures("use_s3")
def test_memory_use_is_independent_of_file_size(s3: S3Server, bucket: str) -> None:
    code = f"""
import hashlib, os, re
from pathlib import Path
from kling_objectstore import ObjectStore
def peak():  # MiB; getrusage includes the memory of pytest at the fork
    return int(re.search("VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1]) // 1024
def store(name, megabytes):
    chunk, digest = os.urandom(1024**2), hashlib.sha256()
    writer = ObjectStore().kling_storage("s3://{bucket}/").open(name, "video/mp4")
    for _ in range(megabytes):
        digest.update(chunk)
        writer.write(chunk)
    writer.commit(digest.hexdigest())
store("small.mp4", 1)
before = peak()
store("large.mp4", 256)
print(peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120
    )
    assert s3.client.head_object(Bucket=bucket, Key="large.mp4")["ContentLength"] == 256 * MB
    assert int(done.stdout) < 64


# Errors before a job is submitted.


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


# In memory.


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
