"""What docs/plugins.md says is complete and true: every hook is in it, its plugins are installed, tested and run."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from kling_adapters import Kling, events, hookspecs, testing
from kling_adapters.hookspecs import HookSpecs, Location, hookimpl
from kling_adapters.plugins.selection import ALLOW, AUTH, DISABLE, STRICT
from kling_adapters.testing import FakeGateway, SimulatedClock

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text("utf-8")
# docs/plugins.md says that this module runs its blocks.
FILES = dict(re.findall(r"```(?:python|toml)\n# ([a-z_]+\.\w+)\n(.*?)```", PAGE, re.DOTALL))
HOOKS = {name: hook for name, hook in vars(HookSpecs).items() if name.startswith("kling_")}


def section(heading: str) -> str:
    [text] = re.findall(rf"^### `{re.escape(heading)}`\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
    return str(text)


def arguments(function: Any) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name != "self"]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_section_with_each_argument_and_a_row(hook: str) -> None:
    names = arguments(HOOKS[hook])
    text = section(f"{hook}({', '.join(names)})")
    for word in ("**When**", "**Returns**", *(f"**`{name}`**" for name in names)):
        assert word in text, f"{hook}: {word}"
    [row] = re.findall(rf"^\| `{hook}` \|(.*)\|$", PAGE, re.MULTILINE)
    who, asynchronous, exception = (cell.strip() for cell in row.split("|"))
    only_first = bool(getattr(HOOKS[hook], f"{hookspecs.PROJECT}_spec")["firstresult"])
    assert who == ("until one answers" if only_first else "every plugin")
    assert (asynchronous == "yes") == ("Awaitable" in str(inspect.signature(HOOKS[hook])))
    assert exception


@pytest.mark.parametrize(
    "protocol",
    [
        hookspecs.Auth,
        hookspecs.RenewableAuth,
        hookspecs.KeyPool,
        hookspecs.Storage,
        hookspecs.JobStorage,
        hookspecs.Writer,
        hookspecs.Engine,
    ],
)
def test_methods_of_hook_results_have_rows(protocol: type[Any]) -> None:
    methods = {
        name: method
        for name, method in vars(protocol).items()
        if inspect.isfunction(method) and name[0] != "_"
    }
    assert methods
    for name, method in methods.items():
        assert f"| `{protocol.__name__}.{name}({', '.join(arguments(method))})` |" in PAGE


def test_every_field_of_the_job_context_is_described() -> None:
    for field in dataclasses.fields(hookspecs.JobContext):
        assert f"`{field.name}`" in section("kling_storage(url)")


@pytest.mark.parametrize("kind", get_args(events.Event))
def test_every_event_has_a_row_with_each_field(kind: type[Any]) -> None:
    [row] = re.findall(rf"^\| `{kind.__name__}` \|(.*)\|$", section("kling_event(event)"), re.MULTILINE)
    fields = re.findall(r"`(\w+)`", row.split("|")[-1])
    assert sorted(fields) == sorted(field.name for field in dataclasses.fields(kind))


def test_settings_and_suites_are_documented() -> None:
    arguments_shown = set(inspect.signature(Kling).parameters) & {
        "auth",
        "plugins",
        "strict_plugins",
        "api_key",
    }
    for word in (
        AUTH,
        ALLOW,
        DISABLE,
        STRICT,
        *(f"Kling({name}=" for name in arguments_shown),
        *testing.__all__,
    ):
        assert word in PAGE or word in ("MP4", "PNG", "GatewayRequest"), word


def test_every_plugin_of_the_repository_is_listed() -> None:
    listed = re.findall(r"^\| \[`(\w+)`\]\(\.\./plugins/(\w+)/README\.md\) \|", PAGE, re.MULTILINE)
    assert {name for name, _ in listed} == {path.parent.name for path in ROOT.glob("plugins/*/README.md")}
    assert all(name == folder for name, folder in listed)


def test_first_plugin_is_short_and_blocks_run() -> None:
    assert len([line for line in FILES["kling_sqlite.py"].splitlines() if line.strip()]) < 30
    assert len(re.findall("```(?:python|toml)", PAGE)) == len(FILES)
    assert sorted(FILES) == [
        "host.py", "kling_filing.py", "kling_spent.py", "kling_sqlite.py", "kling_vault.py", "pyproject.toml", "test_plugins.py"
    ]  # fmt: skip


def test_plugins_install_and_pass_their_tests(tmp_path: Path) -> None:
    package, site = tmp_path / "package", tmp_path / "site"
    package.mkdir()
    for name, text in FILES.items():
        (package / name).write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def python(*words: str | Path) -> str:
        command = [sys.executable, *words]
        done = subprocess.run(
            command, cwd=package, env=environment, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    python("-m", "pip", "install", *options, "--target", site, package)
    assert [path.name for path in site.glob("*.py")] == ["kling_sqlite.py"]
    # What is not installed is imported from the folder.
    tests = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "test_plugins.py")
    [passed] = re.findall(r"(\d+) passed", tests)
    assert int(passed) > 25
    listed = python("-W", "error", "host.py").splitlines()
    assert "sqlite kling-sqlite 0.1.0 loaded  ('kling_storage',)" in listed
    assert "EventRecorder None loaded  ('kling_event',)" in listed


class Spy:
    """A plugin with every hook that records the order of calls; repeated calls in a row are recorded once."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def record(self, call_name: str) -> None:
        if self.calls[-1:] != [call_name]:
            self.calls.append(call_name)

    @hookimpl
    def kling_register_adapters(self) -> None:
        self.record("kling_register_adapters")

    @hookimpl
    def kling_storage(self) -> Any:
        self.record("kling_storage")
        return self

    @hookimpl
    def kling_auth(self) -> Any:
        self.record("kling_auth")
        return self

    @hookimpl
    def kling_event(self, event: events.Event) -> None:
        self.record(f"kling_event {type(event).__name__}")

    @hookimpl
    def kling_close(self) -> None:
        self.record("kling_close")

    def check(self) -> None:
        self.record("Storage.check")

    def api_key(self) -> str:
        self.record("Auth.api_key")
        return "SG_0123456789abcdef"

    def open(self, name: str, content_type: str) -> SpyWriter:
        self.record("Storage.open")
        return SpyWriter(self)


