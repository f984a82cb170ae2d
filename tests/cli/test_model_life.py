"""Models that change, on the command line: one line on standard error, and no paid line twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.life import install_state

from .conftest import Command, Gateway

LENGTH = (
    "kling: warning: studio-1: length was renamed to duration, and is sent as duration. "
    "Use duration: a later version refuses length"
)


def sent(gateway: Gateway) -> list[Any]:
    return [request.params for request in gateway.requests if request.method == "POST"]


def test_old_name_is_typed_and_reported_in_one_line(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    install_state("2-renamed", tmp_path)
    done = kling("run", "studio-1", "prompt=x", "length=10", "--json")
    assert (done.returncode, done.stderr) == (0, f"{LENGTH}\n")
    assert sent(gateway) == [{"prompt": "x", "duration": 10}]


def test_both_names_are_refused(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    install_state("2-renamed", tmp_path)
    done = kling("submit", "studio-1", "prompt=x", "length=10", "duration=5")
    assert (done.returncode, done.stdout) == (2, "")
    assert "length: is the old name of duration, which is also set; pass duration only" in done.stderr
    assert not gateway.requests


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_lines_of_an_earlier_version_are_not_paid_for_again(
    kling: Command, gateway: Gateway, tmp_path: Path, form: str
) -> None:
    lines: list[dict[str, Any]] = [
        {"text": "a pier", "length": 10},
        {"text": "a pier", "length": 10},
        {"text": "a boat"},
    ]
    file = tmp_path / f"films.{form}"
    if form == "csv":
        rows = [",".join([line["text"], str(line.get("length", ""))]) for line in lines]
        file.write_text("\n".join(["text,length", *rows]) + "\n")
    else:
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    install_state("1-first", tmp_path)
    done = kling("batch", file.name, "--model", "studio-1")
    assert (done.returncode, len(sent(gateway))) == (0, 3)
    install_state("2-renamed", tmp_path)
    done = kling("batch", file.name, "--model", "studio-1", "--resume", "--dry-run")
    assert (done.returncode, done.stderr.count("length was renamed")) == (0, 1)
    assert "nothing" in done.stdout.lower() or "0" in done.stdout
    with file.open("a") as stream:
        stream.write("a tree,\n" if form == "csv" else '{"prompt": "a tree"}\n')
    done = kling("batch", file.name, "--model", "studio-1", "--resume")
    assert done.returncode == 0, done.stderr
    assert sent(gateway)[3:] == [{"prompt": "a tree"}]


def test_deprecated_parameter_is_reported_in_one_line(
    kling: Command, gateway: Gateway, tmp_path: Path
) -> None:
    install_state("3-deprecated", tmp_path)
    (tmp_path / "films.csv").write_text("prompt,style\na,calm\nb,lively\n")
    done = kling("batch", "films.csv", "--model", "studio-1")
    warning = "kling: warning: studio-1: style is deprecated since 2026-03-31, and is still sent. Use words in the prompt"
    assert (done.returncode, done.stderr.count("warning"), done.stderr.splitlines()[0]) == (0, 1, warning)
    assert len(sent(gateway)) == 2
    shown = " ".join(kling("show", "studio-1").stdout.split())
    assert "Deprecated since 2026-03-31; use words in the prompt." in shown


def test_show_names_old_names(kling: Command, tmp_path: Path) -> None:
    install_state("2-renamed", tmp_path)
    done = kling("show", "studio-1")
    assert "Formerly length, seconds." in " ".join(done.stdout.split())


RETIRED = (
    "studio-1 was retired on 2026-09-30. Submit to studio-2 instead; earlier jobs can still be collected"
)


def test_submit_to_retired_model_is_refused(kling: Command, gateway: Gateway, tmp_path: Path) -> None:
    install_state("5-retired", tmp_path)
    (tmp_path / "films.csv").write_text("model,prompt\nstudio-1,a\nstudio-2,b\n")
    for arguments in (["run", "studio-1", "prompt=x"], ["submit", "studio-1", "wrong=x"]):
        done = kling(*arguments)
        assert (done.returncode, done.stderr) == (2, f"kling: {RETIRED}. Nothing was sent\n")
    done = kling("batch", "films.csv")
    assert (done.returncode, gateway.requests) == (2, [])
    assert done.stderr == f"kling: 1 problem in films.csv; nothing was sent:\n  line 2: {RETIRED}\n"


def test_earlier_lines_of_retired_model_are_collected(
    kling: Command, gateway: Gateway, tmp_path: Path
) -> None:
    (tmp_path / "films.csv").write_text("model,prompt\nstudio-1,a\n")
    install_state("4-dropped", tmp_path)
    assert kling("batch", "films.csv").returncode == 0
    install_state("5-retired", tmp_path)
    (tmp_path / "films.csv").write_text("model,prompt\nstudio-1,a\nstudio-1,b\nstudio-2,c\n")
    done = kling("batch", "films.csv", "--resume", "--save-to", "out")
    assert done.returncode == 2
    assert RETIRED in done.stderr
    assert [body["prompt"] for body in sent(gateway)] == ["a", "c"]
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_retired_model_is_listed_and_marked(kling: Command, tmp_path: Path) -> None:
    install_state("5-retired", tmp_path)
    rows = {row["slug"]: row for row in json.loads(kling("models", "--json").stdout)}
    assert rows["studio-1"]["retired"] == {"since": "2026-09-30", "use": "studio-2"}
    assert rows["studio-2"]["retired"] is None
    assert "(retired since 2026-09-30)" in kling("models").stdout
    shown = kling("show", "studio-1").stdout
    assert "Retired since 2026-09-30; use studio-2. No job can be submitted; earlier jobs" in shown
    assert "kling run" not in shown


def test_unchecked_parameter_is_sent_and_listed(kling: Command, gateway: Gateway) -> None:
    done = kling("run", "kling-2", "prompt=x", "duration=15")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2,
        "  Pass --unchecked NAME=VALUE to send a value as it is.",
    )
    done = kling("run", "kling-2", "prompt=x", "--unchecked", "duration=15")
    assert done.returncode == 0, done.stderr
    assert kling("submit", "kling-2", "prompt=y", "--unchecked", "duration=auto").returncode == 0
    assert sent(gateway) == [{"prompt": "x", "duration": 15}, {"prompt": "y", "duration": "auto"}]
    assert "(unchecked: duration)" in " ".join(kling("jobs").stdout.split())
    lines = [json.loads(line) for line in kling("jobs", "--json").stdout.splitlines()]
    assert [line["unchecked"] for line in lines] == [["duration"], ["duration"]]


def test_unusable_unchecked_parameter_is_explained(kling: Command, gateway: Gateway) -> None:
    done = kling(
        "run", "kling-2", "prompt=x", "duration=5", "--unchecked", "duration=15", "--unchecked", "zz=1"
    )
    assert done.returncode == 2
    assert "duration: is also set; pass it with --unchecked only" in done.stderr
    assert "zz: unknown parameter; `kling submit-raw` sends it\n" in done.stderr
    assert not gateway.requests
