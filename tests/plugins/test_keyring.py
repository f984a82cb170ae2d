"""kling-keyring: the key in a keychain that is fit for it, when it is chosen, and in nothing else."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import keyring
import keyring.core
import pytest
from click.testing import CliRunner, Result
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null
from keyring.errors import InitError, KeyringLocked, PasswordSetError
from keyrings.alt.file import PlaintextKeyring
from kling_keyring.keychain import fingerprint
from kling_sandbox import Sandbox

from kling_adapters import AsyncKling, ConfigError, Kling
from kling_adapters.cli import app

KEY = "SG_aaaaaaaaaaaaaaaa"
OTHER = "SG_bbbbbbbbbbbbbbbb"
ELSEWHERE = "https://gateway.example"
SEGMIND = "https://api.segmind.com"
README = Path(__file__).parents[2] / "plugins/keyring/README.md"


class Memory(KeyringBackend):
    """A keychain that lives as long as a test; `fails` is raised by whatever is asked of it."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}
        self.reads = 0
        self.fails: Exception | None = None

    def get_password(self, service: str, username: str) -> str | None:
        self.reads += 1
        if self.fails:
            raise self.fails
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.fails:
            raise self.fails
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.fails:
            raise self.fails
        del self.kept[service, username]


class Forgetful(Memory):
    def set_password(self, service: str, username: str, password: str) -> None:
        pass


class Doubtful(Memory):
    priority = 0.6  # type: ignore[assignment]


class PlaintextOfAnotherHouse(Memory):
    pass


class Chain(chainer.ChainerBackend):
    """A chain of given backends instead of those that are installed."""

    backends: Any = ()


def chain(*backends: KeyringBackend) -> Chain:
    made = Chain()  # type: ignore[no-untyped-call]
    made.backends = backends
    return made


Use = Callable[[KeyringBackend], Any]


