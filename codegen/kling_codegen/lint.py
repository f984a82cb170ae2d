"""What is legal in a spec, but wrong or odd: `kling-codegen lint`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias, cast

import click
from pydantic import MISSING

from kling_codegen import load
from kling_codegen.language import LintRule, Spec
from kling_codegen.messages import Location, Message, closest, number, shown
from kling_codegen.report import FORMAT, SPECS, Format, Level, Problem, tell
from kling_codegen.schema import Schema

LEVELS: Mapping[LintRule, Level] = {
    "no-description": "warning",
    "limit-in-prose": "warning",
    "rule-in-prose": "warning",
    "no-source": "error",
    "sample-default": "error",
    "unexplained": "warning",
    "unknown-about": "warning",
    "placeholder": "error",
    "odd-form": "note",
    "no-example": "warning",
    "unused-silence": "warning",
}
"""How grave each rule is."""


Finding: TypeAlias = tuple[LintRule, Location, Message]


@dataclass(frozen=True)
class Parameter:
    """A parameter, or a property within one, and where it is."""

    at: Location
    schema: Schema
    required: bool

    @property
    def path(self) -> str:
        """Its name after those of what it is in: shots.prompt."""
        return _path(self.at)

    @property
    def about(self) -> str:
        """What the description says; nothing if there is none."""
        return "" if self.schema.description is MISSING else self.schema.description


@click.command("lint")
@SPECS
@FORMAT
def command(specs: Path, form: Format) -> None:
    """Say what is legal in the specs, but wrong or odd; exit 1 if there is an error or a warning."""
    try:
        found = lint(specs)
    except load.SpecsInvalid as error:
        tell(error.problems, form)
        sys.exit(2)
    tell(found, form)
    sys.exit(1 if any(problem.level != "note" for problem in found) else 0)


def lint(folder: Path) -> list[Problem]:
    """Return what is found in the specs of a folder, in their order. Raises SpecsInvalid."""
    _, files = load.files(folder)
    return sorted(problem for file in files for problem in _problems(file))


def _problems(file: load.File[Spec]) -> Iterator[Problem]:
    spec = file.value
    assert spec is not None
    silences = [(each.silence, "" if each.about is MISSING else each.about) for each in spec.lint]
    findings = list(_findings(spec))
    found = [(rule, _path(at)) for rule, at, _ in findings]
    loud = [finding for finding, key in zip(findings, found, strict=True) if key not in silences]
    for index, silence in enumerate(silences):
        if silence not in found:
            idle = Message(f"nothing is silenced here: {silence[0]} finds nothing about this")
            loud.append(("unused-silence", ("lint", index), idle))
    for rule, at, what in loud:
        yield replace(file.document.problem(file.path, at, what), level=LEVELS[rule], rule=rule)


def _path(at: Location) -> str:
    """Return the parameter that a place in a spec belongs to, as in shots.prompt; nothing if it is in none."""
    steps = iter(at if at[:1] == ("input",) else ())
    return ".".join(str(next(steps)) for step in steps if step == "properties")


def _findings(spec: Spec) -> Iterator[Finding]:
    for parameter in _parameters(spec.input.properties, spec.input.required):
        for look in (_description, _limits, _needs, _sample_default, _unexplained, _odd_schema):
            for rule, at, what in look(spec, parameter):
                yield rule, (*parameter.at, *at), what
    for check in (_source, _abouts, _placeholders, _odd_rules, _examples):
        yield from check(spec)


def _parameters(
    properties: Mapping[str, Schema], required: Iterable[str], at: Location = ("input",)
) -> Iterator[Parameter]:
    for name, schema in properties.items():
        here = (*at, "properties", name)
        yield Parameter(here, schema, name in required)
        while schema.items is not MISSING:
            schema, here = schema.items, (*here, "items")  # noqa: PLW2901
        if schema.properties is not MISSING:
            needed = [] if schema.required is MISSING else schema.required
            yield from _parameters(schema.properties, needed, here)


def _description(spec: Spec, parameter: Parameter) -> Iterator[Finding]:
    words = set(re.findall("[a-z0-9]+", parameter.about.lower()))
    name = set(re.findall("[a-z0-9]+", parameter.path.lower()))
    if not parameter.about:
        yield "no-description", (), Message("there is no description")
    elif words <= name | {"a", "an", "the", "of"}:
        yield "no-description", ("description",), Message("the description only repeats the name")


_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {word: number for number, word in enumerate(_WORDS, 1)}
_NUMBER = rf"(\d[\d,]*(?:\.\d+)?|(?:{'|'.join(_WORDS)})\b)"
_UNIT = r"[ -]?([a-zA-Z%]+)?"
_LIMITS = [
    (re.compile(pattern, re.IGNORECASE), groups)
    for pattern, groups in (
        (
            rf"\b(?:between|from|range:?) {_NUMBER}(?: ?(?:and|to|-|\u2013) ?){_NUMBER}{_UNIT}",
            ("least", "most"),
        ),
        (
            rf"\b(?:max(?:imum)?\.?(?: of)?:?|at most|up to|(?:no|not) more than|(?:limited|limit) (?:to|of)) {_NUMBER}{_UNIT}",
            ("most",),
        ),
        (
            rf"\b(?:min(?:imum)?\.?(?: of)?:?|at least|(?:no|not) (?:less|fewer) than) {_NUMBER}{_UNIT}",
            ("least",),
        ),
    )
]
_BYTES = {
    "kb": 1,
    "mb": 2,
    "gb": 3,
    "kib": 1,
    "mib": 2,
    "gib": 3,
    "kilobytes": 1,
    "megabytes": 2,
    "gigabytes": 3,
}
_LETTERS = {"char", "chars", "character", "characters", "letter", "letters"}
_KEYWORDS = {
    "most": {"string": "maxLength", "array": "maxItems", "integer": "maximum", "number": "maximum"},
    "least": {"string": "minLength", "array": "minItems", "integer": "minimum", "number": "minimum"},
}


def _limits(spec: Spec, parameter: Parameter) -> Iterator[Finding]:
    """Find a limit that the description tells and neither the schema nor a rule has."""
    rest = parameter.about
    for pattern, bounds in _LIMITS:
        for found in pattern.finditer(rest):
            *numbers, unit = found.groups()
            for bound, figure in zip(bounds, numbers, strict=True):
                value = _NUMBERS.get(figure.lower()) or float(figure.replace(",", "").rstrip("."))
                wanted = _missing_limit(spec, parameter, bound, value, (unit or "").lower())
                if wanted:
                    what = f'the description tells a limit, "{found[0].strip()}", that the spec does not have'
                    yield "limit-in-prose", ("description",), Message(what, meant=wanted)
        rest = pattern.sub("", rest)


def _missing_limit(spec: Spec, parameter: Parameter, bound: str, value: float, unit: str) -> str:
    """Return the keyword that should say the limit; nothing if it is said."""
    schema = parameter.schema
    if unit in _BYTES:
        limits = [rule.max_bytes for rule in spec.rules if rule.max_bytes is not MISSING]
        said = {limit.bytes for limit in limits if limit.field == parameter.path}
        return "" if said & {base ** _BYTES[unit] * value for base in (1000, 1024)} else "the rule max_bytes"
    if schema.kind == "array" and unit in _LETTERS and schema.items is not MISSING:
        schema = schema.items
    keyword = _KEYWORDS[bound].get(schema.kind, "")
    given = schema.given()
    enum = [str(choice) for choice in given.get("enum", ())]
    numbers = [float(choice) for choice in enum if re.fullmatch(r"\d+(\.\d+)?", choice)]
    if f"{number(value)}{unit}".lower() in (choice.lower() for choice in enum):
        return ""
    if numbers:
        limit = max(numbers) if bound == "most" else min(numbers)
        return "" if limit == value else "enum"
    if not keyword or (schema.kind == "string" and unit not in _LETTERS):
        return "a silence with the reason, as the language has no word for it"
    return "" if given.get(keyword) == value else f"{keyword}: {number(value)}"


_NEEDS = re.compile(
    r"\b(?:needs|requires|depends on|(?:only|used|together|combined) with|not with|instead of|ignored)\b",
    re.IGNORECASE,
)


def _needs(spec: Spec, parameter: Parameter) -> Iterator[Finding]:
    """Find a condition that the description tells and no rule has."""
    conditions = [condition[1] for rule in spec.rules if (condition := rule.condition())]
    named = [{name for _, name in condition.named()} for condition in conditions]
    root = parameter.at[2]
    others = set(spec.input.properties) - {root}
    for sentence in re.split(r"[.;]\s", parameter.about):
        for name in sorted(others & set(re.findall(r"\w+", sentence))) if _NEEDS.search(sentence) else ():
            # `prompt`, `image` and the like are also words of the language.
            is_name = "_" in name or f"`{name}`" in sentence
            if is_name and not any({root, name} <= group for group in named):
                what = f"the description tells a condition with {name} that no rule has"
                yield "rule-in-prose", ("description",), Message(what)
    for token in sorted(set(re.findall(r"(?:@[A-Z][a-z]+|<<<\w+_)(?=\d)", parameter.about))):
        rules = [rule.references for rule in spec.rules if rule.references is not MISSING]
        if not any(rule.token.startswith(token) for rule in rules):
            what = f"the description names items as {token}1, but there is no rule references with that token"
            yield "rule-in-prose", ("description",), Message(what)


def _sample_default(spec: Spec, parameter: Parameter) -> Iterator[Finding]:
    default: Any = parameter.schema.given().get("default")
    values = cast("Sequence[Any]", default) if isinstance(default, list) else [default]
    if any(isinstance(value, str) and re.match("https?://", value) for value in values):
        what = "the default is a URL: a sample of the page, not what the gateway takes for an unset parameter"
        yield "sample-default", ("default",), Message(what)
    elif any(values) and re.search(r"\bprompt$", parameter.path):
        yield "sample-default", ("default",), Message("the default of a prompt is a sample of the page")


def _unexplained(spec: Spec, parameter: Parameter) -> Iterator[Finding]:
    """Find what contradicts itself without a discrepancy that says so."""
    told = {name.strip() for each in spec.discrepancies for name in each.about.split(",")}
    if parameter.path in told:
        return
    schema = parameter.schema
    if schema.nullable:
        what = Message("null is allowed, and no discrepancy says why; no page lists null as a type")
        yield "unexplained", ("type",), what
    is_number = re.fullmatch(r"\d+(\.\d+)?", str(schema.default))
    if schema.kind == "string" and schema.enum is MISSING and is_number:
        yield "unexplained", ("default",), Message("a number in a text, and no discrepancy says why")
    if parameter.required and re.match("optional", parameter.about, re.IGNORECASE):
        yield "unexplained", ("description",), Message("it is required, and the description says optional")
    demanded = re.search(r"\b(?:is|are) required\b|^required\b", parameter.about, re.IGNORECASE)
    if demanded and not parameter.required:
        yield "unexplained", ("description",), Message("it is optional, and the description says required")
    inner = schema if schema.items is MISSING else schema.items
    is_url = re.match(r"(an? |the )?URLs?\b", parameter.about)
    if is_url and inner.kind == "string" and inner.format is MISSING:
        what = Message("the description says URL, and there is no format", meant="format: uri")
        yield "unexplained", ("type",), what


def _odd_schema(spec: Spec, parameter: Parameter) -> Iterator[Finding]:
    given = parameter.schema.given()
    for name in ("minLength", "minItems"):
        if given.get(name) == 0:
            yield "odd-form", (name,), Message(f"{name} 0 says nothing")
    if given.get("required") == []:
        yield "odd-form", ("required",), Message("an empty list says nothing")
    if parameter.schema.kind == "boolean" and "enum" in given:
        yield "odd-form", ("enum",), Message("a boolean has two values anyway")


def _source(spec: Spec) -> Iterator[Finding]:
    host = re.sub(r"^https?://([^/:?#]+).*", r"\1", spec.source.page)
    if re.search(r"(^|\.)example\.(com|org|net)$|^localhost$", host):
        yield "no-source", ("source", "page"), Message(f"{host} is the page of no model")
    if re.fullmatch(r"(?i)none|unknown|n/?a|[-?.]+", spec.source.document):
        what = Message(f"{shown(spec.source.document)} is no stored copy of a page")
        yield "no-source", ("source", "document"), what


def _abouts(spec: Spec) -> Iterator[Finding]:
    known = {each.path for each in _parameters(spec.input.properties, ())}
    known |= {"title", "tagline", "example", "response type", "latency", "pricing"}
    for index, each in enumerate(spec.discrepancies):
        if each.page == each.decision:
            what = Message("the decision is what the page says")
            yield "odd-form", ("discrepancies", index, "decision"), what
        for name in (name.strip() for name in each.about.split(",")):
            if name not in known:
                what = Message(f"{name} is no parameter of this model", meant=closest(name, known))
                yield "unknown-about", ("discrepancies", index, "about"), what


_PLACEHOLDER = re.compile(
    r"\b(TODO|FIXME|TBD|XXX)\b|\?\?\?|(?i:lorem ipsum)|^\.\.\.$|^…$|(?<!<)<[A-Za-z][\w -]*>(?!>)"
)


def _placeholders(spec: Spec) -> Iterator[Finding]:
    for at, text in _texts(spec.model_dump(mode="json", exclude_unset=True, by_alias=True), ()):
        if found := _PLACEHOLDER.search(text):
            yield "placeholder", at, Message(f"{found[0]} stands for something that is not written yet")


def _texts(value: Any, at: Location) -> Iterator[tuple[Location, str]]:
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, dict):
        for name, member in cast("Mapping[str, Any]", value).items():
            yield from _texts(member, (*at, name))
    elif isinstance(value, list):
        for index, item in enumerate(cast("Sequence[Any]", value)):
            yield from _texts(item, (*at, index))


def _odd_rules(spec: Spec) -> Iterator[Finding]:
    for key in ("rules", "discrepancies", "examples", "lint"):
        if key in spec.model_fields_set and not getattr(spec, key):
            yield "odd-form", (key,), Message("an empty list says nothing")
    seen: list[Any] = []
    for index, rule in enumerate(spec.rules):
        if rule in seen:
            yield "odd-form", ("rules", index), Message("this rule is there twice")
        seen.append(rule)
        if (needs := rule.requires) is not MISSING:
            for at, name in needs.named():
                if at[0] == "present" and name in spec.input.required:
                    what = Message(f"{name} is required, so it is always given")
                    yield "odd-form", ("rules", index, "requires", *at), what
                elif at[0] != "field" and name == needs.field:
                    yield "odd-form", ("rules", index, "requires", *at), Message(f"{name} needs itself")


def _examples(spec: Spec) -> Iterator[Finding]:
    if not spec.examples:
        yield "no-example", (), Message("there is no example")
        return
    used = {name for example in spec.examples for name in example.input}
    for name in spec.input.properties:
        if name not in used:
            yield "no-example", ("input", "properties", name), Message(f"no example uses {name}")
