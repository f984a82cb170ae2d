"""docs/segmind.md has every name of the official client."""

from __future__ import annotations

import re
from pathlib import Path

import segmind as official

from kling_adapters.compat import segmind

PAGE = (Path(__file__).parents[2] / "docs" / "segmind.md").read_text("utf-8")


def test_every_name_of_the_official_client_is_on_the_page() -> None:
    constants = {"DEFAULT_POLL_INTERVAL_S", "DEFAULT_POLL_TIMEOUT_S"}
    members = {name for name in dir(official.SegmindClient) if not name.startswith("_")}
    names = set(official.__all__) | set(segmind.__all__) | members
    assert names - constants <= set(re.findall(r"\b\w+\b", PAGE))
