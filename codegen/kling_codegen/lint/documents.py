"""Findings about source, discrepancies, placeholders, rules and examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import MISSING

from kling_codegen.language import Spec
from kling_codegen.lint.parameters import Finding, walk_parameters
from kling_codegen.messages import Message, find_closest, format_value
from kling_codegen.placeholders import find_placeholders


def check_source(spec: Spec) -> Iterator[Finding]:
    """Find an invented page or stored copy."""
    host = re.sub(r"^https?://([^/:?#]+).*", r"\1", spec.source.page)
    if re.search(r"(^|\.)example\.(com|org|net)$|^localhost$", host):
        text = f"{host} is not the page of a model"
        yield "no-source", ("source", "page"), Message(text)
    if re.fullmatch(r"(?i)none|unknown|n/?a|[-?.]+", spec.source.document):
        text = f"{format_value(spec.source.document)} is not a stored copy of a page"
        yield "no-source", ("source", "document"), Message(text)


def check_discrepancies(spec: Spec) -> Iterator[Finding]:
    """Find discrepancies about unknown parameters, or without a decision."""
    subjects = {parameter.path for parameter in walk_parameters(spec.input.properties, ())}
    subjects |= {"title", "tagline", "example", "response type", "latency", "pricing"}
    for index, entry in enumerate(spec.discrepancies):
        if entry.page == entry.decision:
            text = "the decision is the same as the page"
            yield "odd-form", ("discrepancies", index, "decision"), Message(text)
        for name in (name.strip() for name in entry.about.split(",")):
            if name not in subjects:
                text = f"{name} is not a parameter of this model"
                message = Message(text, suggestion=find_closest(name, subjects))
                yield "unknown-about", ("discrepancies", index, "about"), message


def check_placeholders(spec: Spec) -> Iterator[Finding]:
    """Find placeholders."""
    for at, message in find_placeholders(spec):
        yield "placeholder", at, message


def check_rules(spec: Spec) -> Iterator[Finding]:
    """Find rules and lists that have no effect."""
    for key in ("rules", "discrepancies", "examples", "lint"):
        if key in spec.model_fields_set and not getattr(spec, key):
            yield "odd-form", (key,), Message("an empty list has no effect")
    earlier: list[Any] = []
    for index, rule in enumerate(spec.rules):
        if rule in earlier:
            yield "odd-form", ("rules", index), Message("this rule is listed twice")
        earlier.append(rule)
        if rule.condition:
            key, condition = rule.condition
            for at, message in condition.redundancies(spec.input.required):
                yield "odd-form", ("rules", index, key, *at), message


def check_examples(spec: Spec) -> Iterator[Finding]:
    """Find a model without examples, and parameters that no example uses."""
    if not spec.examples:
        yield "no-example", (), Message("an example is missing")
        return
    used = {name for example in spec.examples for name in example.input}
    for index, example in enumerate(spec.examples):
        for name in example.input:
            if spec.input.properties[name].deprecated is not MISSING:
                text = f"the example sets {name}, which is deprecated"
                yield "odd-form", ("examples", index, "input", name), Message(text)
    for name, schema in spec.input.properties.items():
        if name not in used and schema.deprecated is MISSING:
            yield "no-example", ("input", "properties", name), Message(f"no example uses {name}")
