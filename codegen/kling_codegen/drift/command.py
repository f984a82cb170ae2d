"""The command `kling-codegen drift`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kling_codegen.catalogue import Catalogue
from kling_codegen.diff.change import Change, sort_changes
from kling_codegen.diff.report import format_text
from kling_codegen.drift.fetch import find_address, format_source, read_source
from kling_codegen.drift.model_list import UnreadableList, parse_list
from kling_codegen.drift.models import collect_models, compare_list
from kling_codegen.drift.pages import PageResults, compare_pages
from kling_codegen.drift.report import TITLE, Drift, describe_no_change, format_report
from kling_codegen.load.folder import CATALOGUE, Specs, SpecsInvalid, load_specs, read_file
from kling_codegen.messages import escape_unprintable
from kling_codegen.report import Problem, print_problems, print_text, specs_option


@click.command("drift")
@specs_option
@click.option(
    "--list",
    "source",
    metavar="FILE|URL",
    help="The gateway's list of models; by default that of gateway.yaml.",
)
@click.option(
    "--pages",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="A folder with copies of documentation pages, each a *.txt.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the report to this file."
)
def command(specs: Path, source: str | None, pages: Path | None, output: Path | None) -> None:
    """Compare the specs with the gateway's list of models and with copies of pages.

    The report is Markdown. Exit code: 0 if nothing has changed, 1 if something has, 2 if something cannot be read.
    """
    if output is not None and not _is_replaceable(output):
        raise click.UsageError(escape_unprintable(f"{output} is not a report of drift; it is not replaced"))
    try:
        loaded, catalogue = load_specs(specs), _load_catalogue(specs / CATALOGUE)
    except SpecsInvalid as error:
        print_problems(error.problems, "text")
        sys.exit(2)
    source = source or find_address(loaded.gateway)
    if not source and pages is None:
        raise click.UsageError("there is nothing to compare: pass --list, --pages or both")
    drift = _compare(loaded, catalogue, source, pages)
    if drift.sources:
        _publish(drift, specs, output)
    for problem in drift.problems:
        print_text(f"not compared: {problem}", err=True)
    if not drift.sources:
        print_text("the comparison failed; no report was written", err=True)
    sys.exit(2 if drift.problems else 1 if drift.changes else 0)


def _publish(drift: Drift, specs: Path, output: Path | None) -> None:
    """Print the report, or write it and print one line for each change."""
    report = format_report(drift)
    if output is None:
        print_text(report.removesuffix("\n"))
        return
    _write(output, report)
    if drift.changes or not drift.problems:
        print_text(format_text(drift.changes, str(specs), "the gateway"))
    else:
        print_text(describe_no_change(drift))


def _load_catalogue(path: Path) -> Catalogue | None:
    problems: list[Problem] = []
    catalogue = read_file(path, Catalogue, problems).value if path.exists() else None
    if problems:
        raise SpecsInvalid(problems)
    return catalogue


def _compare(specs: Specs, catalogue: Catalogue | None, source: str, pages: Path | None) -> Drift:
    models = {spec.slug: spec for spec in specs.models}
    sources: list[str] = []
    changes: list[Change] = []
    problems: list[str] = []
    if source:
        try:
            listed = parse_list(read_source(source, specs.gateway))
            changes += compare_list(collect_models(specs.models, catalogue), listed)
            sources.append(f"List of models: {format_source(source)}, with {len(listed.models)} models.")
        except UnreadableList as error:
            problems.append(f"the list of models at {format_source(source)}: {error}")
    results = PageResults()
    if pages is not None:
        results = compare_pages(pages, models)
        changes += results.changes
        problems += results.problems
        sources.append(f"Pages: {pages}, of {len(results.comparisons)} models of {len(models)}.")
    return Drift(sources, sort_changes(changes), results, problems)


def _is_replaceable(path: Path) -> bool:
    """Return whether a report can be written: the file is missing, or is an earlier report."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(len(TITLE)) == TITLE
    except FileNotFoundError:
        return True
    except (OSError, UnicodeDecodeError):
        return False


def _write(path: Path, report: str) -> None:
    try:
        path.write_text(report, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(escape_unprintable(f"cannot write {path}: {error.strerror}")) from None
