"""Locations of parameters, as text and back."""

from __future__ import annotations

from kling_adapters.schema.paths import format_location, parse_location


def test_location_is_formatted_with_indexes_and_empty_names() -> None:
    assert format_location(()) == ""
    assert format_location(("elements", 0, "", "x")) == 'elements[0]."".x'


def test_formatted_location_is_parsed() -> None:
    for location in ((), ("elements", 10, 2, "frontal_image_url")):
        assert parse_location(format_location(location)) == location
