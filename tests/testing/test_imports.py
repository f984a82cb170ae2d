"""The runtime never imports the testing package, which does not need pytest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

UNITTEST = """
import sys
sys.modules["pytest"] = None

import tempfile
import unittest
from pathlib import Path
from kling_adapters.testing import NotifierConformance, StorageConformance


class TestFolder(StorageConformance, unittest.TestCase):
    plugin = "file_storage"

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.url = self.folder.as_uri()

    def names(self):
        return [path.name for path in self.folder.iterdir()]

    def read(self, name):
        return (self.folder / name).read_bytes()


class TestLog(NotifierConformance, unittest.TestCase):
    plugin = "log_notifier"
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)


def test_runtime_does_not_import_testing(tmp_path: Path) -> None:
    code = (
        "import sys, kling_adapters, kling_adapters.cli; kling_adapters.Kling(strict_plugins=True).close(); "
        "sys.exit(any(name.startswith('kling_adapters.testing') for name in sys.modules))"
    )
    assert run(tmp_path, "-c", code).returncode == 0


def test_suites_run_with_unittest(tmp_path: Path) -> None:
    (tmp_path / "test_plugin.py").write_text(UNITTEST)
    done = run(tmp_path, "-m", "unittest", "test_plugin")
    assert done.returncode == 0, done.stderr
    assert "Ran 22 tests" in done.stderr