class SpyWriter:
    def __init__(self, spy: Spy) -> None:
        self.spy = spy

    def write(self, chunk: bytes) -> None:
        self.spy.record("Writer.write")

    def commit(self, sha256: str) -> Location:
        self.spy.record("Writer.commit")
        return Location("spy:")

    def abort(self) -> None:
        self.spy.record("Writer.abort")


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with FakeGateway() as running:
        yield running


def test_hooks_are_called_in_documented_order(gateway: FakeGateway) -> None:
    spy = Spy()
    with Kling(base_url=gateway.base_url, plugins=[spy], clock=SimulatedClock()) as kling:
        kling.run("kling-2", prompt="x", save_to="spy:")
    [documented] = re.findall(r"## The life of one job\n.*?```text\n(.*?)```", PAGE, re.DOTALL)
    assert spy.calls == documented.splitlines()


def test_plugins_are_called_in_documented_order(gateway: FakeGateway) -> None:
    calls: list[str] = []

    def plugin(name: str, *, tryfirst: bool = False, trylast: bool = False) -> object:
        class Plugin:
            @hookimpl(tryfirst=tryfirst, trylast=trylast)
            def kling_event(self) -> None:
                calls.append(name)

        return Plugin()

    plugins = [plugin("late", trylast=True), plugin("one"), plugin("early", tryfirst=True), plugin("two")]
    with Kling(base_url=gateway.base_url, api_key=gateway.api_key, plugins=plugins) as kling:
        kling.submit("kling-2", prompt="x")
    assert calls == ["early", "two", "one", "late"]
