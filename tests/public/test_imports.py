"""Imports: public names are imported when they are first used, and a program imports what it uses."""

from __future__ import annotations

import ast
import copy
import os
import pickle
import subprocess
import sys
import types
from importlib import import_module
from pathlib import Path

import pytest
from kling_sandbox import Sandbox

import kling_adapters

STUB = Path(kling_adapters.__file__).with_suffix(".pyi")
SLOW = (
    "pydantic",
    "httpx",
    "httpx2",
    "httpcore",
    "httpcore2",
    "pluggy",
    "anyio",
    "asyncio",
    "importlib.metadata",
    "rich",
)
"""Packages that `import kling_adapters` and a client do not need."""

LIST_SLOW = f"import sys; print([name for name in {SLOW!r} if name in sys.modules])"


def run(code: str, **variables: str) -> str:
    environment = {**os.environ, **variables}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        check=False, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def read_stub() -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Return the module and the name there of each name of the stub, and its `__all__`."""
    places: dict[str, tuple[str, str]] = {}
    listed: list[str] = []
    for statement in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.ImportFrom):
            assert statement.module
            places |= {name.asname or name.name: (statement.module, name.name) for name in statement.names}
        elif isinstance(statement, ast.Assign):
            listed = ast.literal_eval(statement.value)
    return places, listed


def test_stub_has_the_public_names() -> None:
    places, listed = read_stub()
    assert sorted(listed) == kling_adapters.__all__ == sorted(places)


def test_stub_says_where_each_name_is() -> None:
    places, _ = read_stub()
    for name, (module, original) in places.items():
        if name == "events":
            assert kling_adapters.events is import_module("kling_adapters.events")
        else:
            assert getattr(kling_adapters, name) is getattr(import_module(module), original), name


def test_star_import_has_every_public_name() -> None:
    namespace: dict[str, object] = {}
    exec("from kling_adapters import *", namespace)
    assert sorted(namespace.keys() - {"__builtins__"}) == kling_adapters.__all__


def test_public_submodules_are_attributes() -> None:
    code = "import kling_adapters as k; print(k.events.Stored.__name__, k.models.Kling2.__name__, k.hookspecs.PROJECT)"
    assert run(code) == "Stored Kling2 kling_adapters"


def test_unknown_name_is_the_error_of_python() -> None:
    with pytest.raises(AttributeError) as expected:
        _ = types.ModuleType("kling_adapters").Klong
    with pytest.raises(AttributeError) as raised:
        _ = kling_adapters.Klong  # type: ignore[attr-defined]
    assert str(raised.value) == str(expected.value)
    assert (raised.value.name, raised.value.obj) == ("Klong", kling_adapters)
    assert not hasattr(kling_adapters, "Klong")


def test_lazy_classes_can_be_pickled_and_copied() -> None:
    for name in ("Kling", "Params", "JobFailed", "CatalogEntry"):
        kind = getattr(kling_adapters, name)
        assert pickle.loads(pickle.dumps(kind)) is copy.copy(kind) is kind


def test_package_imports_no_other_module() -> None:
    code = "import sys, kling_adapters; print([m for m in sys.modules if m.startswith('kling_')])"
    assert run(f"{code}; {LIST_SLOW}").splitlines() == ["['kling_adapters._version', 'kling_adapters']", "[]"]


@pytest.mark.parametrize(("client", "needed"), [("Kling", []), ("AsyncKling", ["anyio"])])
def test_client_imports_neither_pydantic_nor_httpx(client: str, needed: list[str]) -> None:
    # A proxy is checked with httpx.
    unset = (
        "import os; [os.environ.pop(name) for name in list(os.environ) if name.lower().endswith('_proxy')]"
    )
    code = f"{unset}; from kling_adapters import {client}; {client}(api_key='SG_0123456789', journal=None); {LIST_SLOW}"
    assert run(code) == str(needed)


def test_names_can_be_first_used_by_many_threads() -> None:
    code = """
import sys, threading
sys.setswitchinterval(1e-6)
import kling_adapters
names = [*kling_adapters.__all__, *kling_adapters.__all__]
start, used = threading.Barrier(len(names)), []
def use(name):
    start.wait()
    used.append((name, getattr(kling_adapters, name)))
threads = [threading.Thread(target=use, args=(name,)) for name in names]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(used) == len(names), all(value is getattr(kling_adapters, name) for name, value in used))
"""
    assert run(code) == "True True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_forked_child_imports_what_its_parent_has_not() -> None:
    code = """
import os, kling_adapters
child = os.fork()
if not child:
    kling_adapters.Kling(api_key="SG_0123456789", journal=None).close()
    os._exit(kling_adapters.models.Kling2.adapter.slug != "kling-2")
print(os.waitpid(child, 0)[1])
"""
    assert run(code) == "0"


LATE_IMPORTS = """
import builtins, sys, types
import_at_once = builtins.__import__
listed, late = set(), set()
def import_late(name, globals=None, locals=None, fromlist=(), level=0):
    # Only for modules of this package: pydantic and others have lists of their own.
    if globals and globals["__name__"].startswith("kling_adapters."):
        listed.update(globals.get("__lazy_modules__", ()))
        if name in globals.get("__lazy_modules__", ()):
            late.add(name)
            return types.SimpleNamespace(**dict.fromkeys(fromlist))
    return import_at_once(name, globals, locals, fromlist, level)
builtins.__import__ = import_late
from kling_adapters import AsyncKling, Kling
for client in (AsyncKling, Kling):
    client(api_key="SG_0123456789", journal=None)
print(sorted(listed - late), sorted(late & sys.modules.keys()))
"""


def test_client_can_be_made_before_late_imports() -> None:
    # As Python 3.15 would: no name of a listed module is used before the first call.
    assert run(LATE_IMPORTS) == "[] []"


PRELOADED_RUN = """
import sys
from kling_adapters import AsyncKling, Kling, preload
{preload}
def list_modules():
    packages = ("kling_adapters", "pydantic", "pydantic_core", "httpx", "httpx2", "httpcore", "httpcore2", "anyio")
    return {{name for name in sys.modules if name.split(".")[0] in packages}}
import asyncio
before = list_modules()
with Kling(base_url={url!r}, api_key={key!r}) as kling:
    kling.run("kling-2", prompt="x", save_to={folder!r})
async def main():
    async with AsyncKling(base_url={url!r}, api_key={key!r}) as kling:
        await kling.run("kling-2", prompt="x", save_to={folder!r})
asyncio.run(main())
print(sorted(list_modules() - before))
"""


@pytest.mark.parametrize("call", ["preload()", "preload('kling-2')"])
def test_first_run_after_preload_imports_nothing(tmp_path: Path, call: str) -> None:
    with Sandbox(timing="latency:0.001") as sandbox:
        code = PRELOADED_RUN.format(
            preload=call, url=sandbox.base_url, key=sandbox.api_key, folder=str(tmp_path)
        )
        # The built-in plugins only: that of OpenTelemetry imports more, where it is installed.
        variables = {"KLING_JOURNAL": str(tmp_path / "journal.db"), "KLING_PLUGINS": "models"}
        assert run(code, **variables) == "[]"


def test_preload_refuses_an_unknown_slug() -> None:
    with pytest.raises(kling_adapters.UnknownModel, match="kling-99"):
        kling_adapters.preload("kling-2", "kling-99")
