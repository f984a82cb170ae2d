"""`kling config` and `kling credits`: the settings with their sources, and never the key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kling_adapters.cli import app

from .conftest import Command, Gateway

KEY = "SG_5a4db0c55a4db0c5"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KLING_BASE_URL", "SEGMIND_API_KEY_FILE", "KLING_PLUGINS", "KLING_AUTH"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("SEGMIND_API_KEY", KEY)
    monkeypatch.setenv("KLING_JOURNAL", str(tmp_path / "journal.sqlite3"))


def config(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["config", *arguments], terminal_width=200)
    assert KEY not in result.output
    assert "password" not in result.output
    return result


def settings(*arguments: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(config("--json", *arguments).output)["settings"]}


def test_settings_are_shown_with_their_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:password@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "localhost")
    shown = config()
    assert shown.exit_code == 0
    for text in (
        "https://api.segmind.com",
        "default",
        "SEGMIND_API_KEY",
        "KLING_JOURNAL",
        "does not exist yet",
    ):
        assert text in shown.output
    for text in ("https:// through http://proxy.example:3128", "localhost without a proxy", "file_storage"):
        assert text in shown.output
    rows = json.loads(config("--json").output)
    assert {row["name"]: row["state"] for row in rows["plugins"]}["env_auth"] == "loaded"
    assert [row["source"] for row in rows["settings"] if row["name"] == "proxy"] == [
        "HTTPS_PROXY",
        "NO_PROXY",
    ]


def test_options_and_key_files_are_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SEGMIND_API_KEY")
    monkeypatch.setenv("SEGMIND_API_KEY_FILE", str(tmp_path / "key"))
    (tmp_path / "key").write_text(KEY)
    shown = settings("--base-url", "http://127.0.0.1:9", "--journal", "none")
    assert (shown["gateway"]["source"], shown["gateway"]["value"]) == ("--base-url", "http://127.0.0.1:9")
    assert shown["API key"]["source"] == "SEGMIND_API_KEY_FILE"
    assert (shown["journal"]["source"], shown["journal"]["value"][:5]) == ("--journal", "none:")


def test_settings_that_cannot_be_used_are_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SEGMIND_API_KEY")
    (tmp_path / "journal.sqlite3").mkdir()
    shown = settings()
    assert "no API key: set SEGMIND_API_KEY" in shown["API key"]["problem"]
    assert "journal.sqlite3" in shown["journal"]["problem"]
    monkeypatch.setenv("KLING_PLUGINS", "webhok")
    result = config()
    assert (result.exit_code, result.output.count("webhok")) == (2, 1)
    assert "must be https" in settings("--base-url", "http://example.com")["gateway"]["problem"]


def test_request_history_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "https://api.spotprod.segmind.com/inference-request/request-history"
    row = settings()["request history"]
    assert (row["value"], row["source"], row["problem"]) == (address, "default", None)
    row = settings("--base-url", "http://127.0.0.1:9/v1")["request history"]
    assert row["value"] == "http://127.0.0.1:9/inference-request/request-history"
    monkeypatch.setenv("KLING_HISTORY", "0")
    row = settings()["request history"]
    assert (row["value"][:4], row["source"]) == ("off:", "KLING_HISTORY")
    monkeypatch.setenv("KLING_HISTORY", "no")
    shown = config("--json")
    assert shown.exit_code == 2
    assert "KLING_HISTORY is 'no'; expected 1 or 0" in shown.output
    monkeypatch.delenv("KLING_HISTORY")
    assert settings("--base-url", "ftp://x")["request history"]["problem"] is None


def test_rate_limit_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    row = settings()["rate limit"]
    assert (row["value"], row["source"]) == ("learned from refusals", "default")
    monkeypatch.setenv("KLING_RATE_LIMIT", "50")
    row = settings()["rate limit"]
    assert (row["value"], row["source"]) == ("50 requests a minute", "KLING_RATE_LIMIT")
    monkeypatch.setenv("KLING_RATE_LIMIT", "many")
    shown = config("--json")
    assert (shown.exit_code, "KLING_RATE_LIMIT is 'many'" in shown.output) == (2, True)


def test_journal_state_is_counted(kling: Command) -> None:
    assert kling("submit", "kling-2", "prompt=x").returncode == 0
    shown = kling("config", "--json", "--base-url", kling.gateway.base_url)
    assert "(1 job, 1 unfinished)" in shown.stdout


def test_credits_are_printed(kling: Command, gateway: Gateway) -> None:
    done = kling("credits")
    assert (done.returncode, "free credits" in done.stdout) == (0, True), done.stderr
    assert json.loads(kling("credits", "--json").stdout).keys() == {"credits", "free"}


def test_unusable_proxy_is_a_problem_of_its_own_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://")
    # Not by `config`, which looks for the password of a proxy: the message advises about passwords.
    result = CliRunner().invoke(app, ["config", "--json"])
    rows = {row["name"]: row for row in json.loads(result.output)["settings"]}
    assert result.exit_code == 2
    assert "HTTPS_PROXY is not the address of a proxy" in rows["proxy"]["problem"]
    assert (rows["API key"]["value"], rows["gateway"]["problem"]) == ("set", None)
