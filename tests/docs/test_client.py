"""Every call of the client is on docs/client.md."""

from __future__ import annotations

import re

from kling_adapters import Kling
from tests.docs.blocks import ROOT


def test_every_call_is_on_the_page() -> None:
    calls = {name for name in vars(Kling) if not name.startswith("_")} | {
        "submit",
        "run",
        "run_direct",
        "run_sync",
    }
    page = (ROOT / "docs" / "client.md").read_text("utf-8")
    assert calls - {"close", "job", "credits"} <= set(re.findall(r"\b\w+\b", page))
