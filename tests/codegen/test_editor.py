"""What an editor with yaml-language-server makes of the generated schema: completion, typos, wrong values."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import kling_adapters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.codegen.conftest import Project

VERSION = "1.25.0"
ROOT = Path(kling_adapters.__file__).parent.parent


@pytest.fixture(scope="session")
def server() -> list[str]:
    """Return the command of a yaml-language-server that is installed once, beside the other tools."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        pytest.skip("npm and node are needed to install and to run yaml-language-server")
    folder = ROOT / ".venv" / f"yaml-language-server-{VERSION}"
    program = folder / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
    if not program.exists():
        scratch = folder.with_name(f"{folder.name}.{os.getpid()}")
        package = f"yaml-language-server@{VERSION}"
        command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(scratch), package]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            shutil.rmtree(scratch, ignore_errors=True)
            pytest.skip(f"npm cannot install {package}: {done.stderr.strip()[-200:]}")
        scratch.rename(folder)
    return [node, str(program), "--stdio"]


class Editor:
    """The few words of the language server protocol that these tests need."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        # A server that hangs must not hang the tests.
        self.watchdog = threading.Timer(60, self.process.kill)
        self.watchdog.start()
        self.number = 0
        self.later: deque[dict[str, Any]] = deque()
        self.ask("initialize", {"processId": None, "rootUri": None, "capabilities": {}})
        self.notify("initialized", {})
        # The default of the server would be to fetch a catalogue of schemas.
        settings = {"yaml": {"schemaStore": {"enable": False}, "validate": True, "completion": True}}
        self.notify("workspace/didChangeConfiguration", {"settings": settings})

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.watchdog.cancel()

    def open(self, path: Path, text: str) -> list[str]:
        """Return what the server says against a text, as line:column: message."""
        document = {"uri": path.as_uri(), "languageId": "yaml", "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})
        while True:
            message = self.read()
            notified = message.get("params", {})
            if (
                message.get("method") == "textDocument/publishDiagnostics"
                and notified["uri"] == path.as_uri()
            ):
                starts = [(entry["range"]["start"], entry["message"]) for entry in notified["diagnostics"]]
                return [f"{at['line'] + 1}:{at['character'] + 1}: {kind}" for at, kind in starts]

    def complete(self, path: Path, line: int, column: int) -> set[str]:
        position = {"line": line - 1, "character": column - 1}
        answer = self.ask(
            "textDocument/completion", {"textDocument": {"uri": path.as_uri()}, "position": position}
        )
        return {item["label"] for item in answer["items"]}

    def ask(self, method: str, params: Any) -> Any:
        self.number += 1
        number = self.number
        self.send({"id": number, "method": method, "params": params})
        while True:
            message = self.read()
            if message.get("id") == number and "method" not in message:
                return message["result"]

    def notify(self, method: str, params: Any) -> None:
        self.send({"method": method, "params": params})

    def send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        length = 0
        while (line := self.process.stdout.readline()) != b"\r\n":
            assert line, "the server has ended"
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        message: dict[str, Any] = json.loads(self.process.stdout.read(length))
        if "id" in message and "method" in message:
            # It asks for settings that it already has, or to register its capabilities.
            items = message.get("params", {}).get("items")
            self.send({"id": message["id"], "result": [None for _ in items] if items else None})
        return message


@pytest.fixture
def editor(server: list[str]) -> Iterator[Editor]:
    editor = Editor(server)
    yield editor
    editor.close()


def test_editor_completes_keys_and_finds_problems(project: Project, editor: Editor) -> None:
    project.spec("demo", "p: {type: string}")
    project.generate()
    shutil.copy(ROOT / "specs" / "kling-2.yaml", project.specs)
    path = project.specs / "kling-2.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=schema/spec.schema.json\n")
    assert editor.open(path, text) == []

    wrong = text.replace("returns: video", "returns: vidio").replace("    minimum: 0", "    minimun: 0")
    number = next(n for n, line in enumerate(wrong.splitlines(), 1) if "minimun" in line)
    typo = project.specs / "typo.yaml"
    assert editor.open(typo, wrong) == [
        '5:10: Value is not accepted. Valid values: "video", "image", "audio", "text".',
        f"{number}:7: Property minimun is not allowed.",
    ]

    begun = project.specs / "begun.yaml"
    editor.open(begun, text + "rules:\n  - \n")
    offered = editor.complete(begun, len(text.splitlines()) + 2, 5)
    assert {"requires", "references", "at_least_one_of", "mutually_exclusive", "max_bytes"} <= offered

    gateway = project.specs / "gateway.yaml"
    shutil.copy(ROOT / "specs" / "gateway.yaml", gateway)
    shared = gateway.read_text(encoding="utf-8")
    assert editor.open(gateway, shared) == []
    lines = editor.open(project.specs / "other.yaml", shared.replace("submit: never", "submit: newer", 1))
    assert [line.split(": ", 1)[1] for line in lines] == [
        'Value is not accepted. Valid values: "safe", "never", "uncertain".'
    ]
