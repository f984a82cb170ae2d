"""Entries of the journal that changed since a time, and where a client reads them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from kling_sandbox import Sandbox

import kling_adapters as ka
from tests.support.clients import OpenClient


def test_only_entries_changed_since_a_time_are_listed(
    open_client: OpenClient, sandbox: Sandbox, tmp_path: Path
) -> None:
    kling = open_client(sandbox, journal=tmp_path / "journal", history=False)
    first = kling.submit("kling-2", prompt="first")
    kling.submit("kling-2", prompt="second")
    [_, second] = kling.entries()
    assert [entry.id for entry in kling.entries(changed_since=second.updated)] == [second.id]
    assert kling.entries(changed_since=time.time() + 1) == []
    first.wait()
    changed = kling.entries(changed_since=second.updated)
    assert [entry.params["prompt"] for entry in changed] == ["first", "second"]


@pytest.mark.parametrize("value", [-1, "now", float("nan"), None])
def test_invalid_time_of_change_is_refused(open_client: OpenClient, tmp_path: Path, value: object) -> None:
    kling = open_client("http://127.0.0.1:9", journal=tmp_path / "journal")
    with pytest.raises(ka.ConfigError, match="changed_since"):
        kling.entries(changed_since=value)


def test_client_names_its_gateway_and_journal(tmp_path: Path) -> None:
    with ka.Kling(base_url="http://127.0.0.1:9", api_key="SG_none", journal=tmp_path / "journal") as kling:
        assert (kling.base_url, kling.journal_path) == ("http://127.0.0.1:9", tmp_path / "journal")
    with ka.Kling(base_url="http://127.0.0.1:9", api_key="SG_none", journal=None) as kling:
        assert kling.journal_path is None
