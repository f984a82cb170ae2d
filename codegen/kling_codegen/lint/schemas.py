"""Findings about the schema of a parameter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

from pydantic import MISSING

from kling_codegen.language import Spec
from kling_codegen.lint.parameters import Finding, Parameter
from kling_codegen.messages import Message


def check_sample_default(spec: Spec, parameter: Parameter) -> Iterator[Finding]:
    """Find a default that is a sample of the page."""
    default: Any = parameter.schema.keywords().get("default")
    values = cast("Sequence[Any]", default) if isinstance(default, list) else [default]
    if any(isinstance(value, str) and re.match("https?://", value) for value in values):
        text = "the default is a URL: a sample of the page, not what the gateway uses for an unset parameter"
        yield "sample-default", ("default",), Message(text)
    elif any(values) and re.search(r"\bprompt$", parameter.path):
        yield "sample-default", ("default",), Message("the default of a prompt is a sample of the page")


def check_contradictions(spec: Spec, parameter: Parameter) -> Iterator[Finding]:
    """Find a parameter that contradicts itself without a discrepancy about it."""
    explained = {name.strip() for entry in spec.discrepancies for name in entry.about.split(",")}
    if parameter.path in explained:
        return
    schema = parameter.schema
    if schema.nullable:
        text = "null is allowed, and no discrepancy says why; no page lists null as a type"
        yield "unexplained", ("type",), Message(text)
    is_number = re.fullmatch(r"\d+(\.\d+)?", str(schema.default))
    if schema.kind == "string" and schema.enum is MISSING and is_number:
        yield "unexplained", ("default",), Message("a number in a text, and no discrepancy says why")
    if parameter.is_required and re.match("optional", parameter.description, re.IGNORECASE):
        yield "unexplained", ("description",), Message("it is required, and the description says optional")
    says_required = re.search(r"\b(?:is|are) required\b|^required\b", parameter.description, re.IGNORECASE)
    if says_required and not parameter.is_required:
        yield "unexplained", ("description",), Message("it is optional, and the description says required")
    inner = schema.list_form if schema.list_form.items is MISSING else schema.list_form.items
    is_url = re.match(r"(an? |the )?URLs?\b", parameter.description)
    if is_url and inner.kind == "string" and inner.format is MISSING:
        message = Message(
            "the description mentions a URL, but the format is missing", suggestion="format: uri"
        )
        yield "unexplained", ("type",), message


def check_form(spec: Spec, parameter: Parameter) -> Iterator[Finding]:
    """Find keywords that have no effect."""
    keywords = parameter.schema.keywords()
    for name in ("minLength", "minItems"):
        if keywords.get(name) == 0:
            yield "odd-form", (name,), Message(f"{name} 0 has no effect")
    if keywords.get("required") == []:
        yield "odd-form", ("required",), Message("an empty list has no effect")
    if parameter.schema.kind == "boolean" and "enum" in keywords:
        yield "odd-form", ("enum",), Message("a boolean has two values anyway")