@pytest.fixture(autouse=True)
def use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Use:
    """Make keyring use a backend for this test; no key, and no keychain, of this machine is used."""
    for name in ("SEGMIND_API_KEY", "SEGMIND_API_KEYS", "SEGMIND_API_KEYS_FILE", "KLING_AUTH"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(keyring.core, "_keyring_backend", fail.Keyring())  # type: ignore[no-untyped-call]
    return keyring.set_keyring


@pytest.fixture
def memory(use: Use) -> Memory:
    backend = Memory()
    use(backend)
    return backend


def auth(*words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, ["auth", *words], input=stdin)


def credits_of(kind: type[Kling | AsyncKling], **options: Any) -> Any:
    """Ask for credits with a client of the one kind or the other."""
    client = kind(**options)
    if isinstance(client, Kling):
        with client:
            return client.credits()

    async def ask(client: AsyncKling) -> Any:
        async with client:
            return await client.credits()

    return anyio.run(ask, client)


def test_set_status_and_forget(memory: Memory) -> None:
    none = auth("status")
    assert (none.exit_code, "none stored" in none.output) == (2, True)
    stored = auth("set", stdin=f"  {KEY}\nthe next line\n")
    assert stored.exit_code == 0, stored.output
    assert memory.kept == {("kling-adapters", SEGMIND): KEY}
    status = auth("status")
    assert status.exit_code == 0
    for text in (SEGMIND, "test_keyring.Memory", f"stored, fingerprint {fingerprint(KEY)}"):
        assert text in status.output
    forgotten = auth("forget")
    assert (forgotten.exit_code, memory.kept) == (0, {})
    assert "deleted the key" in forgotten.output
    again = auth("forget")
    assert (again.exit_code, "no key was stored" in again.output) == (0, True)
    for result in (none, stored, status, forgotten, again):
        assert KEY not in result.output


def test_each_gateway_has_its_own_key(memory: Memory) -> None:
    auth("set", stdin=KEY)
    auth("set", "--base-url", f"{ELSEWHERE}/v1/", stdin=OTHER)
    assert memory.kept == {("kling-adapters", SEGMIND): KEY, ("kling-adapters", ELSEWHERE): OTHER}
    assert fingerprint(OTHER) in auth("status", "--base-url", ELSEWHERE).output
    auth("forget", "--base-url", ELSEWHERE)
    assert list(memory.kept.values()) == [KEY]


@pytest.mark.parametrize("stdin", ["", "\n", f" \n{KEY}\n"])
def test_no_key_is_stored_if_none_is_given(memory: Memory, stdin: str) -> None:
    result = auth("set", stdin=stdin)
    assert isinstance(result.exception, ConfigError)
    assert "nothing was stored" in str(result.exception)
    assert memory.kept == {}


def test_the_key_is_not_an_argument(memory: Memory) -> None:
    assert auth("set", KEY).exit_code == 2
    assert memory.kept == {}


@pytest.mark.parametrize("kind", [Kling, AsyncKling])
def test_the_stored_key_is_used_where_it_is_chosen(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, kind: type[Kling | AsyncKling]
) -> None:
    with Sandbox(api_keys=[KEY, OTHER]) as sandbox:
        memory.kept["kling-adapters", sandbox.base_url] = KEY
        credits_of(kind, base_url=sandbox.base_url, auth="keyring")
        assert sandbox.has_received_key(KEY)
        memory.kept["kling-adapters", sandbox.base_url] = OTHER
        assert not sandbox.has_received_key(OTHER)
        monkeypatch.setenv("KLING_AUTH", "keyring")
        credits_of(kind, base_url=f"{sandbox.base_url}/v1")
        assert sandbox.has_received_key(OTHER)


@pytest.mark.parametrize("kind", [Kling, AsyncKling])
def test_it_is_not_asked_where_it_is_not_chosen(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, kind: type[Kling | AsyncKling]
) -> None:
    with Sandbox(api_keys=[KEY, OTHER]) as sandbox:
        memory.kept["kling-adapters", sandbox.base_url] = KEY
        monkeypatch.setenv("SEGMIND_API_KEY", OTHER)
        credits_of(kind, base_url=sandbox.base_url)
        assert not sandbox.has_received_key(KEY)
        monkeypatch.delenv("SEGMIND_API_KEY")
        with pytest.raises(ConfigError, match="SEGMIND_API_KEY"):
            credits_of(kind, base_url=sandbox.base_url)
    assert memory.reads == 0


def test_the_keychain_is_read_once_a_client(memory: Memory) -> None:
    with Sandbox(api_keys=[KEY]) as sandbox, Kling(base_url=sandbox.base_url, auth="keyring") as kling:
        memory.kept["kling-adapters", sandbox.base_url] = KEY
        kling.run("kling-o1", prompt="a @Image1", image_urls=["https://example.com/a.png"])
    assert memory.reads == 1


@pytest.mark.parametrize("kind", [Kling, AsyncKling])
def test_a_gateway_without_a_key_is_an_error_that_says_what_to_do(
    memory: Memory, kind: type[Kling | AsyncKling]
) -> None:
    memory.kept["kling-adapters", SEGMIND] = KEY
    with Sandbox() as sandbox:
        with pytest.raises(ConfigError, match=f"kling auth set --base-url {sandbox.base_url}") as caught:
            credits_of(kind, base_url=sandbox.base_url, auth="keyring")
        assert sandbox.requests == ()
    assert "Nothing was sent" in str(caught.value)
    memory.kept["kling-adapters", sandbox.base_url] = ""
    with pytest.raises(ConfigError, match="no API key is stored"):
        credits_of(kind, base_url=sandbox.base_url, auth="keyring")


UNFIT = [
    (PlaintextKeyring, "keyrings.alt.file.PlaintextKeyring keeps keys in plain text"),
    (PlaintextOfAnotherHouse, "PlaintextOfAnotherHouse keeps keys in plain text"),
    (fail.Keyring, "keyring.backends.fail.Keyring keeps nothing"),
    (null.Keyring, "keyring.backends.null.Keyring keeps nothing"),
    (Doubtful, "Doubtful is one that keyring does not recommend"),
    (lambda: chain(PlaintextKeyring()), "keyrings.alt.file.PlaintextKeyring keeps keys in plain text"),
    (lambda: chain(null.Keyring(), PlaintextKeyring()), "null.Keyring keeps nothing; keyrings.alt"),  # type: ignore[no-untyped-call]
    (chain, "Chain is empty"),
]


@pytest.mark.parametrize(("backend", "found"), UNFIT)
def test_an_unfit_keychain_is_refused_by_name_and_holds_nothing(
    use: Use, tmp_path: Path, backend: Callable[[], KeyringBackend], found: str
) -> None:
    use(backend())
    errors: list[BaseException | None] = [
        auth("set", stdin=KEY).exception,
        auth("status").exception,
        auth("forget").exception,
    ]
    for kind in (Kling, AsyncKling):
        with pytest.raises(ConfigError) as caught:
            credits_of(kind, auth="keyring")
        errors.append(caught.value)
    for error in errors:
        assert isinstance(error, ConfigError)
        assert found in str(error)
        assert "PYTHON_KEYRING_BACKEND" in str(error)
        assert KEY not in str(error)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_key_that_lies_in_plain_text_is_not_read(use: Use) -> None:
    PlaintextKeyring().set_password("kling-adapters", SEGMIND, KEY)
    use(PlaintextKeyring())
    with pytest.raises(ConfigError, match="in plain text") as caught:
        credits_of(Kling, auth="keyring")
    assert KEY not in str(caught.value)


def test_of_a_chain_the_first_that_is_fit_is_used_and_no_other(use: Use, tmp_path: Path) -> None:
    first, second = Memory(), Memory()
    use(chain(PlaintextKeyring(), first, second))
    assert auth("set", stdin=KEY).exit_code == 0
    assert list(first.kept.values()) == [KEY]
    assert second.kept == {}
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    first.kept.clear()
    PlaintextKeyring().set_password("kling-adapters", SEGMIND, OTHER)
    assert auth("status").exit_code == 2


@pytest.mark.parametrize(
    "failure",
    [KeyringLocked("dismissed"), InitError("no bus"), PasswordSetError(KEY), OSError(5, f"x {KEY} y")],
)
def test_a_keychain_that_fails_is_an_error_without_the_key(
    memory: Memory, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    memory.fails = failure
    result = auth("set", stdin=KEY)
    assert isinstance(result.exception, ConfigError)
    assert type(failure).__name__ in str(result.exception)
    assert "test_keyring.Memory" in str(result.exception)
    assert KEY not in f"{result.exception} {result.output} {caplog.text}"
    assert result.exception.__suppress_context__
    memory.fails = KeyringLocked("dismissed")
    with pytest.raises(ConfigError, match="KeyringLocked: dismissed"):
        credits_of(Kling, auth="keyring")


def test_a_keychain_that_drops_the_key_is_found_out(use: Use) -> None:
    use(Forgetful())
    result = auth("set", stdin=KEY)
    assert isinstance(result.exception, ConfigError)
    assert "did not keep the key" in str(result.exception)


def test_the_key_is_in_no_repr(memory: Memory) -> None:
    with Sandbox(api_keys=[KEY]) as sandbox, Kling(base_url=sandbox.base_url, auth="keyring") as kling:
        memory.kept["kling-adapters", sandbox.base_url] = KEY
        kling.credits()
        assert KEY not in f"{kling!r} {kling.plugins!r} {kling._auth!r}"


# As a process, with backends that keyring finds by itself.

VAULT = """
import json, os, pathlib
from keyring.backend import KeyringBackend

class Vault(KeyringBackend):
    '''Stands for a keychain outside of the process.'''
    priority = 1
    path = pathlib.Path(os.environ["VAULT"])

    def _all(self):
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def get_password(self, service, username):
        return self._all().get(f"{service} {username}")

    def set_password(self, service, username, password):
        self.path.write_text(json.dumps({**self._all(), f"{service} {username}": password}))
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "vault.py").write_text(VAULT)
    more = {
        "PYTHON_KEYRING_BACKEND": "vault.Vault",
        "VAULT": str(tmp_path / "kept"),
        "PYTHONPATH": str(tmp_path),
    }
    return {**os.environ, "PYTHONWARNINGS": "error", "DBUS_SESSION_BUS_ADDRESS": "disabled:", **more}


def kling(*words: str, stdin: str = "", environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from kling_adapters.cli import main; main()", *words],
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_key_set_by_one_process_serves_another(environment: dict[str, str]) -> None:
    with Sandbox(api_keys=[KEY]) as sandbox:
        place = ("--base-url", sandbox.base_url)
        stored = kling("auth", "set", *place, stdin=f"{KEY}\n", environment=environment)
        assert stored.returncode == 0, stored.stderr
        assert "export KLING_AUTH=keyring" in stored.stderr
        without = kling("run", "kling-2", "prompt=x", *place, environment=environment)
        assert without.returncode == 2, "it is not chosen"
        chosen = {**environment, "KLING_AUTH": "keyring"}
        done = kling("run", "kling-2", "prompt=x", *place, environment=chosen)
        assert done.returncode == 0, done.stderr
        assert KEY not in stored.stdout + stored.stderr + done.stdout + done.stderr


def test_at_a_terminal_the_key_is_asked_for_and_not_shown(
    environment: dict[str, str], tmp_path: Path
) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-c", "from kling_adapters.cli import main; main()", "auth", "set"],
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        ) as process:
            shown = b""
            while b"API key" not in shown:
                shown += os.read(ours, 1000)
            os.write(ours, f"{KEY}\n".encode())
            assert process.wait(60) == 0
            while b"fingerprint" not in shown or b"KLING_AUTH" not in shown:
                shown += os.read(ours, 1000)
    finally:
        os.close(ours)
        os.close(theirs)
    assert KEY.encode() not in shown
    assert json.loads((tmp_path / "kept").read_text()) == {f"kling-adapters {SEGMIND}": KEY}


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ("keyring.backends.chainer.ChainerBackend", "PlaintextKeyring keeps keys in plain text"),
        ("keyrings.alt.file.PlaintextKeyring", "PlaintextKeyring keeps keys in plain text"),
        ("keyring.backends.fail.Keyring", "fail.Keyring keeps nothing"),
        ("no_such.Backend", "ModuleNotFoundError: No module named 'no_such'"),
        pytest.param(
            None,
            "PlaintextKeyring keeps keys in plain text",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a keychain"),
        ),
    ],
)
def test_what_keyring_chooses_by_itself_is_refused_too(
    environment: dict[str, str], backend: str | None, message: str
) -> None:
    environment.pop("PYTHON_KEYRING_BACKEND")
    if backend:
        environment["PYTHON_KEYRING_BACKEND"] = backend
    done = kling("auth", "set", stdin=KEY, environment=environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert KEY not in done.stderr


def test_keyring_is_not_imported_before_it_is_needed(environment: dict[str, str]) -> None:
    code = (
        "import sys; from kling_adapters import Kling; assert any(p.name == 'keyring' for p in Kling().plugins); "
        "from kling_adapters.cli import app; app(['--help'], standalone_mode=False); "
        "assert 'keyring' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "\n  auth " in done.stdout


def test_the_example_of_the_readme_runs(memory: Memory, capsys: pytest.CaptureFixture[str]) -> None:
    [code] = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    with Sandbox(api_keys=[KEY]) as sandbox:
        memory.kept["kling-adapters", sandbox.base_url] = KEY
        exec(code.replace("auth=", f"base_url={sandbox.base_url!r}, auth="), {})
    assert "1000" in capsys.readouterr().out
