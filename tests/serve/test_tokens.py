"""The file of tokens, and the options of `kling serve` and `kling mcp` about programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from kling_serve.plugin import kling_cli
from kling_serve.tokens import Limits, Token, read_tokens

from kling_adapters import ConfigError

SECRET = "s" * 32


@pytest.fixture
def app() -> click.Group:
    group = click.Group()
    kling_cli(group)
    return group


def test_tokens_have_names_and_limits(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(
        f'[webui]\ntoken = "{SECRET}"\njobs_in_flight = 4\ncredits_a_day = 20\nunknown_price = 0.5\n'
    )
    assert read_tokens(path) == (Token("webui", SECRET, Limits(4, 20, None, 0.5)),)
    assert SECRET not in repr(read_tokens(path))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("[a", "not valid TOML"),
        (f"a = {'[' * 5000}", "not valid TOML"),
        (f'[a]\ntoken = "{SECRET}" {SECRET}', "not valid TOML"),
        ("a = 1", "token of a is missing"),
        ('[a]\ntoken = "short"', "too weak"),
        (f'[a]\ntoken = "{SECRET}\\n"', "too weak"),
        (f'[studio]\ntoken = "{SECRET}"', "not a name"),
        (f'["A b"]\ntoken = "{SECRET}"', "not a name"),
        (f'[a]\ntoken = "{SECRET}"\n[b]\ntoken = "{SECRET}"', "same token"),
        (f'[a]\ntoken = "{SECRET}"\ncredit = 1', "credit of a is unknown"),
        (f'[a]\ntoken = "{SECRET}"\ncredits_a_day = -1', "credits_a_day of a"),
        (f'[a]\ntoken = "{SECRET}"\ncredits_a_day = inf', "credits_a_day of a"),
        (f'[a]\ntoken = "{SECRET}"\njobs_in_flight = true', "jobs_in_flight of a"),
        (f'[a]\ntoken = "{SECRET}"\njobs_in_flight = 1.5', "jobs_in_flight of a"),
    ],
)
def test_invalid_tokens_are_refused_without_showing_them(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=text) as error:
        read_tokens(path)
    assert SECRET not in str(error.value)


def test_tokens_file_beyond_the_size_limit_is_refused(tmp_path: Path) -> None:
    """The part of it that is read could be valid, without the limits after it."""
    path = tmp_path / "tokens.toml"
    table = f'[a]\ntoken = "{SECRET}"'
    path.write_text(f"{table.ljust(1024**2 - 1)}\ncredits_a_day = 1\n")
    with pytest.raises(ConfigError, match="at most 1 MiB"):
        read_tokens(path)


def test_missing_tokens_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_tokens(tmp_path / "missing.toml")


def test_mcp_prints_a_configuration_with_absolute_paths(
    app: click.Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    options = ["--no-sandbox", "--max-cost", "3", "--allow-folder", "pictures", "--journal", "jobs.sqlite3"]
    printed = CliRunner().invoke(app, ["mcp", "--print-config", *options], catch_exceptions=False)
    server: dict[str, Any] = json.loads(printed.output)["mcpServers"]["kling"]
    assert Path(server["command"]).is_absolute()
    arguments = server["args"]
    assert arguments[0] == "mcp"
    assert {"--no-sandbox", str(tmp_path / "pictures"), str(tmp_path / "jobs.sqlite3"), "3.0"} <= {*arguments}
    assert "--folder" not in arguments


@pytest.mark.parametrize("command", ["serve", "studio", "mcp"])
def test_help_has_each_option_once(app: click.Group, command: str) -> None:
    options = [name for option in app.commands[command].params for name in option.opts]
    assert len(options) == len({*options})
    assert "--allow-folder" in CliRunner().invoke(app, [command, "--help"], catch_exceptions=False).output
