"""The `kling` command, as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path

import click
import pytest
from kling_sandbox import BLOCKED_TEXT, KEY_NO_CREDITS, Sandbox

from tests.support.media import make_png

from .conftest import Acme
from .conftest import run_kling as kling


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(timing="at-once") as running:
        yield running


def test_help_lists_every_command_and_the_exit_codes() -> None:
    done = kling("--help")
    assert done.returncode == 0
    for command in ("models", "plugins", "run", "sandbox", "show", "status", "submit", "wait"):
        assert f"\n  {command} " in done.stdout
    assert "\nExit codes:\n  0    done\n  1    a job failed\n" in done.stdout


def test_models_lists_the_catalogue() -> None:
    rows = json.loads(kling("models", "--json").stdout)
    listed = {(row["slug"], row["returns"], row["latency"]) for row in rows}
    assert listed >= {
        ("kling-2", "video", 300.73),
        ("kling-2.5-turbo", "video", None),
        ("kling-3-pro-image2video", "video", None),
        ("kling-bloombloom", "video", 193.06),
        ("kling-o1", "image", 57.86),
    }
    table = kling("models").stdout
    assert all(row["slug"] in table and row["title"] in table for row in rows)


def test_show_lists_nested_parameters_and_rules() -> None:
    shown = kling("show", "kling-3-pro-image2video").stdout
    assert "elements[].frontal_image_url" in shown
    assert "multi_prompt[].prompt" in shown
    assert "@Element1 in prompt names the first item of elements" in shown
    assert (
        "tail_image_url needs image_url to be set and mode to be pro."
        in kling("show", "kling-2.5-turbo").stdout
    )


def test_rule_of_a_newer_compiler_is_shown_as_json(tmp_path: Path, acme: Acme) -> None:
    acme("schemas/acme-1.json", '"rules": []', '"rules": [{"at_night": {"field": "prompt"}}]')
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = kling("show", "acme-1", PYTHONPATH=paths)
    assert done.returncode == 0, done.stderr
    assert '\nRules:\n  {"at_night": {"field": "prompt"}}\n' in done.stdout


def test_plugins_lists_installed_plugins() -> None:
    rows = json.loads(kling("plugins", "--json").stdout)
    assert {row["name"]: row["state"] for row in rows}["sandbox"] == "loaded"
    table = kling("plugins").stdout
    assert all(row["name"] in table for row in rows)


def test_run_in_the_sandbox_needs_nothing_else(tmp_path: Path) -> None:
    done = kling("run", "--sandbox", "kling-o1", "prompt=a @Image1", "image_urls=https://example.com/a.png",
                 "output_format=jpg", "--save-to", str(tmp_path))  # fmt: skip
    assert done.returncode == 0, done.stderr
    [file] = tmp_path.iterdir()
    assert file.suffix == ".jpg"
    assert file.name in done.stdout
    assert "cost in credits" in done.stdout
    assert [line.rpartition(" ")[2] for line in done.stderr.splitlines()][-2:] == ["completed", "stored"]


def test_run_reads_values_as_the_declared_types(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("@Element1 speaks", "utf-8")
    done = kling("run", "kling-3-pro-image2video", f"prompt=@{tmp_path}/prompt.txt", "start_image_url=https://e.com/a=b",
                 "duration=3", "cfg_scale=0.25", "generate_audio=false", "elements=[{}]", "voice_ids=a", "voice_ids=b",
                 "negative_prompt=@@home",
                 "--base-url", sandbox.base_url, "--json", SEGMIND_API_KEY=sandbox.api_key)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["cost"] > 0
    assert done.stderr == ""
    [body] = [request.json for request in sandbox.requests if request.path == "/v2/kling-3-pro-image2video"]
    assert body == {
        "prompt": "@Element1 speaks",
        "start_image_url": "https://e.com/a=b",
        "duration": "3",
        "cfg_scale": 0.25,
        "generate_audio": False,
        "elements": [{}],
        "voice_ids": ["a", "b"],
        "negative_prompt": "@home",
    }


def test_submit_status_and_wait_are_run_in_three_steps(sandbox: Sandbox, tmp_path: Path) -> None:
    place = ("--base-url", sandbox.base_url)
    request_id = kling(
        "submit", "kling-2", "prompt=x", *place, SEGMIND_API_KEY=sandbox.api_key
    ).stdout.strip()
    assert kling("status", request_id, *place, SEGMIND_API_KEY=sandbox.api_key).stdout == "COMPLETED\n"
    done = kling("wait", request_id, *place, SEGMIND_API_KEY=sandbox.api_key)
    assert (done.returncode, request_id in done.stdout, "stored as" in done.stdout) == (0, True, False)
    done = kling("wait", request_id, "--model", "kling-2", "--save-to", str(tmp_path), *place,
                 SEGMIND_API_KEY=sandbox.api_key)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [file.name for file in tmp_path.iterdir()] == [f"kling-2-{request_id}.mp4"]


def test_wait_stores_the_output_where_the_submit_said(sandbox: Sandbox, tmp_path: Path) -> None:
    place = ("--base-url", sandbox.base_url, "--journal", str(tmp_path / "journal"))
    file = tmp_path / "film.mp4"
    done = kling(
        "submit", "kling-2", "prompt=x", "--save-to", str(file), *place, SEGMIND_API_KEY=sandbox.api_key
    )
    request_id = done.stdout.strip()
    for _ in range(2):
        done = kling("wait", request_id, "--json", *place, SEGMIND_API_KEY=sandbox.api_key)
        assert (done.returncode, done.stderr) == (0, "")
        assert [stored["url"] for stored in json.loads(done.stdout)["saved"]] == [file.as_uri()]
    assert [path.name for path in tmp_path.glob("*.mp4")] == ["film.mp4"]


def test_wait_takes_the_model_from_the_journal(sandbox: Sandbox, tmp_path: Path) -> None:
    place = ("--base-url", sandbox.base_url, "--journal", str(tmp_path / "journal"))
    done = kling("submit", "kling-2", "prompt=x", *place, SEGMIND_API_KEY=sandbox.api_key)
    request_id = done.stdout.strip()
    for destination in ((), ("--save-to", str(tmp_path))):
        done = kling("wait", request_id, "--json", *destination, *place, SEGMIND_API_KEY=sandbox.api_key)
        assert json.loads(done.stdout)["model"] == "kling-2"
    assert [path.name for path in tmp_path.glob("*.mp4")] == [f"kling-2-{request_id}.mp4"]
    (tmp_path / "journal").write_bytes(b"damaged" * 100)
    done = kling("wait", request_id, "--save-to", str(tmp_path), *place, SEGMIND_API_KEY=sandbox.api_key)
    assert done.returncode == 0
    assert (tmp_path / f"{request_id}.mp4").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        "run kling-2 prompt=x",
        "submit kling-2 prompt=x",
        "submit-raw kling-2 prompt=x",
        "wait 5f0c3c4e",
        "resume",
        "batch films.jsonl",
    ],
)
def test_command_passes_its_rate_limit_on(sandbox: Sandbox, tmp_path: Path, arguments: str) -> None:
    file = tmp_path / "films.jsonl"
    file.write_text('{"model": "kling-2", "prompt": "x"}\n')
    command = [str(file) if word == file.name else word for word in arguments.split()]
    before = len(sandbox.requests)
    done = kling(
        *command, "--rate-limit", "0.5", "--base-url", sandbox.base_url, SEGMIND_API_KEY=sandbox.api_key
    )
    assert done.returncode == 2
    assert "--rate-limit is 0.5; expected a number of requests a minute from 1" in done.stderr
    assert len(sandbox.requests) == before


def test_status_comes_from_the_journal_after_an_hour(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        account = {"SEGMIND_API_KEY": sandbox.api_key, "KLING_JOURNAL": str(tmp_path / "journal")}
        place = ("--base-url", sandbox.base_url)
        request_id = kling("submit", "kling-2", "prompt=x", *place, **account).stdout.strip()
        assert kling("wait", request_id, *place, **account).returncode == 0
        sandbox.advance(3601)
        assert kling("status", request_id, *place, **account).stdout == "COMPLETED\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["kling-2", "promt=x", "duration=7"], 2, "did you mean prompt?"),
        (["kling-22", "prompt=x"], 2, "did you mean kling-2?"),
        (
            ["kling-2.1", "prompt=x"],
            2,
            "kling-2.1 has no spec. `kling submit-raw kling-2.1 NAME=VALUE ...` submits a job",
        ),
        (["kling-2", "prompt"], 2, "'prompt' is not NAME=VALUE"),
        (["kling-2", "prompt=x", "prompt=y"], 2, "prompt appears twice"),
        (["kling-2", "prompt=@nowhere.txt"], 2, "nowhere.txt cannot be read"),
        (["kling-bloombloom", "image=@nowhere.png"], 2, "image: nowhere.png is missing"),
        (["kling-2", "prompt=x", "duration=five"], 2, "'five' is not allowed; allowed: 5, 10"),
        (["kling-2", "prompt=x", "cfg_scale=hot"], 2, "cfg_scale: 'hot' is not a finite number"),
        (["kling-2", "prompt=x", "--save-to", "a.png"], 2, "does not fit the output"),
        (["kling-2", "prompt=x", "--save-to", "ftp://host/"], 2, "no plugin can store"),
        (["kling-2", f"prompt={BLOCKED_TEXT}"], 1, "not billed"),
    ],
)
def test_exit_codes_and_messages(sandbox: Sandbox, arguments: list[str], code: int, message: str) -> None:
    done = kling("run", *arguments, "--base-url", sandbox.base_url, SEGMIND_API_KEY=sandbox.api_key)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert sandbox.api_key not in done.stderr


@pytest.mark.parametrize(
    ("place", "name"),
    [("out/film.mp4", "film.mp4"), ("out/{model}-x{ext}", "kling-2-x.mp4"), ("out/", "kling-2-")],
)
def test_output_is_stored_under_the_name_of_save_to(tmp_path: Path, place: str, name: str) -> None:
    done = kling("run", "--sandbox", "kling-2", "prompt=x", "--save-to", f"{tmp_path}/{place}")
    assert done.returncode == 0, done.stderr
    [file] = (tmp_path / "out").iterdir()
    assert file.name.startswith(name)
    assert f"stored as        {file.as_uri()} ({file.stat().st_size} bytes, video/mp4)" in done.stdout


def test_verbose_logs_requests(sandbox: Sandbox) -> None:
    arguments = ("kling-2", "prompt=x", "--json", "--base-url", sandbox.base_url)
    done = kling("-v", "run", *arguments, SEGMIND_API_KEY=sandbox.api_key)
    assert done.returncode == 0, done.stderr
    request_id = json.loads(done.stdout)["request_id"]
    logged = done.stderr.splitlines()
    assert all(line.startswith("INFO ") for line in logged)
    assert any(request_id in line and "completed" in line for line in logged)
    assert sandbox.api_key not in done.stderr
    assert kling("run", *arguments, SEGMIND_API_KEY=sandbox.api_key).stderr == ""


@pytest.mark.parametrize(("command", "suggestion"), [("modles", "models"), ("sandbx", "sandbox")])
def test_unknown_command_is_refused_with_a_suggestion(command: str, suggestion: str) -> None:
    done = kling(command)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"No such command '{command}'. Did you mean '{suggestion}'?" in done.stderr


def test_command_of_a_missing_plugin_is_refused_with_its_install_command() -> None:
    done = kling("studio", "--port", "0", KLING_DISABLE_PLUGINS="serve")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        "the package of `kling studio` is not installed: pip install 'kling-adapters[serve]'" in done.stderr
    )


def test_every_command_of_a_plugin_of_this_project_names_its_extra() -> None:
    from kling_adapters.cli.commands import BUILT_IN, EXTRAS, Commands

    with click.Context(Commands()) as context:
        names = Commands().list_commands(context)
    assert sorted(EXTRAS) == sorted(set(names) - {command.name for command in BUILT_IN})
    extras = metadata("kling-adapters").get_all("Provides-Extra")
    assert set(EXTRAS.values()) <= set(extras or ())


def test_missing_sandbox_is_refused_with_its_install_command() -> None:
    code = "import sys; sys.modules['kling_sandbox'] = None; from kling_adapters.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "--sandbox", "kling-2", "prompt=x"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "the sandbox is not installed: pip install 'kling-adapters[sandbox]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_key_and_credits_have_messages_of_their_own(sandbox: Sandbox) -> None:
    done = kling("run", "kling-2", "prompt=x", "--base-url", sandbox.base_url)
    assert (done.returncode, "set SEGMIND_API_KEY" in done.stderr) == (2, True)
    done = kling("run", "kling-2", "prompt=x", "--base-url", sandbox.base_url, SEGMIND_API_KEY=KEY_NO_CREDITS)
    assert (done.returncode, "Buy credits" in done.stderr) == (3, True)


def test_media_file_is_uploaded_and_text_file_is_read(sandbox: Sandbox, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(make_png(name.encode()))
    (tmp_path / "prompt.txt").write_text("@Image1 and @Image2")
    before = sandbox.uploads
    done = kling(
        *("submit", "kling-o1", f"image_urls=@{tmp_path}/a", f"image_urls=@{tmp_path}/b"),
        *(f"prompt=@{tmp_path}/prompt.txt", "--base-url", sandbox.base_url),
        SEGMIND_API_KEY=sandbox.api_key,
    )
    assert done.returncode == 0, done.stderr
    assert sandbox.uploads == before + 2
    [body] = [request.json for request in sandbox.requests if request.path == "/v2/kling-o1"][-1:]
    assert [url.startswith(sandbox.base_url) for url in body["image_urls"]] == [True, True]
    assert body["prompt"] == "@Image1 and @Image2"
