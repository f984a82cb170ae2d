"""`save_to` may end with a file name or with a template of one."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kling_sandbox import Sandbox

import kling_adapters as ka
from kling_adapters import KlingError
from kling_adapters.protocol.file_names import (
    FIELDS,
    FileName,
    check_unique_per_job,
    safe_stem,
    split_destination,
)
from kling_adapters.testing import PNG
from tests.support.clients import OpenClient
from tests.support.output_files import list_files
from tests.support.scripted_server import (
    Reply,
    ScriptedServer,
    gateway_script,
    result_reply,
    submit_reply,
)

TODAY = datetime.now(UTC).date().isoformat()


def run_with(open_client: OpenClient, sandbox: Sandbox, save_to: Any, **options: Any) -> Any:
    """Run a job and return its result."""

    with open_client(sandbox, **options) as kling:
        return kling.run("kling-2", prompt="a panda", save_to=save_to)


def test_file_name_names_the_only_output(open_client: OpenClient, sandbox: Sandbox, tmp_path: Path) -> None:
    [file] = run_with(open_client, sandbox, tmp_path / "renders" / "film.mp4").saved
    assert file.path == tmp_path / "renders" / "film.mp4"
    assert file.path.stat().st_size == file.size
    assert [path.name for path in (tmp_path / "renders").iterdir()] == ["film.mp4"]


def test_template_fields_are_filled(open_client: OpenClient, sandbox: Sandbox, tmp_path: Path) -> None:
    result = run_with(open_client, sandbox, f"{tmp_path}/{{model}}-{{request_id}}-{{index}}-{{date}}{{ext}}")
    [file] = result.saved
    # Midnight may pass during the test.
    pattern = rf"kling-2-{re.escape(result.request_id)}-1-\d\d\d\d-\d\d-\d\d\.mp4"
    assert re.fullmatch(pattern, file.path.name)
    assert file.path.parent == tmp_path


def test_template_in_a_file_url(open_client: OpenClient, sandbox: Sandbox, tmp_path: Path) -> None:
    [file] = run_with(open_client, sandbox, f"{tmp_path.as_uri()}/film-{{model}}").saved
    assert file.path == tmp_path / "film-kling-2.mp4"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{prompt}{ext}", "unknown field {prompt}"),
        ("{model!r}{ext}", "unknown field {model}"),
        ("{model:>9}{ext}", "unknown field {model}"),
        ("{}{ext}", "unknown field {}"),
        ("{model", "not a valid template"),
        ("model}.mp4", "not a valid template"),
        ("{ext}{model}", "must end with {ext}"),
        ("{model}{ext}{ext}", "must end with {ext}"),
        ("a b-{model}{ext}", "letters, digits, dots, hyphens and underscores"),
        (".{model}{ext}", "must not start with a dot"),
        (".mp4", "must not start with a dot"),
        ("film*.mp4", "letters, digits, dots, hyphens and underscores"),
        ("film.png", "does not fit the output of the model, which is video"),
        ("{model}.wav.txt", "does not fit the output of the model, which is video"),
        ("{model}/film.mp4", "only the file name may have fields"),
    ],
)
def test_unusable_name_is_refused_before_the_submit(
    name: str, message: str, open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    requests = list(sandbox.requests)
    for method in ("run", "run_sync", "submit"):
        with open_client(sandbox) as kling:
            with pytest.raises(ka.ConfigError, match=re.escape(message)) as caught:
                getattr(kling, method)("kling-2", prompt="a panda", save_to=f"{tmp_path}/{name}")
            assert "Nothing was sent" in str(caught.value)
    assert list(sandbox.requests) == requests
    assert list(tmp_path.iterdir()) == []


def test_direct_run_stores_under_the_name(open_client: OpenClient, sandbox: Sandbox, tmp_path: Path) -> None:
    with open_client(sandbox) as kling:
        [file] = kling.run_sync("kling-2", prompt="a panda", save_to=tmp_path / "film.mp4").saved
    assert file.path == tmp_path / "film.mp4"


def test_submit_and_save_use_names(open_client: OpenClient, sandbox: Sandbox, tmp_path: Path) -> None:
    with open_client(sandbox) as kling:
        job = kling.submit("kling-2", prompt="a panda")
        result = job.wait()
        [file] = result.save(tmp_path / "film.mp4")
        with pytest.raises(ka.StorageError, match=r"video/mp4, which the file name film\.webm does not fit"):
            result.save(tmp_path / "film.webm")
        assert file.path == tmp_path / "film.mp4"
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_resume_stores_under_the_recorded_name(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    journal = tmp_path / "journal.sqlite3"
    with open_client(sandbox, journal=journal) as kling:
        job = kling.submit("kling-2", prompt="a panda", save_to=f"{tmp_path}/out/{{request_id}}-{{date}}")
    with open_client(sandbox, journal=journal) as kling:
        [outcome] = list(kling.resume())
    assert outcome.error is None
    [file] = outcome.result.saved
    assert re.fullmatch(rf"{re.escape(job.request_id)}-\d\d\d\d-\d\d-\d\d\.mp4", file.path.name)


def test_batch_needs_a_name_for_each_job(tmp_path: Path, open_client: OpenClient, sandbox: Sandbox) -> None:
    requests = [{"model": "kling-2", "prompt": f"panda {number}"} for number in range(2)]

    def run_batch(save_to: str) -> Any:
        with open_client(sandbox, journal=None) as kling:
            return list(kling.map(requests, save_to=save_to))

    sent = list(sandbox.requests)
    for name in ("film.mp4", "{model}-{tag}{ext}"):
        with pytest.raises(ka.ConfigError, match=r"\{request_id\}.*Nothing was sent"):
            run_batch(f"{tmp_path}/{name}")
    assert list(sandbox.requests) == sent
    outcomes = run_batch(f"{tmp_path}/{{request_id}}-{{tag}}{{ext}}")
    names = {file.path.name for outcome in outcomes for file in outcome.result.saved}
    assert names == {f"{outcome.request_id}-no-tag.mp4" for outcome in outcomes}


def test_existing_folder_is_a_folder_whatever_its_name(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "film.mp4"
    folder.mkdir()
    [file] = run_with(open_client, sandbox, folder).saved
    assert file.path.parent == folder


@pytest.mark.parametrize(
    ("save_to", "folder", "template"),
    [
        ("film.mp4", ".", "film.mp4"),
        ("/film.MP4", "/", "film.MP4"),
        ("a/b/film.jpeg", "a/b/", "film.jpeg"),
        ("s3://bucket/film.mp4", "s3://bucket/", "film.mp4"),
        ("s3://bucket/a/{model}{ext}", "s3://bucket/a/", "{model}{ext}"),
        ("s3://bucket.mp4", "s3://bucket.mp4", None),
        ("s3://bucket/film.mp4/", "s3://bucket/film.mp4/", None),
        ("renders", "renders", None),
        ("renders/", "renders/", None),
        ("renders/v1.2", "renders/v1.2", None),
        ("renders/kling-2.5", "renders/kling-2.5", None),
        ("a{b}/renders", "a{b}/renders", None),
        ("http://[half", "http://[half", None),
        ("sqlite:renders.mp4", "sqlite:renders.mp4", None),
        ("~no-such-user/film.mp4", "~no-such-user/", "film.mp4"),
        ("a\0b/film.mp4", "a\0b/", "film.mp4"),
    ],
)
def test_destination_is_split(save_to: str, folder: str, template: str | None) -> None:
    place, name = split_destination(save_to)
    assert place == folder
    assert (None if name is None else name.template) == template


VALUES = {"model": "kling-2", "request_id": "a/../b", "date": TODAY, "tag": ""}


@pytest.mark.parametrize(
    ("template", "count", "names"),
    [
        ("film.mp4", 1, ["film.mp4"]),
        ("film.mp4", 3, ["film-1.mp4", "film-2.mp4", "film-3.mp4"]),
        ("{index}-{model}{ext}", 2, ["1-kling-2.mp4", "2-kling-2.mp4"]),
        ("{model}{ext}", 2, ["kling-2-1.mp4", "kling-2-2.mp4"]),
        ("{tag}", 1, ["no-tag.mp4"]),
    ],
)
def test_outputs_of_one_job_are_numbered(template: str, count: int, names: list[str]) -> None:
    _, name = split_destination(template)
    assert name is not None
    assert [name.fill(VALUES, number, count, "mp4") for number in range(1, count + 1)] == names


@pytest.mark.parametrize("value", ["a/../b", "..", "\\\\host\\x", "~", "a\0b", "", "\ud800", "x" * 400])
@pytest.mark.parametrize("field", FIELDS[:2])
def test_values_are_safe_in_a_name(field: str, value: str) -> None:
    name = FileName(f"{{{field}}}{{ext}}").fill({field: value}, 1, 1, "mp4")
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,180}\.mp4", name)


def test_long_ids_keep_different_names() -> None:
    name = FileName("{model}-{request_id}{ext}")
    names = {name.fill({"model": "m" * 100, "request_id": "x" * 300 + end}, 1, 1, "mp4") for end in "12"}
    assert len(names) == 2
    assert all(len(text) < 200 for text in names)


@pytest.mark.parametrize("extension", ["mp4", "bin"])
def test_unrecognized_content_takes_the_given_name(extension: str) -> None:
    assert FileName("film.mp4", "mp4").fill({}, 1, 1, extension) == "film.mp4"
    assert FileName("film.jpeg", "jpeg").fill({}, 1, 1, "jpg") == "film.jpeg"


@pytest.mark.parametrize("save_to", ["renders", "{request_id}", "s3://b/{request_id}.mp4"])
def test_unique_destination_is_accepted(save_to: str) -> None:
    check_unique_per_job(save_to)


HOSTILE = [
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "....//....//x",
    "C:\\windows\\x",
    "a\\..\\..\\b",
    "~root",
    "-rf",
    ".hidden",
    "x" * 300,
    "é" * 300,
    "日本",
    "a b;c|d&e$(f)`g`",
    "con",
    "%2e%2e%2f",
]


@pytest.mark.parametrize("request_id", HOSTILE, ids=lambda text: text[:20])
def test_hostile_request_ids_give_safe_names(
    request_id: str, server: ScriptedServer, open_client: OpenClient, tmp_path: Path
) -> None:
    images = [{"url": f"{server.url}/files/{n}", "file_name": request_id} for n in (1, 2)]
    server.play(
        gateway_script(
            submit=[submit_reply(request_id)],
            result=[result_reply(images=images)],
            files=lambda received: Reply(200, PNG + received.path.encode()),
        )
    )
    inside = tmp_path / "in" / "side"
    saved = open_client(server).save_job(inside)
    # Two images are two files, under names that are nothing but names.
    assert list_files(tmp_path) == sorted(file.path for file in saved)
    assert {path.parent for path in list_files(tmp_path)} == {inside}
    assert sorted(file.path.read_bytes() for file in saved) == [PNG + b"/files/1", PNG + b"/files/2"]
    for file in saved:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,180}\.png", file.path.name)
        assert hashlib.sha256(file.path.read_bytes()).hexdigest() == file.sha256


@pytest.mark.parametrize("request_id", ["nul\0", "new\nline", "\x1b[2J", "\u202e"])
def test_unprintable_ids_are_not_ids(
    request_id: str, server: ScriptedServer, open_client: OpenClient
) -> None:
    server.play(gateway_script(submit=[submit_reply(request_id)]))
    with pytest.raises(KlingError, match="without a request id"):
        open_client(server).submit_job()


@given(st.lists(st.text(max_size=400), max_size=3))
def test_stem_is_a_safe_file_name(parts: list[str]) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,180}", safe_stem(*parts))


def test_refused_characters_of_a_stem_become_underscores() -> None:
    assert re.fullmatch("a_b-c-[0-9a-f]{12}", safe_stem("a /b", "c"))


def test_long_ids_get_different_names() -> None:
    assert safe_stem("kling-2", "x" * 300 + "1") != safe_stem("kling-2", "x" * 300 + "2")
