"""kling-keyring: API keys in a secure keychain, used only if selected."""

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
from kling_sandbox import Sandbox

from kling_adapters import AsyncKling, ConfigError, Kling, fingerprint_key
from kling_adapters.cli import app

KEY = "SG_aaaaaaaaaaaaaaaa"
SECOND_KEY = "SG_bbbbbbbbbbbbbbbb"
ELSEWHERE = "https://gateway.example"
SEGMIND = "https://api.segmind.com"
README = Path(__file__).parents[2] / "plugins/keyring/README.md"


class Memory(KeyringBackend):
    """In-memory keychain; every method raises `failure` if it is set."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.passwords: dict[tuple[str, str], str] = {}
        self.reads = 0
        self.failure: Exception | None = None

    def get_password(self, service: str, username: str) -> str | None:
        self.reads += 1
        if self.failure:
            raise self.failure
        return self.passwords.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.failure:
            raise self.failure
        self.passwords[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.failure:
            raise self.failure
        del self.passwords[service, username]


class DroppingBackend(Memory):
    def set_password(self, service: str, username: str, password: str) -> None:
        pass


class LowPriorityBackend(Memory):
    priority = 0.6  # type: ignore[assignment]


class PlaintextCustom(Memory):
    pass


class Chain(chainer.ChainerBackend):
    """A chain of chosen backends instead of the installed ones."""

    backends: Any = ()


def chain(*backends: KeyringBackend) -> Chain:
    backend = Chain()  # type: ignore[no-untyped-call]
    backend.backends = backends
    return backend


Use = Callable[[KeyringBackend], Any]


@pytest.fixture(autouse=True)
def use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Use:
    """Set the backend of keyring for a test; hide the keys and keychains of this machine."""
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


def auth(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, ["auth", *arguments], input=stdin)


def credits_of(kind: type[Kling | AsyncKling], **options: Any) -> Any:
    """Return the credits of the account through a sync or async client."""
    client = kind(**options)
    if isinstance(client, Kling):
        with client:
            return client.credits()

    async def fetch_credits(client: AsyncKling) -> Any:
        async with client:
            return await client.credits()

    return anyio.run(fetch_credits, client)


def test_set_status_and_forget_manage_key(memory: Memory) -> None:
    empty = auth("status")
    assert (empty.exit_code, "none stored" in empty.output) == (2, True)
    stored = auth("set", stdin=f"  {KEY}\nthe next line\n")
    assert stored.exit_code == 0, stored.output
    assert memory.passwords == {("kling-adapters", SEGMIND): KEY}
    status = auth("status")
    assert status.exit_code == 0
    for text in (SEGMIND, "test_keyring.Memory", f"stored, fingerprint {fingerprint_key(KEY)}"):
        assert text in status.output
    forgotten = auth("forget")
    assert (forgotten.exit_code, memory.passwords) == (0, {})
    assert "deleted the key" in forgotten.output
    again = auth("forget")
    assert (again.exit_code, "no key was stored" in again.output) == (0, True)
    for result in (empty, stored, status, forgotten, again):
        assert KEY not in result.output


def test_gateways_have_separate_keys(memory: Memory) -> None:
    auth("set", stdin=KEY)
    auth("set", "--base-url", f"{ELSEWHERE}/v1/", stdin=SECOND_KEY)
    assert memory.passwords == {("kling-adapters", SEGMIND): KEY, ("kling-adapters", ELSEWHERE): SECOND_KEY}
    assert fingerprint_key(SECOND_KEY) in auth("status", "--base-url", ELSEWHERE).output
    auth("forget", "--base-url", ELSEWHERE)
    assert list(memory.passwords.values()) == [KEY]


@pytest.mark.parametrize("stdin", ["", "\n", f" \n{KEY}\n"])
def test_empty_key_is_not_stored(memory: Memory, stdin: str) -> None:
    result = auth("set", stdin=stdin)
    assert isinstance(result.exception, ConfigError)
    assert "nothing was stored" in str(result.exception)
    assert memory.passwords == {}


def test_key_argument_is_rejected(memory: Memory) -> None:
    assert auth("set", KEY).exit_code == 2
    assert memory.passwords == {}


@pytest.mark.parametrize("kind", [Kling, AsyncKling])
def test_selected_keychain_provides_stored_key(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, kind: type[Kling | AsyncKling]
) -> None:
    with Sandbox(api_keys=[KEY, SECOND_KEY]) as sandbox:
        memory.passwords["kling-adapters", sandbox.base_url] = KEY
        credits_of(kind, base_url=sandbox.base_url, auth="keyring")
        assert sandbox.has_received_key(KEY)
        memory.passwords["kling-adapters", sandbox.base_url] = SECOND_KEY
        assert not sandbox.has_received_key(SECOND_KEY)
        monkeypatch.setenv("KLING_AUTH", "keyring")
        credits_of(kind, base_url=f"{sandbox.base_url}/v1")
        assert sandbox.has_received_key(SECOND_KEY)


@pytest.mark.parametrize("kind", [Kling, AsyncKling])
def test_unselected_keychain_is_not_read(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, kind: type[Kling | AsyncKling]
) -> None:
    with Sandbox(api_keys=[KEY, SECOND_KEY]) as sandbox:
        memory.passwords["kling-adapters", sandbox.base_url] = KEY
        monkeypatch.setenv("SEGMIND_API_KEY", SECOND_KEY)
        credits_of(kind, base_url=sandbox.base_url)
        assert not sandbox.has_received_key(KEY)
        monkeypatch.delenv("SEGMIND_API_KEY")
        with pytest.raises(ConfigError, match="SEGMIND_API_KEY"):
            credits_of(kind, base_url=sandbox.base_url)
    assert memory.reads == 0


def test_keychain_is_read_once_per_client(memory: Memory) -> None:
    with Sandbox(api_keys=[KEY]) as sandbox, Kling(base_url=sandbox.base_url, auth="keyring") as kling:
        memory.passwords["kling-adapters", sandbox.base_url] = KEY
        kling.run("kling-o1", prompt="a @Image1", image_urls=["https://example.com/a.png"])
    assert memory.reads == 1


@pytest.mark.parametrize("kind", [Kling, AsyncKling])
def test_missing_key_error_names_set_command(memory: Memory, kind: type[Kling | AsyncKling]) -> None:
    memory.passwords["kling-adapters", SEGMIND] = KEY
    with Sandbox() as sandbox:
        with pytest.raises(ConfigError, match=f"kling auth set --base-url {sandbox.base_url}") as caught:
            credits_of(kind, base_url=sandbox.base_url, auth="keyring")
        assert sandbox.requests == ()
    assert "Nothing was sent" in str(caught.value)
    memory.passwords["kling-adapters", sandbox.base_url] = ""
    with pytest.raises(ConfigError, match="no API key is stored"):
        credits_of(kind, base_url=sandbox.base_url, auth="keyring")


INSECURE = [
    (PlaintextKeyring, "keyrings.alt.file.PlaintextKeyring keeps keys in plain text"),
    (PlaintextCustom, "PlaintextCustom keeps keys in plain text"),
    (fail.Keyring, "keyring.backends.fail.Keyring keeps nothing"),
    (null.Keyring, "keyring.backends.null.Keyring keeps nothing"),
    (LowPriorityBackend, "LowPriorityBackend is a backend that keyring does not recommend"),
    (lambda: chain(PlaintextKeyring()), "keyrings.alt.file.PlaintextKeyring keeps keys in plain text"),
    (
        lambda: chain(null.Keyring(), PlaintextKeyring()),  # type: ignore[no-untyped-call]
        "null.Keyring keeps nothing; keyrings.alt",
    ),
    (chain, "Chain is empty"),
]


@pytest.mark.parametrize(("backend", "message"), INSECURE)
def test_insecure_keychain_is_rejected_by_name(
    use: Use, tmp_path: Path, backend: Callable[[], KeyringBackend], message: str
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
        assert message in str(error)
        assert "PYTHON_KEYRING_BACKEND" in str(error)
        assert KEY not in str(error)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_plain_text_key_is_not_read(use: Use) -> None:
    PlaintextKeyring().set_password("kling-adapters", SEGMIND, KEY)
    use(PlaintextKeyring())
    with pytest.raises(ConfigError, match="in plain text") as caught:
        credits_of(Kling, auth="keyring")
    assert KEY not in str(caught.value)


def test_chain_uses_only_its_first_secure_backend(use: Use, tmp_path: Path) -> None:
    first, second = Memory(), Memory()
    use(chain(PlaintextKeyring(), first, second))
    assert auth("set", stdin=KEY).exit_code == 0
    assert list(first.passwords.values()) == [KEY]
    assert second.passwords == {}
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    first.passwords.clear()
    PlaintextKeyring().set_password("kling-adapters", SEGMIND, SECOND_KEY)
    assert auth("status").exit_code == 2


@pytest.mark.parametrize(
    "failure",
    [KeyringLocked("dismissed"), InitError("no bus"), PasswordSetError(KEY), OSError(5, f"x {KEY} y")],
)
def test_keychain_failure_error_hides_key(
    memory: Memory, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    memory.failure = failure
    result = auth("set", stdin=KEY)
    assert isinstance(result.exception, ConfigError)
    assert type(failure).__name__ in str(result.exception)
    assert "test_keyring.Memory" in str(result.exception)
    assert KEY not in f"{result.exception} {result.output} {caplog.text}"
    assert result.exception.__suppress_context__
    memory.failure = KeyringLocked("dismissed")
    with pytest.raises(ConfigError, match="KeyringLocked: dismissed"):
        credits_of(Kling, auth="keyring")


def test_keychain_that_drops_key_is_error(use: Use) -> None:
    use(DroppingBackend())
    result = auth("set", stdin=KEY)
    assert isinstance(result.exception, ConfigError)
    assert "did not keep the key" in str(result.exception)


def test_repr_hides_key(memory: Memory) -> None:
    with Sandbox(api_keys=[KEY]) as sandbox, Kling(base_url=sandbox.base_url, auth="keyring") as kling:
        memory.passwords["kling-adapters", sandbox.base_url] = KEY
        kling.credits()
        assert KEY not in f"{kling!r} {kling.plugins!r} {kling._session.auth!r}"


# In a subprocess, with backends that keyring selects itself.

VAULT = """
import json, os, pathlib
from keyring.backend import KeyringBackend

