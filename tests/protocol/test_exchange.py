"""Seconds that a request which starts nothing may take."""

from __future__ import annotations

import pytest

from kling_adapters.protocol.exchange import Query
from kling_adapters.protocol.messages import Key, Request


@pytest.mark.parametrize(
    ("remaining", "deadline"), [(1.0, 5.0), (60.0, 60.0), (1000.0, 120.0), (float("inf"), None)]
)
def test_timeout_bounds_a_request_by_five_seconds_to_two_minutes(
    remaining: float, deadline: float | None
) -> None:
    query = Query(Request("GET", "https://api.example.com", None, {}), None, 0.0, cutoff=100.0 + remaining)
    assert query.bounded_request(Key("SG_key"), 100.0).deadline == deadline
