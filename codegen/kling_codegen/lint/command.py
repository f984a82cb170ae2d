"""The command `kling-codegen lint`: all findings of a folder except silenced ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import click
from pydantic import MISSING

from kling_codegen.language import LintRule, Spec
from kling_codegen.lint.descriptions import check_conditions, check_description, check_limits
from kling_codegen.lint.documents import (
    check_discrepancies,
    check_examples,
    check_placeholders,
    check_rules,
    check_source,
)
from kling_codegen.lint.parameters import Finding, parameter_path, walk_parameters
from kling_codegen.lint.schemas import check_contradictions, check_form, check_sample_default
from kling_codegen.load.folder import File, SpecsInvalid, read_files
from kling_codegen.messages import Message
from kling_codegen.report import Format, Level, Problem, format_option, print_problems, specs_option

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
"""The severity of each rule."""

PARAMETER_CHECKS = (
    check_description,
    check_limits,
    check_conditions,
    check_sample_default,
    check_contradictions,
    check_form,
)
SPEC_CHECKS = (check_source, check_discrepancies, check_placeholders, check_rules, check_examples)


@click.command("lint")
@specs_option
@format_option
def command(specs: Path, form: Format) -> None:
    """List findings about valid specs that are probably wrong or odd; exit 1 for an error or a warning."""
    try:
        problems = lint(specs)
    except SpecsInvalid as error:
        print_problems(error.problems, form)
        sys.exit(2)
    print_problems(problems, form)
    sys.exit(1 if any(problem.level != "note" for problem in problems) else 0)


def lint(folder: Path) -> list[Problem]:
    """Return the problems of the specs of a folder, in their order. Raises SpecsInvalid."""
    _, files = read_files(folder)
    return sorted(problem for file in files for problem in _lint_file(file))


def _lint_file(file: File[Spec]) -> Iterator[Problem]:
    spec = file.value
    assert spec is not None
    silences = [(entry.silence, "" if entry.about is MISSING else entry.about) for entry in spec.lint]
    findings = list(_find_all(spec))
    keys = [(rule, parameter_path(at)) for rule, at, _ in findings]
    reported = [finding for finding, key in zip(findings, keys, strict=True) if key not in silences]
    for index, silence in enumerate(silences):
        if silence not in keys:
            unused = Message(f"nothing is silenced here: {silence[0]} finds nothing about this")
            reported.append(("unused-silence", ("lint", index), unused))
    for rule, at, message in reported:
        yield replace(file.document.locate(file.path, at, message), level=LEVELS[rule], rule=rule)


def _find_all(spec: Spec) -> Iterator[Finding]:
    for parameter in walk_parameters(spec.input.properties, spec.input.required):
        for check_parameter in PARAMETER_CHECKS:
            for rule, at, message in check_parameter(spec, parameter):
                yield rule, (*parameter.at, *at), message
    for check_spec in SPEC_CHECKS:
        yield from check_spec(spec)