class Vault(KeyringBackend):
    '''A keychain outside of the process.'''
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
    variables = {
        "PYTHON_KEYRING_BACKEND": "vault.Vault",
        "VAULT": str(tmp_path / "kept"),
        "PYTHONPATH": str(tmp_path),
    }
    return {**os.environ, "PYTHONWARNINGS": "error", "DBUS_SESSION_BUS_ADDRESS": "disabled:", **variables}


def kling(*arguments: str, stdin: str = "", environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from kling_adapters.cli import main; main()", *arguments],
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_key_stored_by_process_serves_another_process(environment: dict[str, str]) -> None:
    with Sandbox(api_keys=[KEY]) as sandbox:
        gateway = ("--base-url", sandbox.base_url)
        stored = kling("auth", "set", *gateway, stdin=f"{KEY}\n", environment=environment)
        assert stored.returncode == 0, stored.stderr
        assert "export KLING_AUTH=keyring" in stored.stderr
        without = kling("run", "kling-2", "prompt=x", *gateway, environment=environment)
        assert without.returncode == 2, "the plugin is not selected"
        chosen = {**environment, "KLING_AUTH": "keyring"}
        done = kling("run", "kling-2", "prompt=x", *gateway, environment=chosen)
        assert done.returncode == 0, done.stderr
        assert KEY not in stored.stdout + stored.stderr + done.stdout + done.stderr


def test_terminal_prompt_hides_key(environment: dict[str, str], tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    terminal, process_side = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-c", "from kling_adapters.cli import main; main()", "auth", "set"],
            env=environment,
            stdin=process_side,
            stdout=process_side,
            stderr=process_side,
            start_new_session=True,
        ) as process:
            output = b""
            while b"API key" not in output:
                output += os.read(terminal, 1000)
            os.write(terminal, f"{KEY}\n".encode())
            assert process.wait(60) == 0
            while b"fingerprint" not in output or b"KLING_AUTH" not in output:
                output += os.read(terminal, 1000)
    finally:
        os.close(terminal)
        os.close(process_side)
    assert KEY.encode() not in output
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
            marks=pytest.mark.skipif(
                sys.platform != "linux", reason="other platforms always have a keychain"
            ),
        ),
    ],
)
def test_insecure_default_backend_is_rejected(
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


def test_keyring_import_is_lazy(environment: dict[str, str]) -> None:
    code = (
        "import sys; from kling_adapters import Kling; "
        "assert any(p.name == 'keyring' for p in Kling().plugins); "
        "from kling_adapters.cli import app; app(['--help'], standalone_mode=False); "
        "assert 'keyring' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "\n  auth " in done.stdout


def test_readme_example_runs(memory: Memory, capsys: pytest.CaptureFixture[str]) -> None:
    [code] = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    with Sandbox(api_keys=[KEY]) as sandbox:
        memory.passwords["kling-adapters", sandbox.base_url] = KEY
        exec(code.replace("auth=", f"base_url={sandbox.base_url!r}, auth="), {})
    assert "1000" in capsys.readouterr().out
