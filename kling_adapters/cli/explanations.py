"""Validation of parameters, with problems in the words of the command line."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kling_adapters.errors import ParamsInvalid
from kling_adapters.problems import Problem

if TYPE_CHECKING:
    from kling_adapters.schema.catalog import CatalogEntry
    from kling_adapters.schema.params import Params


def build_params(entry: CatalogEntry, values: Mapping[str, Any], schema: Mapping[str, Any]) -> Params:
    """Validate parameters. Raises ParamsInvalid with hints for the command line."""
    with explain_problems(schema):
        return entry.load().model_validate(values)


@contextmanager
def explain_problems(schema: Mapping[str, Any]) -> Generator[None]:
    """Explain invalid parameters with hints for the command line."""
    try:
        yield
    except ParamsInvalid as error:
        problems = [_explain(problem, schema) for problem in error.problems]
        raise ParamsInvalid(error.model, problems, can_be_unchecked=error.can_be_unchecked) from None


def _explain(problem: Problem, schema: Mapping[str, Any]) -> Problem:
    """Explain a problem with media by `@FILE` instead of Python."""
    declared: Mapping[str, Any] = schema
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", problem.path):
        declared = declared.get("items", {}) if index else declared.get("properties", {}).get(name, {})
    if declared.get("format") != "uri":
        return problem
    if isinstance(problem.value, str) and _is_file(problem.value):
        message = f"{problem.value} is a file here: write @{problem.value} to upload it"
        return replace(problem, message=message, allowed=None, suggestion=None)
    if problem.allowed is None:
        return problem
    return replace(
        problem, allowed="an http or https URL, or @FILE for a file of this machine", suggestion=None
    )


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False
