"""Rendering of templates, and what they may call."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader
from starlette.requests import Request
from starlette.responses import HTMLResponse

from kling_serve.forms.fields import show_value
from kling_serve.forms.parse import show_choice
from kling_serve.studio import get_studio

STATIC: Final = Path(__file__).parent / "static"
PAGES: Final = (
    ("models", "/", "Models"),
    ("jobs", "/jobs", "Jobs"),
    ("compare", "/compare", "Compare"),
    ("usage", "/usage", "Usage"),
    ("platform", "/platform", "Platform"),
)
"""The pages of the navigation: name, address and title."""
_STATES: Final = {
    "SUBMITTING": ("Submitting", "running"),
    "QUEUED": ("Queued", "running"),
    "PROCESSING": ("Running", "running"),
    "STORING": ("Storing", "running"),
    "COMPLETED": ("Done", "good"),
    "FAILED": ("Failed", "bad"),
    "REFUSED": ("Refused", "bad"),
    "EXPIRED": ("Expired", "bad"),
    "LOST": ("Sandbox ended", "quiet"),
    "UNCERTAIN": ("Uncertain", "warning"),
}


@cache
def get_environment() -> Environment:
    """Return the environment of the templates, which escape every value."""
    environment = Environment(
        loader=PackageLoader("kling_serve"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "age": format_age,
        "capitalize_first": capitalize_first,
        "choice": show_choice,
        "credits": format_credits,
        "iso": format_iso,
        "pretty": format_json,
        "seconds": format_seconds,
        "size": format_size,
        "value": show_value,
    }
    environment.filters.update(filters)
    names: dict[str, Any] = {"asset": find_asset, "pages": PAGES, "describe_state": describe_state}
    environment.globals.update(names)
    return environment


def render(request: Request, template: str, page: str, /, status: int = 200, **values: Any) -> HTMLResponse:
    """Respond with a page.

    Args:
        request: The request.
        template: The file of the template.
        page: The name of the page in the navigation.
        status: The status code.
        **values: The variables of the template.

    """
    text = (
        get_environment()
        .get_template(template)
        .render(page=page, studio=get_studio(request), path=request.url.path, **values)
    )
    return HTMLResponse(text, status)


def render_part(template: str, **values: Any) -> str:
    """Return a part of a page."""
    return get_environment().get_template(template).render(**values)


@cache
def find_asset(name: str) -> str:
    """Return the address of a static file, which changes with its content."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()
    return f"/static/{name}?v={digest[:12]}"


def describe_state(state: str) -> tuple[str, str]:
    """Return the text and the tone of a state; one that the gateway has introduced since is shown as it is."""
    return _STATES.get(state, (state.capitalize(), "running"))


def capitalize_first(text: str) -> str:
    """Return a text with a capital first letter, and the rest as it is."""
    return f"{text[:1].upper()}{text[1:]}"


def format_seconds(seconds: float) -> str:
    """Return a duration, such as 45 s or 3 min 5 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    parts = (f"{minutes} min" if minutes else "", f"{rest} s" if rest or not minutes else "")
    return " ".join(part for part in parts if part)


def format_age(seconds: float) -> str:
    """Return the time since an event, such as 3 min ago."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now" if seconds < 5 else f"{int(seconds)} s ago"


def format_credits(credits: float | None) -> str:  # noqa: A002  the name of the gateway
    """Return a price in credits."""
    if credits is None:
        return "unknown"
    text = f"{credits:,.3f}".rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text


def format_size(size: int) -> str:
    """Return a size of a file, such as 3.2 MB."""
    amount = float(size)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def format_iso(seconds: float) -> str:
    """Return a time as ISO 8601, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def format_json(value: Any) -> str:
    """Return a value as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)
